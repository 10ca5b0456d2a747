"""The exact Jaccard similarity of candidate pairs, on shingle sets that are read once and kept on disk meanwhile.

Two rows with no shingles in common have 0; the sets are 63-bit hashes, so two different shingles are taken for one with
a chance of about 1 in 10^13 per pair of documents.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.dedup.candidates import unpack
from provenance.dedup.jit import kernel
from provenance.dedup.kernels import distinct_shingles
from provenance.dedup.minhash import utf8_buffers
from provenance.dedup.textfiles import TextFile, read_batches

Array = Any
u64: Any = np.uint64


def exact_jaccard(
    pairs: NDArray[np.uint64], files: Sequence[TextFile], num_rows: int, *, ngram: int, scratch: Path | None = None
) -> NDArray[np.float64]:
    """The similarity of each packed pair of rows; `pairs` is sorted.

    Texts are streamed, only their row groups that a pair needs; the shingle sets go to a file in `scratch`, so that
    memory does not grow with the texts.
    """
    low, high = unpack(pairs)
    wanted = np.zeros(num_rows, dtype=np.bool_)
    wanted[low] = wanted[high] = True
    position = np.full(num_rows, -1, dtype=np.int64)
    counts: list[NDArray[np.int64]] = []
    found = 0
    out = np.zeros(len(pairs), dtype=np.float64)
    with tempfile.TemporaryFile(dir=scratch) as spool:
        for rows, texts in read_batches(files, wanted):
            chosen = np.flatnonzero(rows >= 0)
            data, offsets = utf8_buffers(texts)
            sizes = offsets[chosen + 1] - offsets[chosen]
            # A word takes at least two bytes with the space after it.
            values = np.empty(int(np.sum(sizes // 2 + 1)), dtype=np.uint64)
            sizes = np.zeros(len(chosen), dtype=np.int64)
            used = distinct_shingles(data, offsets, chosen, ngram, values, sizes)
            spool.write(values[:used].data)
            position[rows[chosen]] = np.arange(found, found + len(chosen))
            found += len(chosen)
            counts.append(sizes)
        spool.flush()
        starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))]) if counts else np.zeros(1, dtype=np.int64)
        if starts[-1]:
            values = np.memmap(spool, dtype=np.uint64, mode="r", shape=(int(starts[-1]),))
            # A row whose text is gone has position -1 and is compared with nothing.
            here = (position[low] >= 0) & (position[high] >= 0)
            out[here] = _compare(np.asarray(values), starts, position[low[here]], position[high[here]])
    return out


def _compare(
    values: NDArray[np.uint64], starts: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float64]:
    out = np.zeros(len(left), dtype=np.float64)
    largest = int(np.max(np.diff(starts)[left], initial=0))
    table = np.zeros(1 << max(4, (2 * largest - 1).bit_length()), dtype=np.uint64)
    jaccard_kernel(values, starts, left, right, table, out)
    return out


@kernel
def jaccard_kernel(values: Array, starts: Array, left: Array, right: Array, table: Array, out: Array) -> None:
    """|A and B| / |A or B|: A in a hash table that is kept while A stays the same, B looked up in it."""
    filled = -1
    mask = u64(0)
    for p in range(left.shape[0]):
        a, b = left[p], right[p]
        if a != filled:
            size = 16
            while size < 2 * (starts[a + 1] - starts[a]):
                size *= 2
            table[:size] = 0
            mask = u64(size - 1)
            for i in range(starts[a], starts[a + 1]):
                slot = (values[i] >> u64(20)) & mask
                while table[slot] != 0:
                    slot = (slot + u64(1)) & mask
                table[slot] = values[i]
            filled = a
        common = 0
        for i in range(starts[b], starts[b + 1]):
            slot = (values[i] >> u64(20)) & mask
            while table[slot] != 0 and table[slot] != values[i]:
                slot = (slot + u64(1)) & mask
            if table[slot] != 0:
                common += 1
        total = starts[a + 1] - starts[a] + starts[b + 1] - starts[b] - common
        if total > 0:
            out[p] = common / total

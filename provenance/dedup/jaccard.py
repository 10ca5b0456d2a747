"""The exact Jaccard similarity of candidate pairs, on shingle sets that are read once and kept on disk meanwhile.

Two rows with no shingles in common have 0; the sets are 63-bit hashes, so two different shingles are taken for one with
a chance of about 1 in 10^13 per pair of documents.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from provenance.dedup.candidates import unpack
from provenance.dedup.jit import kernel
from provenance.dedup.kernels import distinct_shingles
from provenance.dedup.minhash import utf8_buffers
from provenance.dedup.textfiles import TextFile, read_batches

Array = Any
u64: Any = np.uint64


class ShingleSets:
    """The shingle sets of the rows that some pair has asked for. Use as a context manager.

    Texts are streamed, only the row groups that a pair needs; the sets go to a file in `scratch`, so that memory does
    not grow with the texts, and a row asked for again is not read again.
    """

    def __init__(self, files: Sequence[TextFile], num_rows: int, *, ngram: int, scratch: Path | None = None) -> None:
        self._files = files
        self._ngram = ngram
        self._spool = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - closed by __exit__
        self._place = np.full(num_rows, -1, dtype=np.int64)
        self._starts = np.zeros(1, dtype=np.int64)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spool.close()

    def compare(self, pairs: NDArray[np.uint64]) -> NDArray[np.float64]:
        """The exact similarity of packed pairs of rows, given in ascending order; 0 where a text is gone."""
        low, high = unpack(pairs)
        wanted = np.zeros(len(self._place), dtype=np.bool_)
        wanted[low] = wanted[high] = True
        self._read(wanted & (self._place < 0))
        out = np.zeros(len(pairs), dtype=np.float64)
        here = (self._place[low] >= 0) & (self._place[high] >= 0)
        total = int(self._starts[-1])
        if total and here.any():
            values = np.asarray(np.memmap(self._spool, dtype=np.uint64, mode="r", shape=(total,)))
            out[here] = _compare(values, self._starts, self._place[low[here]], self._place[high[here]])
        return out

    def _read(self, wanted: NDArray[np.bool_]) -> None:
        if not wanted.any():
            return
        counts: list[NDArray[np.int64]] = []
        found = len(self._starts) - 1
        for rows, texts in read_batches(self._files, wanted):
            chosen = np.flatnonzero(rows >= 0)
            data, offsets = utf8_buffers(texts)
            # A word takes at least two bytes with the space after it.
            capacity = np.sum((offsets[chosen + 1] - offsets[chosen]) // 2 + 1)
            values = np.empty(int(capacity), dtype=np.uint64)
            sizes = np.zeros(len(chosen), dtype=np.int64)
            used = distinct_shingles(data, offsets, chosen, self._ngram, values, sizes)
            self._spool.write(values[:used].data)
            self._place[rows[chosen]] = np.arange(found, found + len(chosen))
            found += len(chosen)
            counts.append(sizes)
        self._spool.flush()
        if counts:
            self._starts = np.concatenate([self._starts, self._starts[-1] + np.cumsum(np.concatenate(counts))])


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

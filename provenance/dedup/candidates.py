"""Which pairs of documents are worth an exact comparison: those that share a band. Knows segments, never texts.

Copies with the same shingles are one class per segment, so a hundred thousand identical texts are one row here. A
crowded bucket becomes stars, so the number of pairs grows with the number of documents, not with its square.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.dedup.bands import Segment
from provenance.dedup.jit import helper, kernel

CROWDED = 400
"""Up to this many classes in a bucket every pair is a candidate."""
CENTRES = 64
"""In a larger bucket each class is paired with the first 64 of them."""

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
Array = Any
Int = Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """The documents of several segments under one numbering, segment after segment."""

    first: NDArray[np.int64]
    """The number of each segment's first row, and at the end the number of rows."""
    segment_of: NDArray[np.int32]
    live: NDArray[np.bool_]
    """False for rows outside the question, such as documents of removed corpora, and for texts without words."""
    leader: NDArray[np.int64]
    """For each row the first live row of its segment with the same shingles; -1 where there is none."""

    @property
    def leaders(self) -> NDArray[np.bool_]:
        """True for the rows that stand for their class."""
        return np.equal(self.leader, np.arange(len(self.leader)))


def number_rows(segments: Sequence[Segment], live: NDArray[np.bool_]) -> Rows:
    """Number the rows of `segments` and group identical texts; `live` says which rows are asked about."""
    first = np.concatenate([[0], np.cumsum([len(s) for s in segments])]).astype(np.int64)
    content = np.concatenate([s.content for s in segments]) if segments else np.empty(0, dtype=np.uint64)
    live = live & (content != 0)
    leader = np.full(len(content), -1, dtype=np.int64)
    for low, high in pairwise(first):
        values, inverse = np.unique(content[low:high], return_inverse=True)
        # Written backwards, so the first live row of each class is what stays.
        found = np.full(len(values), -1, dtype=np.int64)
        rows = np.flatnonzero(live[low:high])[::-1]
        found[inverse[rows]] = rows + low
        leader[low:high] = found[inverse]
    leader[content == 0] = -1
    return Rows(
        first=first,
        segment_of=np.repeat(np.arange(len(segments), dtype=np.int32), np.diff(first)),
        live=live,
        leader=leader,
    )


def identical_pairs(segments: Sequence[Segment], rows: Rows, wanted: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Packed pairs of leaders of different segments that have the same shingles."""
    leaders = np.flatnonzero(rows.leaders)
    content = np.concatenate([s.content for s in segments])[leaders] if segments else np.empty(0, dtype=np.uint64)
    order = np.argsort(content, kind="stable")
    return pairs_of_runs(content[order], leaders[order].astype(np.uint64), rows, wanted)


def candidate_pairs(segments: Sequence[Segment], rows: Rows, wanted: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Packed pairs (lower row in the high half) of leaders that share a band, sorted, each once.

    `wanted[s, t]` says whether rows of segments s and t are to be compared.
    """
    leaders = rows.leaders
    found = np.empty(0, dtype=np.uint64)
    bands = segments[0].banding.bands if segments else 0
    for j in range(bands):
        parts = []
        for segment, first in zip(segments, rows.first[:-1], strict=True):
            entries = segment.entries[j] + np.uint64(first)
            parts.append(entries[leaders[(entries & _LOW).astype(np.int64)]])
        # Each part is sorted already: a stable sort merges them.
        entries = np.sort(np.concatenate(parts), kind="stable")
        found = np.union1d(found, pairs_of_runs(entries >> _HALF, entries & _LOW, rows, wanted))
    return found


def pack(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Pairs of rows as single numbers, the lower row in the high half."""
    return (np.minimum(a, b).astype(np.uint64) << _HALF) | np.maximum(a, b).astype(np.uint64)


def unpack(pairs: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The lower and the higher row of packed pairs."""
    return (pairs >> _HALF).astype(np.int64), (pairs & _LOW).astype(np.int64)


def pairs_of_runs(
    keys: NDArray[np.uint64], members: NDArray[np.uint64], rows: Rows, wanted: NDArray[np.bool_]
) -> NDArray[np.uint64]:
    """Packed pairs of the members (row numbers) of every run of equal keys."""
    out = np.empty(len(keys), dtype=np.uint64)
    n = _emit(keys, members, rows.segment_of, wanted, out)
    if n > len(out):
        out = np.empty(n, dtype=np.uint64)
        _emit(keys, members, rows.segment_of, wanted, out)
    return out[:n]


@helper
def _run_end(keys: Array, begin: Int) -> Int:
    end = begin + 1
    while end < keys.shape[0] and keys[end] == keys[begin]:
        end += 1
    return end


@kernel
def _emit(keys: Array, members: Array, segment_of: Array, wanted: Array, out: Array) -> Int:
    """Write the pairs of every run of equal keys, as many as `out` holds; returns how many there are."""
    n = 0
    begin = 0
    while begin < keys.shape[0]:
        end = _run_end(keys, begin)
        centres = end - begin if end - begin <= CROWDED else CENTRES
        for i in range(begin, begin + centres):
            for j in range(i + 1, end):
                low, high = min(members[i], members[j]), max(members[i], members[j])
                if wanted[segment_of[low], segment_of[high]]:
                    if n < out.shape[0]:
                        out[n] = (low << _HALF) | high
                    n += 1
        begin = end
    return n

"""Which documents of near-duplicate clusters stay, and which other document each one answers to. Knows rows only.

In order of preference a document stays unless a document that already stays is its direct neighbour: nothing is set
aside through a chain, and whatever is set aside has a neighbour that stays.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.dedup.candidates import Rows, pack, unpack
from provenance.dedup.jit import kernel

Array = Any
Int = Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edges:
    """Compared pairs of leaders: packed and sorted, with their exact similarity."""

    pairs: NDArray[np.uint64]
    jaccard: NDArray[np.float64]

    @classmethod
    def of(cls, pairs: NDArray[np.uint64], jaccard: NDArray[np.float64]) -> "Edges":
        """Sort the pairs; of a pair that occurs twice one is kept."""
        unique, index = np.unique(pairs, return_index=True)
        return cls(pairs=unique, jaccard=jaccard[index])

    def join(self, other: "Edges") -> "Edges":
        """Both sets of pairs as one."""
        return Edges.of(np.concatenate([self.pairs, other.pairs]), np.concatenate([self.jaccard, other.jaccard]))

    def at_least(self, threshold: float) -> "Edges":
        """The pairs whose similarity reaches `threshold`."""
        near = self.jaccard >= threshold
        return Edges(pairs=self.pairs[near], jaccard=self.jaccard[near])

    def __len__(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """What became of each row in a cluster; `rows` is in order of preference, the other arrays go with it."""

    rows: NDArray[np.int64]
    kept: NDArray[np.bool_]
    other: NDArray[np.int64]
    """Where set aside, the neighbour that stays; where kept, the nearest neighbour."""
    jaccard: NDArray[np.float64]
    """The similarity to `other`."""
    cluster: NDArray[np.int64]
    """A row of the same connected component, the same for all its rows."""


def clustered_rows(rows: Rows, edges: Edges) -> NDArray[np.int64]:
    """The live rows that have an identical copy in their segment or a neighbour."""
    members = np.bincount(rows.leader[rows.live], minlength=len(rows.leader))
    near = members > 1
    for side in unpack(edges.pairs):
        near[side] = True
    return np.flatnonzero(rows.live & near[np.maximum(rows.leader, 0)])


def choose(rows: Rows, edges: Edges, ordered: NDArray[np.int64], fixed: NDArray[np.bool_]) -> Choice:
    """Decide over `ordered`, the clustered rows from most to least preferred; rows that are `fixed` always stay."""
    n = len(rows.leader)
    low, high = unpack(edges.pairs)
    both = np.concatenate([low, high])
    order = np.argsort(both, kind="stable")
    starts = np.searchsorted(both[order], np.arange(n + 1))
    neighbours = np.concatenate([high, low])[order]
    jaccard = np.concatenate([edges.jaccard, edges.jaccard])[order]
    other = np.full(n, -1, dtype=np.int64)
    nearest = np.zeros(n, dtype=np.float64)
    kept = np.zeros(n, dtype=np.bool_)
    _settle(ordered, rows.leader, starts, neighbours, jaccard, fixed, kept, other, nearest)
    _answer_kept(ordered, rows.leader, starts, neighbours, jaccard, kept, other, nearest)
    return Choice(
        rows=ordered,
        kept=kept[ordered],
        other=other[ordered],
        jaccard=nearest[ordered],
        cluster=_components(n, low, high)[rows.leader[ordered]],
    )


def unsettled_pairs(rows: Rows, compared: Edges, near: Edges, choice: Choice) -> NDArray[np.uint64]:
    """Pairs to compare still: a kept document's set-aside neighbour was set aside for a third; how near is that one?

    This closes the triangles that the index missed, and those that stars leave open in crowded buckets.
    """
    n = len(rows.leader)
    keeper = np.full(n, -1, dtype=np.int64)
    stays = np.zeros(n, dtype=np.bool_)
    leaders = rows.leader[choice.rows]
    keeper[leaders[~choice.kept]] = rows.leader[choice.other[~choice.kept]]
    stays[leaders[choice.kept]] = True
    low, high = unpack(near.pairs)
    a, b = np.concatenate([low, high]), np.concatenate([high, low])
    open_ = stays[a] & ~stays[b] & (keeper[b] >= 0) & (keeper[b] != a)
    pairs = np.unique(pack(a[open_], keeper[b[open_]]))
    return pairs[~np.isin(pairs, compared.pairs)]


def _components(n: int, low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(low), dtype=np.int8), (low, high)), shape=(n, n))
    labels: NDArray[np.int64] = connected_components(graph, directed=False)[1]
    return labels


@kernel
def _settle(
    ordered: Array,
    leader: Array,
    starts: Array,
    neighbours: Array,
    jaccard: Array,
    fixed: Array,
    kept: Array,
    other: Array,
    nearest: Array,
) -> None:
    stays = np.full(leader.shape[0], -1, np.int64)  # for each leader the row of its class that stays
    for row in ordered:
        own = leader[row]
        if not fixed[row]:
            if stays[own] >= 0:
                other[row] = stays[own]
                nearest[row] = 1.0
                continue
            for k in range(starts[own], starts[own + 1]):
                if stays[neighbours[k]] >= 0 and jaccard[k] > nearest[row]:
                    other[row] = stays[neighbours[k]]
                    nearest[row] = jaccard[k]
            if other[row] >= 0:
                continue
        kept[row] = True
        if stays[own] < 0:
            stays[own] = row


@kernel
def _answer_kept(
    ordered: Array,
    leader: Array,
    starts: Array,
    neighbours: Array,
    jaccard: Array,
    kept: Array,
    other: Array,
    nearest: Array,
) -> None:
    """What stays answers to the nearest document set aside for it, else to its nearest neighbour."""
    for row in ordered:
        if not kept[row] and nearest[row] > nearest[other[row]]:
            other[other[row]] = row
            nearest[other[row]] = nearest[row]
    for row in ordered:
        if kept[row] and other[row] < 0:
            own = leader[row]
            for k in range(starts[own], starts[own + 1]):
                if jaccard[k] > nearest[row]:
                    other[row] = neighbours[k]
                    nearest[row] = jaccard[k]

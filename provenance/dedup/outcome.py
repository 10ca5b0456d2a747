"""What a run found, as the tables the catalog takes: new pairs, decisions, recovered model outputs. Knows no SQL."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from provenance.dedup.candidates import Rows, unpack
from provenance.dedup.choose import Edges
from provenance.dedup.keep import Keep, Standing, reasons
from provenance.dedup.near import Found
from provenance.dedup.scope import Scope


def uuids(scope: Scope, rows: NDArray[np.int64]) -> pa.Array:
    """The ids of rows, as the catalog takes them."""
    return pa.ExtensionArray.from_storage(pa.uuid(), scope.doc_ids.take(pa.array(rows, pa.int64())))


def new_pairs(scope: Scope, found: Found, wanted: NDArray[np.bool_], known: NDArray[np.uint64]) -> pa.Table:
    """Pairs this run compared, and copies within a segment it compared with itself."""
    fresh = ~np.isin(found.compared.pairs, known)
    low, high = unpack(found.compared.pairs[fresh])
    segment_of = scope.segment_of
    leader = found.rows.leader
    copies = np.flatnonzero(found.rows.live & ~found.rows.leaders & wanted[segment_of, segment_of])
    return pa.table(
        {
            "doc_id": uuids(scope, np.concatenate([low, leader[copies]])),
            "other_id": uuids(scope, np.concatenate([high, copies])),
            "jaccard": np.concatenate([found.compared.jaccard[fresh], np.ones(len(copies))]),
        }
    )


def decisions(scope: Scope, found: Found, fixed: NDArray[np.bool_], standing: Standing, keep: Keep) -> pa.Table:
    """One row per clustered document of the corpora named; a cluster is called after its lowest document id."""
    choice = found.choice
    why = reasons(standing, choice, keep)
    rank = standing.id_rank[np.searchsorted(standing.rows, choice.rows)]
    order = np.argsort(rank)
    _, first, inverse = np.unique(choice.cluster[order], return_index=True, return_inverse=True)
    called = np.empty(len(order), dtype=np.int64)
    called[order] = choice.rows[order][first][inverse]
    own = np.flatnonzero(~fixed[choice.rows])
    return pa.table(
        {
            "doc_id": uuids(scope, choice.rows[own]),
            "other_id": uuids(scope, choice.other[own]),
            "jaccard": choice.jaccard[own],
            "cluster_id": uuids(scope, called[own]),
            "kept": choice.kept[own],
            "reason": pa.array([why[i].value for i in own.tolist()], pa.string()),
        }
    )


def recovered_outputs(
    scope: Scope, rows: Rows, near: Edges, clustered: NDArray[np.int64], recorded: NDArray[np.bool_]
) -> pa.Table:
    """For each clustered document that is no recorded model output, the recorded one nearest to it, if any."""
    n = len(rows.leader)
    output = np.full(n, -1, dtype=np.int64)  # per class, a recorded output in it
    output[rows.leader[clustered[recorded][::-1]]] = clustered[recorded][::-1]
    low, high = unpack(near.pairs)
    a, b = np.concatenate([low, high]), np.concatenate([high, low])
    jaccard = np.concatenate([near.jaccard, near.jaccard])
    useful = output[b] >= 0
    a, b, jaccard = a[useful], b[useful], jaccard[useful]
    order = np.lexsort((-b, jaccard))  # written in this order, the nearest stays; of equals the lowest row
    best, similarity = np.full(n, -1, dtype=np.int64), np.zeros(n)
    best[a[order]], similarity[a[order]] = output[b[order]], jaccard[order]
    own = output >= 0
    best[own], similarity[own] = output[own], 1.0
    others = clustered[~recorded]
    others = others[best[rows.leader[others]] >= 0]
    return pa.table(
        {
            "doc_id": uuids(scope, others),
            "other_id": uuids(scope, best[rows.leader[others]]),
            "jaccard": similarity[rows.leader[others]],
        }
    )

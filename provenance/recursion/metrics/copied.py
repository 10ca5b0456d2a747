"""Near-duplicates of the real text: samples at least half of whose 8-grams occur in it, in whichever documents.

High values say that a model recites what it was trained on, which flatters every other metric.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric
from provenance.recursion.metrics.ngrams import ngram_codes

ORDER = 8
SHARE = 0.5


def copied(
    ids: NDArray[np.integer],
    offsets: NDArray[np.int64],
    real_ids: NDArray[np.integer],
    real_offsets: NDArray[np.int64],
) -> float:
    """Share of documents with at least half of their 8-grams in the real text; NaN when none is long enough."""
    both = np.concatenate([ids, real_ids])
    codes, owner = ngram_codes(both, np.concatenate([offsets, offsets[-1] + real_offsets[1:]]), ORDER)
    n = len(offsets) - 1
    ours = owner < n
    known = np.isin(codes[ours], codes[~ours])
    total = np.bincount(owner[ours], minlength=n)
    if not total.any():
        return float("nan")
    share = np.bincount(owner[ours], weights=known, minlength=n)[total > 0] / total[total > 0]
    return float((share >= SHARE).mean())


METRIC = Metric(
    name="copied",
    unit="fraction",
    higher_is_better=False,
    needs=("sample_ids", "sample_offsets", "real_ids", "real_offsets"),
    measure=copied,
)

"""Repetition within a text: the share of its 4-grams that it has said before (Welleck et al. 2020, seq-rep-4).

Distinct-n looks at the whole sample; a model that loops inside each text but never the same way is caught only here.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric
from provenance.recursion.metrics.ngrams import ngram_codes

ORDER = 4


def repetition(ids: NDArray[np.integer], offsets: NDArray[np.int64]) -> float:
    """Mean over documents of 1 − different / all 4-grams; documents shorter than that are left out, 0.0 for none."""
    codes, owner = ngram_codes(ids, offsets, ORDER)
    if len(codes) == 0:
        return 0.0
    # Owners ascend, so a stable sort by n-gram puts what a document says twice side by side.
    order = np.argsort(codes, kind="stable")
    codes, owner = codes[order], owner[order]
    new = np.r_[True, (codes[1:] != codes[:-1]) | (owner[1:] != owner[:-1])]
    total = np.bincount(owner)
    different = np.bincount(owner, weights=new)
    return float((1 - different[total > 0] / total[total > 0]).mean())


METRIC = Metric(
    name="repetition_4",
    unit="fraction",
    higher_is_better=False,
    needs=("sample_ids", "sample_offsets"),
    measure=repetition,
)

"""Distinct-n (Li et al. 2016): the share of n-grams that are different. Falls with sample size, so compare equal sizes.

The engine samples the same number of tokens every generation, which is what makes the number comparable.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric
from provenance.recursion.metrics.ngrams import ngram_codes


def distinct(n: int, ids: NDArray[np.integer], offsets: NDArray[np.int64]) -> float:
    """Different n-grams over all n-grams; n-grams do not cross documents. 0.0 when there is none."""
    codes, _ = ngram_codes(ids, offsets, n)
    if len(codes) == 0:
        return 0.0
    codes.sort()  # np.unique hashes, which is slower here than sorting
    return (1 + int(np.count_nonzero(np.diff(codes)))) / len(codes)


def _metric(n: int) -> Metric:
    def measure(ids: NDArray[np.integer], offsets: NDArray[np.int64]) -> float:
        return distinct(n, ids, offsets)

    measure.__doc__ = f"Different {n}-grams over all {n}-grams of the generated text."
    return Metric(
        name=f"distinct_{n}",
        unit="fraction",
        higher_is_better=True,
        needs=("sample_ids", "sample_offsets"),
        measure=measure,
    )


DISTINCT_1: Metric = _metric(1)
DISTINCT_2: Metric = _metric(2)
DISTINCT_3: Metric = _metric(3)

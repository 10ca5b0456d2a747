"""Entropy of the sampled tokens' frequencies, in bits: how evenly the vocabulary is used.

The plug-in estimate is biased low by about (types - 1) / (2 tokens ln 2) bits; samples of equal size share the bias.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric


def token_entropy(ids: NDArray[np.integer]) -> float:
    """Shannon entropy of the empirical token distribution; 0.0 for no tokens."""
    counts = np.bincount(ids) if len(ids) else np.zeros(0)
    p = counts[counts > 0] / max(len(ids), 1)
    return float(-(p * np.log2(p)).sum())


METRIC = Metric(name="token_entropy", unit="bit", higher_is_better=True, needs=("sample_ids",), measure=token_entropy)

"""How much of the real vocabulary is still alive: all of it, the share that survives, and the rare words' share.

Rare words are the real training set's words that occur at most `RARE` times there: the tail that collapse eats first.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric

RARE = 2
"""Occurrences in the real training set up to which a word counts as rare."""


def vocabulary(ids: NDArray[np.integer]) -> float:
    """Number of different tokens."""
    return float(len(np.unique(ids)))


def coverage(real_ids: NDArray[np.integer], ids: NDArray[np.integer]) -> float:
    """Share of the real training set's different tokens that occur in the sample."""
    return float(np.isin(np.unique(real_ids), ids).mean()) if len(real_ids) else float("nan")


def rare_coverage(real_ids: NDArray[np.integer], ids: NDArray[np.integer]) -> float:
    """The same for tokens the real training set holds at most `RARE` times."""
    tokens, counts = np.unique(real_ids, return_counts=True)
    rare = tokens[counts <= RARE]
    return float(np.isin(rare, ids).mean()) if len(rare) else float("nan")


VOCABULARY = Metric(name="vocabulary", unit="tokens", higher_is_better=True, needs=("sample_ids",), measure=vocabulary)
VOCABULARY_COVERAGE = Metric(
    name="vocabulary_coverage",
    unit="fraction",
    higher_is_better=True,
    needs=("real_ids", "sample_ids"),
    measure=coverage,
)
RARE_WORD_COVERAGE = Metric(
    name="rare_word_coverage",
    unit="fraction",
    higher_is_better=True,
    needs=("real_ids", "sample_ids"),
    measure=rare_coverage,
)

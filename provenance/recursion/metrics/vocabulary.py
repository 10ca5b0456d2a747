"""How much of the real vocabulary is still alive: all of it, the share that survives, and the rare words' share.

Words are words whatever a model's tokens are: of a byte-pair vocabulary the rare tokens are leftovers of its making.

Rare words are those that occur at most `RARE` times in the real text: the tail that collapse eats first.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric

RARE = 2
"""Occurrences in the real text up to which a word counts as rare."""


def vocabulary(ids: NDArray[np.integer]) -> float:
    """Number of different words."""
    return float(np.count_nonzero(np.bincount(ids))) if len(ids) else 0.0


def coverage(real_ids: NDArray[np.integer], ids: NDArray[np.integer]) -> float:
    """Share of the real text's different words that occur in the sample."""
    return _alive(np.bincount(real_ids) > 0, ids)


def rare_coverage(real_ids: NDArray[np.integer], ids: NDArray[np.integer]) -> float:
    """Share of the words that the real text holds only once or twice that occur in the sample."""
    counts = np.bincount(real_ids)
    return _alive((counts > 0) & (counts <= RARE), ids)


def _alive(wanted: NDArray[np.bool_], ids: NDArray[np.integer]) -> float:
    if not wanted.any():
        return float("nan")
    return float((np.bincount(ids, minlength=len(wanted))[: len(wanted)][wanted] > 0).mean())


VOCABULARY = Metric(name="vocabulary", unit="words", higher_is_better=True, needs=("sample_words",), measure=vocabulary)
VOCABULARY_COVERAGE = Metric(
    name="vocabulary_coverage",
    unit="fraction",
    higher_is_better=True,
    needs=("real_words", "sample_words"),
    measure=coverage,
)
RARE_WORD_COVERAGE = Metric(
    name="rare_word_coverage",
    unit="fraction",
    higher_is_better=True,
    needs=("real_words", "sample_words"),
    measure=rare_coverage,
)

"""Scores of any detector to log likelihood ratios, by what kind of score they are. Knows numbers, no texts."""

import numpy as np
from numpy.typing import NDArray

from provenance.tagging.reading import Reading
from provenance.types import EvidenceKind

Floats = NDArray[np.float64]
_SMALLEST_P = 1e-300
_INVERSE_E = 1 / np.e


def to_log_lr(kind: EvidenceKind, score_is: str, scores: Floats, reading: Reading | None) -> Floats:
    """NaN where the score is NaN, and everywhere for raw scores without a calibration.

    A declaration's weight is a rule, not a measurement: it is set when tags are resolved.
    """
    if kind is EvidenceKind.DECLARED:
        return np.full(len(scores), np.nan)
    if score_is == "log_lr":
        # A rule that does not hit says nothing, which is not the same as evenly balanced.
        return np.where(scores == 0, np.nan, scores)
    if score_is == "minus_log10_p":
        return np.sign(scores) * p_value_log_lr(np.power(10.0, -np.abs(scores)))
    return reading.anywhere.log_lr(scores) if reading is not None else np.full(len(scores), np.nan)


def p_value_log_lr(p_values: Floats) -> Floats:
    """The most a p-value can support (Vovk and Sellke): ln 1 / (-e p ln p), and 0 where p >= 1/e."""
    bounded = np.clip(p_values, _SMALLEST_P, _INVERSE_E)
    return np.where(np.isnan(p_values), np.nan, -np.log(-np.e * bounded * np.log(bounded)) + 0.0)

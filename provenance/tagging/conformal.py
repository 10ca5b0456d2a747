"""Flagging with a promise: of human texts like the sample, at most this share is flagged. Knows scores, no texts.

A conformal p-value is the rank of a score among known-human scores. It needs no model of anything, only that the texts
judged, where human, are like the sample (exchangeable). It can never say that a text is human.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provenance.errors import DataError

Floats = NDArray[np.float64]
MIN_POWER = 0.2


@dataclass(frozen=True, slots=True)
class HumanReference:
    """Scores of known-human texts, sorted, without abstentions."""

    scores: Floats

    @classmethod
    def of(cls, scores: Floats) -> "HumanReference":
        """From raw scores. Raises DataError when none is left."""
        known = np.sort(scores[np.isfinite(scores)])
        if len(known) == 0:
            raise DataError(
                f"none of the {len(scores)} human texts could be scored",
                hint="the detector abstained: texts under 30 words, or not English prose",
            )
        return cls(known)

    def p_values(self, scores: Floats) -> Floats:
        """(1 + human scores at least as high) / (1 + human scores); NaN stays NaN."""
        scores = np.asarray(scores, dtype=np.float64)
        at_least = len(self.scores) - np.searchsorted(self.scores, np.nan_to_num(scores), side="left")
        return np.where(np.isfinite(scores), (1 + at_least) / (1 + len(self.scores)), np.nan)

    def can_flag_at(self, rate: float) -> bool:
        """Whether the sample is large enough to flag anything at `rate`: at least 1/rate - 1 texts."""
        return len(self.scores) >= needed_humans(rate)

    def standardised(self, scores: Floats) -> Floats:
        """Scores in standard deviations of the sample, from its mean."""
        spread = float(self.scores.std())
        if spread == 0:
            raise DataError(f"all {len(self.scores)} human texts score {self.scores[0]:g}: nothing to calibrate")
        return np.asarray((scores - self.scores.mean()) / spread, dtype=np.float64)


def needed_humans(rate: float) -> int:
    """The fewest known-human texts with which anything can be flagged at `rate`."""
    return math.ceil(1 / rate - 1 - 1e-9)

"""Scores to log likelihood ratios that claim no more than their calibration set can show. Knows numbers, no texts."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from provenance.errors import DataError

Floats = NDArray[np.float64]
_MIN_PER_CLASS = 10
_PRIOR_TEXTS = 20
"""How many local labels a calibration made elsewhere is worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A logistic map from score to log likelihood ratio (nats, model over human), bounded on both sides."""

    slope: float
    intercept: float
    num_human: int
    num_model: int
    missed_share: float
    """Share of model texts that look human to this detector (from generators it never saw in training).

    It bounds what a low score can say: at best log(missed_share), because an unseen generator scores low too.
    """

    def log_lr(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log likelihood ratio per score; NaN stays NaN."""
        raw = np.clip(self.slope * np.asarray(scores, dtype=np.float64) + self.intercept, -50.0, 50.0)
        # A model text is, with probability missed_share, one that looks human: a mixture of the two densities.
        mixed = np.log((1.0 - self.missed_share) * np.exp(raw) + self.missed_share)
        return np.clip(mixed, -self.bound, self.bound)

    @property
    def bound(self) -> float:
        """log(n + 1): n human texts without a false positive cannot show a likelihood ratio above n + 1."""
        return math.log(min(self.num_human, self.num_model) + 1)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a card."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what `to_json` gave. Raises DataError."""
        try:
            return cls(**value)
        except TypeError as error:
            raise DataError(f"not a calibration: {error}") from error


def fit_calibration(
    scores: NDArray[np.float64],
    is_model: NDArray[np.bool_],
    *,
    missed_share: float | None = None,
    prior: Calibration | None = None,
) -> Calibration:
    """Logistic calibration from held-out scores; NaN scores are left out.

    `missed_share` defaults to twice the share of the model texts that score below the human median. With a `prior`,
    made elsewhere on many texts, a few local labels move it as far as they can justify; without one the fit is Platt's.
    Local labels show the generators in question themselves, so no more are taken for missed than so few can rule out.
    Raises DataError when a class has fewer than 10 scores or the scores do not vary.
    """
    known = np.isfinite(scores)
    scores, is_model = scores[known], is_model[known]
    num_model, num_human = int(is_model.sum()), int((~is_model).sum())
    if min(num_model, num_human) < _MIN_PER_CLASS:
        raise DataError(
            f"calibration needs {_MIN_PER_CLASS} scored texts of each class, got {num_human} human, {num_model} model"
        )
    if scores.std() == 0:
        raise DataError(f"all {len(scores)} scores are {scores[0]:g}: nothing to calibrate")
    slope, intercept = _logistic_fit(scores, is_model, prior)
    least = 1 / (num_model + (_PRIOR_TEXTS if prior is not None else 0) + 2)
    if missed_share is None:
        # Texts that score like people's fall below the human median as often as above it.
        hidden = 2.0 * float(np.mean(scores[is_model] <= np.median(scores[~is_model])))
        missed_share = hidden if prior is None else least
    return Calibration(
        slope=slope,
        intercept=intercept,
        num_human=num_human + (prior.num_human if prior is not None else 0),
        num_model=num_model + (prior.num_model if prior is not None else 0),
        missed_share=min(max(missed_share, least), 1.0),
    )


def _logistic_fit(scores: Floats, is_model: NDArray[np.bool_], prior: Calibration | None) -> tuple[float, float]:
    """Slope and intercept that make slope * score + intercept a log likelihood ratio."""
    from scipy.optimize import minimize

    num_model, num_human = int(is_model.sum()), int((~is_model).sum())
    centre, scale = float(scores.mean()), float(scores.std())
    # Platt's smoothing stands in for a prior where there is none.
    smooth = 1.0 if prior is None else 0.0
    target = np.where(is_model, (num_model + smooth) / (num_model + 2 * smooth), smooth / (num_human + 2 * smooth))
    # Each class weighs the same, so the fitted log odds are log likelihood ratios.
    weight = np.where(is_model, 0.5 / num_model, 0.5 / num_human)
    x = (scores - centre) / scale
    start, pull = np.array([1.0, 0.0]), np.zeros(2)
    if prior is not None:
        start = np.array([prior.slope * scale, prior.slope * centre + prior.intercept])
        # Slopes elsewhere vary by about half of their size, intercepts by about one.
        spread = np.array([0.5 * max(start[0], 0.1), 1.0])
        pull = 1.0 / (spread**2 * len(scores))

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = parameters[0] * x + parameters[1]
        error = weight * (1.0 / (1.0 + np.exp(-np.clip(z, -500, 500))) - target)
        away = parameters - start
        value = float(np.sum(weight * (np.logaddexp(0.0, z) - target * z)) + 0.5 * np.sum(pull * away**2))
        return value, np.array([error @ x, error.sum()]) + pull * away

    found = minimize(loss, start, jac=True, method="BFGS").x
    # A detector that is worse than chance here says nothing; it is not read backwards.
    slope = max(float(found[0]), 0.0) / scale
    return slope, (float(found[1]) if slope > 0 else 0.0) - slope * centre

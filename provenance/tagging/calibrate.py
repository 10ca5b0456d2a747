"""Scores to log likelihood ratios that claim no more than their calibration set can show. Knows numbers, no texts."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from provenance.errors import DataError

Floats = NDArray[np.float64]
_MIN_PER_CLASS = 10


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
    weights: Floats | None = None,
    missed_share: float | None = None,
) -> Calibration:
    """Logistic calibration (Platt's) from held-out scores; NaN scores are left out.

    `weights` are relative inside a class; both classes always weigh the same. `missed_share` defaults to twice the
    share of the model texts that score below the human median. Raises DataError when a class has fewer than 10 scores
    or the scores do not vary.
    """
    known = np.isfinite(scores)
    weights = (np.ones(len(scores)) if weights is None else weights)[known]
    scores, is_model = scores[known], is_model[known]
    num_model, num_human = int(is_model.sum()), int((~is_model).sum())
    if min(num_model, num_human) < _MIN_PER_CLASS:
        raise DataError(
            f"calibration needs {_MIN_PER_CLASS} scored texts of each class, got {num_human} human, {num_model} model"
        )
    if scores.std() == 0:
        raise DataError(f"all {len(scores)} scores are {scores[0]:g}: nothing to calibrate")
    slope, intercept = _logistic_fit(scores, is_model, weights)
    if missed_share is None:
        # Texts that score like people's fall below the human median as often as above it.
        missed_share = 2.0 * float(np.mean(scores[is_model] <= np.median(scores[~is_model])))
    return Calibration(
        slope=slope,
        intercept=intercept,
        num_human=num_human,
        num_model=num_model,
        missed_share=min(max(missed_share, 1 / (num_model + 2)), 1.0),
    )


def _logistic_fit(scores: Floats, is_model: NDArray[np.bool_], weights: Floats) -> tuple[float, float]:
    """Slope and intercept that make slope * score + intercept a log likelihood ratio."""
    from scipy.optimize import minimize

    num_model, num_human = int(is_model.sum()), int((~is_model).sum())
    centre, scale = float(scores.mean()), float(scores.std())
    target = np.where(is_model, (num_model + 1) / (num_model + 2), 1 / (num_human + 2))
    # Each class weighs the same, so the fitted log odds are log likelihood ratios.
    weight = 0.5 * weights / np.where(is_model, weights[is_model].sum(), weights[~is_model].sum())
    x = (scores - centre) / scale

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = parameters[0] * x + parameters[1]
        error = weight * (1.0 / (1.0 + np.exp(-np.clip(z, -500, 500))) - target)
        value = float(np.sum(weight * (np.logaddexp(0.0, z) - target * z)))
        return value, np.array([error @ x, error.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    # A detector that is worse than chance here says nothing; it is not read backwards.
    slope = max(float(found[0]), 0.0) / scale
    return slope, (float(found[1]) if slope > 0 else 0.0) - slope * centre

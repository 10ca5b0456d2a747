"""Scores to log likelihood ratios that claim no more than their calibration set can show. Knows numbers, no texts."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from provenance.errors import DataError

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
    scores: NDArray[np.float64], is_model: NDArray[np.bool_], *, missed_share: float | None = None
) -> Calibration:
    """Logistic calibration (Platt with his target smoothing) from held-out scores; NaN scores are left out.

    `missed_share` defaults to the share of the model texts that score below the human 95th percentile.
    Raises DataError when a class has fewer than 10 scores or the scores do not vary.
    """
    from scipy.optimize import minimize

    known = np.isfinite(scores)
    scores, is_model = scores[known], is_model[known]
    num_model, num_human = int(is_model.sum()), int((~is_model).sum())
    if min(num_model, num_human) < _MIN_PER_CLASS:
        raise DataError(
            f"calibration needs {_MIN_PER_CLASS} scored texts of each class, got {num_human} human, {num_model} model"
        )
    centre, scale = float(scores.mean()), float(scores.std())
    if scale == 0:
        raise DataError(f"all {len(scores)} scores are {centre:g}: nothing to calibrate")
    target = np.where(is_model, (num_model + 1) / (num_model + 2), 1 / (num_human + 2))
    # Each class weighs the same, so the fitted log odds are log likelihood ratios.
    weight = np.where(is_model, 0.5 / num_model, 0.5 / num_human)
    x = (scores - centre) / scale

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = parameters[0] * x + parameters[1]
        error = weight * (1.0 / (1.0 + np.exp(-np.clip(z, -500, 500))) - target)
        value = float(np.sum(weight * (np.logaddexp(0.0, z) - target * z)))
        return value, np.array([error @ x, error.sum()])

    slope, intercept = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    # A detector that is worse than chance here says nothing; it is not read backwards.
    slope = max(float(slope), 0.0) / scale
    if missed_share is None:
        missed_share = float(np.mean(scores[is_model] <= np.quantile(scores[~is_model], 0.95)))
    return Calibration(
        slope=slope,
        intercept=(float(intercept) if slope > 0 else 0.0) - slope * centre,
        num_human=num_human,
        num_model=num_model,
        missed_share=min(max(missed_share, 1 / (num_model + 2)), 1.0),
    )

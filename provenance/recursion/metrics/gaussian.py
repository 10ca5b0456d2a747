"""How far a fitted Gaussian is from the real one: its own variance, its errors, Wasserstein-2, Kullback-Leibler.

All are exact functions of the two parameters. One dimension: float64[replicas]; more: covariances stacked.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric

Floats = NDArray[np.float64]


def _per_dimension(x: Floats) -> Floats:
    """Mean over dimensions where there is more than one."""
    return x if x.ndim == 1 else np.asarray(x.mean(axis=1))


def variance(sd: Floats) -> Floats:
    """The fitted variance, per dimension."""
    return _per_dimension(sd**2)


def fitted_sd(sd: Floats) -> Floats:
    """The fitted standard deviation, per dimension."""
    return _per_dimension(sd)


def log_variance(sd: Floats) -> Floats:
    """Log of the fitted variance: a few replicas rule the mean of the variance, not that of its logarithm."""
    with np.errstate(divide="ignore"):
        return _per_dimension(2.0 * np.log(sd))


def squared_mean_error(mean: Floats, real_mean: float) -> Floats:
    """(fitted mean - real mean)^2, per dimension."""
    return _per_dimension((mean - real_mean) ** 2)


def mean_error(mean: Floats, real_mean: float) -> Floats:
    """|fitted mean - real mean|: the published figure's left panel."""
    return _per_dimension(np.abs(mean - real_mean))


def sd_error(sd: Floats, real_sd: float) -> Floats:
    """|fitted sd - real sd|: the published figure's right panel."""
    return _per_dimension(np.abs(sd - real_sd))


def w2_squared(mean: Floats, sd: Floats, real_mean: float, real_sd: float) -> Floats:
    """Squared Wasserstein-2 distance to the real Gaussian, which is round: principal deviations are all it takes."""
    gap = (mean - real_mean) ** 2 + (sd - real_sd) ** 2
    return gap if gap.ndim == 1 else np.asarray(gap.sum(axis=1))


def kl_divergence(one_dimensional: tuple[Floats, Floats, float, float]) -> Floats:
    """KL(real || fitted) in nats: what the fitted model costs on real data."""
    mean, sd, real_mean, real_sd = one_dimensional
    ratio = (real_sd / sd) ** 2
    return 0.5 * (ratio - 1.0 - np.log(ratio) + ((mean - real_mean) / sd) ** 2)


def log_det(value: Floats) -> Floats:
    """Log determinant of the covariance."""
    return value


FITTED_SD = Metric(name="fitted_sd", unit="sigma", higher_is_better=None, needs=("sd",), measure=fitted_sd)
VARIANCE = Metric(name="variance", unit="sigma^2", higher_is_better=None, needs=("sd",), measure=variance)
LOG_VARIANCE = Metric(name="log_variance", unit="nat", higher_is_better=None, needs=("sd",), measure=log_variance)
SQUARED_MEAN_ERROR = Metric(
    name="squared_mean_error",
    unit="sigma^2",
    higher_is_better=False,
    needs=("mean", "real_mean"),
    measure=squared_mean_error,
)
MEAN_ERROR = Metric(
    name="mean_error", unit="sigma", higher_is_better=False, needs=("mean", "real_mean"), measure=mean_error
)
SD_ERROR = Metric(name="sd_error", unit="sigma", higher_is_better=False, needs=("sd", "real_sd"), measure=sd_error)
W2_SQUARED = Metric(
    name="w2_squared",
    unit="sigma^2",
    higher_is_better=False,
    needs=("mean", "sd", "real_mean", "real_sd"),
    measure=w2_squared,
)
KL_DIVERGENCE = Metric(
    name="kl_divergence", unit="nat", higher_is_better=False, needs=("one_dimensional",), measure=kl_divergence
)
LOG_DET = Metric(name="log_det", unit="nat", higher_is_better=None, needs=("log_det",), measure=log_det)

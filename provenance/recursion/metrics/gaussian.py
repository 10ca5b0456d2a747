"""How far a fitted Gaussian is from the real one: its own variance, its errors, Wasserstein-2, Kullback-Leibler.

All are exact functions of the two parameters. One dimension: float64[replicas]; more: covariances stacked.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric

Floats = NDArray[np.float64]

_NEEDS = ("mean", "sd", "real_mean", "real_sd")


def variance(sd: Floats) -> Floats:
    """The fitted variance."""
    return sd**2


def log_variance(sd: Floats) -> Floats:
    """Its logarithm, whose mean is finite-sample honest where that of the variance itself is ruled by rare replicas."""
    return 2.0 * np.log(sd)


def squared_mean_error(mean: Floats, real_mean: float) -> Floats:
    """(fitted mean - real mean)^2."""
    return (mean - real_mean) ** 2


def mean_error(mean: Floats, real_mean: float) -> Floats:
    """|fitted mean - real mean|, the published figure's left panel."""
    return np.abs(mean - real_mean)


def sd_error(sd: Floats, real_sd: float) -> Floats:
    """|fitted sd - real sd|, its right panel."""
    return np.abs(sd - real_sd)


def w2_squared(mean: Floats, sd: Floats, real_mean: float, real_sd: float) -> Floats:
    """Squared Wasserstein-2 distance between the two Gaussians."""
    return (mean - real_mean) ** 2 + (sd - real_sd) ** 2


def kl_divergence(mean: Floats, sd: Floats, real_mean: float, real_sd: float) -> Floats:
    """KL(real || fitted) in nats: what the fitted model costs on real data."""
    ratio = (real_sd / sd) ** 2
    return 0.5 * (ratio - 1.0 - np.log(ratio) + ((mean - real_mean) / sd) ** 2)


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
W2_SQUARED = Metric(name="w2_squared", unit="sigma^2", higher_is_better=False, needs=_NEEDS, measure=w2_squared)
KL_DIVERGENCE = Metric(name="kl_divergence", unit="nat", higher_is_better=False, needs=_NEEDS, measure=kl_divergence)

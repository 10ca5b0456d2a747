"""Distance of a fitted Gaussian mixture to the real one, and how wide its components still are."""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric

Floats = NDArray[np.float64]
Mixture = tuple[Floats, Floats, Floats]
"""Weights (replicas, k), means (replicas, k, d), covariances (replicas, k, d, d)."""


def l2_distance(fitted: Mixture, real: Mixture) -> Floats:
    """Squared L2 distance of the two densities, in closed form: integrals of products of Gaussians."""
    return np.asarray(_overlap(fitted, fitted) + _overlap(real, real) - 2.0 * _overlap(fitted, real))


def _overlap(one: Mixture, two: Mixture) -> Floats:
    """Integral of the product of two mixtures: sum a_i b_j N(mu_i - mu_j; 0, S_i + S_j)."""
    (wa, ma, ca), (wb, mb, cb) = one, two
    gap = ma[:, :, None, :] - mb[:, None, :, :]
    cov = ca[:, :, None, :, :] + cb[:, None, :, :, :]
    d = gap.shape[-1]
    exponent = -0.5 * (gap * np.linalg.solve(cov, gap[..., None])[..., 0]).sum(axis=-1)
    density = np.exp(exponent) / np.sqrt((2.0 * np.pi) ** d * np.linalg.det(cov))
    return np.asarray((wa[:, :, None] * wb[:, None, :] * density).sum(axis=(1, 2)))


def component_sd(fitted: Mixture) -> Floats:
    """Geometric mean of the components' standard deviations along their axes."""
    determinant = np.linalg.det(fitted[2])
    return np.asarray((determinant ** (1.0 / (2 * fitted[1].shape[-1]))).mean(axis=1))


L2_DISTANCE = Metric(
    name="l2_distance", unit="density^2", higher_is_better=False, needs=("mixture", "real_mixture"), measure=l2_distance
)
COMPONENT_SD = Metric(
    name="component_sd", unit="sigma", higher_is_better=None, needs=("mixture",), measure=component_sd
)

"""Expectation-maximisation for Gaussian mixtures in two dimensions, compiled. Knows arrays alone.

One pass over the data per iteration, with the 2 x 2 inverses in closed form, where a general implementation builds
responsibilities and does linear algebra per component. Same fixed points, same stopping rule (change of the mean log
likelihood) and same floor on the covariance as scikit-learn's GaussianMixture(covariance_type="full").
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
F = TypeVar("F", bound=Callable[..., Any])

REG_COVAR = 1e-6
"""Added to the covariance's diagonal, scikit-learn's default: the collapsed mixture stops here."""


def _compiled(function: F) -> F:
    compiled: F = numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})(function)
    return compiled


@_compiled
def em(x: Floats, weights: Floats, means: Floats, covs: Floats, tol: float, max_iter: int, reg: float) -> Any:
    """Improve a mixture in place until the mean log likelihood changes by less than `tol`.

    x (n, 2); weights (k,), means (k, 2), covs (k, 2, 2) hold the start and then the result. Returns iterations and the
    last mean log likelihood; iterations is negative where `max_iter` was not enough, 0 where a component died.
    """
    n, k = x.shape[0], weights.shape[0]
    a, b, c, const = np.empty(k), np.empty(k), np.empty(k), np.empty(k)
    total, sx, sy = np.empty(k), np.empty(k), np.empty(k)
    sxx, sxy, syy = np.empty(k), np.empty(k), np.empty(k)
    density = np.empty(k)
    previous = -np.inf
    for iteration in range(1, max_iter + 1):
        for j in range(k):
            determinant = covs[j, 0, 0] * covs[j, 1, 1] - covs[j, 0, 1] * covs[j, 0, 1]
            a[j] = covs[j, 1, 1] / determinant
            b[j] = -covs[j, 0, 1] / determinant
            c[j] = covs[j, 0, 0] / determinant
            const[j] = np.log(weights[j]) - 0.5 * np.log(determinant) - np.log(2.0 * np.pi)
            total[j] = sx[j] = sy[j] = sxx[j] = sxy[j] = syy[j] = 0.0
        likelihood = 0.0
        for i in range(n):
            top = -np.inf
            for j in range(k):
                u, v = x[i, 0] - means[j, 0], x[i, 1] - means[j, 1]
                density[j] = const[j] - 0.5 * (a[j] * u * u + 2.0 * b[j] * u * v + c[j] * v * v)
                top = max(top, density[j])
            normaliser = 0.0
            for j in range(k):
                density[j] = np.exp(density[j] - top)
                normaliser += density[j]
            likelihood += top + np.log(normaliser)
            for j in range(k):
                r = density[j] / normaliser
                # Moments around the current mean: around zero they would cancel once the mixture is narrow.
                u, v = x[i, 0] - means[j, 0], x[i, 1] - means[j, 1]
                total[j] += r
                sx[j] += r * u
                sy[j] += r * v
                sxx[j] += r * u * u
                sxy[j] += r * u * v
                syy[j] += r * v * v
        likelihood /= n
        for j in range(k):
            if total[j] < 1e-8:
                return 0, likelihood
            du, dv = sx[j] / total[j], sy[j] / total[j]
            weights[j] = total[j] / n
            means[j, 0] += du
            means[j, 1] += dv
            covs[j, 0, 0] = sxx[j] / total[j] - du * du + reg
            covs[j, 1, 1] = syy[j] / total[j] - dv * dv + reg
            covs[j, 0, 1] = covs[j, 1, 0] = sxy[j] / total[j] - du * dv
        if abs(likelihood - previous) < tol:
            return iteration, likelihood
        previous = likelihood
    return -max_iter, previous

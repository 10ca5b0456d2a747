"""Squared error of fitted coefficients: the excess risk on inputs of identity covariance."""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric

Floats = NDArray[np.float64]


def coefficient_error(coefficients: Floats, true_coefficients: Floats) -> Floats:
    """||w - truth||^2 of each replica."""
    return np.asarray(((coefficients - true_coefficients) ** 2).sum(axis=1))


METRIC = Metric(
    name="coefficient_error",
    unit="risk",
    higher_is_better=False,
    needs=("coefficients", "true_coefficients"),
    measure=coefficient_error,
)

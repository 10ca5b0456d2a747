"""Accuracy of a classifier on new real inputs, as the world computes it."""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric


def accuracy(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of real inputs classified rightly."""
    return value


METRIC = Metric(name="accuracy", unit="fraction", higher_is_better=True, needs=("accuracy",), measure=accuracy)

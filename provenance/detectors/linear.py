"""Domain-balanced logistic regression, the learner under the trained detectors. Knows matrices, not texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import DataError

ITERATIONS = 2000


def balanced_weights(is_model: NDArray[np.bool_], groups: Sequence[str] | None) -> NDArray[np.float64]:
    """Weights, mean 1, under which each (domain, class) counts as the square root of its size.

    Equal weight per row would learn the largest domain, equal weight per domain the noise of the smallest.
    """
    domains = np.asarray(groups if groups is not None else [""] * len(is_model))
    weights = np.zeros(len(is_model), dtype=np.float64)
    for domain in np.unique(domains):
        for label in (False, True):
            members = (domains == domain) & (is_model == label)
            if members.any():
                weights[members] = 1.0 / np.sqrt(members.sum())
    for label in (False, True):
        weights[is_model == label] *= 0.5 * len(is_model) / weights[is_model == label].sum()
    return weights


def fit_logistic(
    features: Any, is_model: NDArray[np.bool_], *, groups: Sequence[str] | None, strength: float
) -> tuple[NDArray[np.float64], float]:
    """Coefficients and intercept; `features` is dense or sparse. Raises DataError on one class only."""
    from sklearn.linear_model import LogisticRegression

    check_two_classes(is_model)
    solver = "lbfgs" if isinstance(features, np.ndarray) else "liblinear"
    model = LogisticRegression(C=strength, max_iter=ITERATIONS, solver=solver, random_state=0)
    model.fit(features, is_model, sample_weight=balanced_weights(is_model, groups))
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def check_two_classes(is_model: NDArray[np.bool_]) -> None:
    """Raise DataError unless there are texts of both classes."""
    num_model = int(np.sum(is_model))
    num_human = len(is_model) - num_model
    if min(num_model, num_human) < 2:
        raise DataError(
            f"training needs human and model texts, got {num_human} human and {num_model} model",
            hint="check --label-field: its values must be human and model",
        )

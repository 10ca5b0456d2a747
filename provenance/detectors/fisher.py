"""The learner under the trained detectors: Fisher's discriminant from matched differences. Knows matrices, not texts.

    w = (C_human + C_model + ridge I)^-1  mean over domains of (model mean - human mean in that domain)

The direction comes from comparisons inside a domain, so it cannot learn which domain is the model's. What is divided
out is how human texts of every domain differ from each other, so human texts without a model counterpart (books,
speeches, textbooks) teach what not to react to. On four domains, each left out in turn and scores pooled, this raised
AUROC from 0.913 (logistic regression on the same features) to 0.951 and TPR at 1 % FPR from 0.12 to 0.43.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, cg

from provenance.errors import DataError

_ITERATIONS = 80
_TOLERANCE = 1e-4
_MIN_MATCHED = 10
"""Fewer human texts than this in a domain give no mean to compare with; all human texts stand in."""


def fit_fisher(
    features: Any, is_model: NDArray[np.bool_], *, groups: Sequence[str] | None, ridge: float
) -> NDArray[np.float64]:
    """The discriminant direction over `features` (dense or sparse rows). Raises DataError on one class only."""
    check_two_classes(is_model)
    delta, spread, cell = _row_weights(is_model, np.asarray(groups if groups is not None else [""] * len(is_model)))
    members = csr_matrix((np.ones(len(cell)), (cell, np.arange(len(cell)))), shape=(cell.max() + 1, len(cell)))
    cell_weight = members @ spread

    def covariance(direction: NDArray[np.float64]) -> NDArray[np.float64]:
        projected = features @ direction
        centre = (members @ (spread * projected)) / cell_weight
        return np.asarray(features.T @ (spread * (projected - centre[cell])) + ridge * direction)

    size = features.shape[1]
    # Conjugate gradients: the covariance of 393,216 n-grams is never written down.
    operator = LinearOperator((size, size), matvec=covariance, dtype=np.float64)
    solution, _ = cg(operator, features.T @ delta, rtol=_TOLERANCE, maxiter=_ITERATIONS)
    return np.asarray(solution, dtype=np.float64)


def _row_weights(
    is_model: NDArray[np.bool_], groups: NDArray[np.str_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Per row: its weight in the mean difference, its weight in the covariance, and the cell it is centred in.

    A group counts as the square root of its size. Human texts are one cell, because how domains differ is noise;
    model texts are a cell per group, because how far a model's mean moves is the signal.
    """
    delta, spread = np.zeros(len(is_model)), np.zeros(len(is_model))
    cell = np.zeros(len(is_model), dtype=np.int64)
    domains = np.array([domain_of(group) for group in groups.tolist()])
    human = [np.flatnonzero((domains == name) & ~is_model) for name in np.unique(domains)]
    model = [np.flatnonzero((groups == name) & is_model) for name in np.unique(groups)]
    human_total = sum(np.sqrt(len(rows)) for rows in human)
    model_total = sum(np.sqrt(len(rows)) for rows in model)
    for rows in human:
        spread[rows] = np.sqrt(len(rows)) / human_total / max(len(rows), 1)
    anywhere = np.where(is_model, 0.0, spread)
    number = 1
    for rows in model:
        if len(rows) == 0:
            continue
        weight = np.sqrt(len(rows)) / model_total
        delta[rows] += weight / len(rows)
        spread[rows] = weight / len(rows)
        cell[rows] = number
        number += 1
        matched = np.flatnonzero((domains == domains[rows[0]]) & ~is_model)
        if len(matched) >= _MIN_MATCHED:
            delta[matched] -= weight / len(matched)
        else:
            delta -= weight * anywhere
    return delta, spread, cell


def domain_of(group: str) -> str:
    """The domain of a group. `stories/model-x` is a part of `stories`: a cell of its own, the same human texts."""
    return group.partition("/")[0]


def check_two_classes(is_model: NDArray[np.bool_]) -> None:
    """Raise DataError unless there are texts of both classes."""
    num_model = int(np.sum(is_model))
    num_human = len(is_model) - num_model
    if min(num_model, num_human) < 2:
        raise DataError(
            f"training needs human and model texts, got {num_human} human and {num_model} model",
            hint="check --label-field: its values must be human and model",
        )

"""The learner under the trained detectors: Fisher's discriminant from matched differences. Knows matrices, not texts.

    w = (C_human + C_model + ridge I)^-1  mean over domains of (model mean - human mean in that domain)

The direction comes from comparisons inside a domain, so it cannot learn which domain is the model's; a model text whose
domain has no human texts is compared with the nearest there are. What is divided out is how human texts of every domain
differ from each other, so human texts without a model counterpart (books, speeches, textbooks) teach what not to react
to. On four domains, each left out in turn and scores pooled, this raised AUROC from 0.913 (logistic regression on the
same features) to 0.951 and TPR at 1 % FPR from 0.12 to 0.43.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, cg

from provenance.errors import DataError

_ITERATIONS = 80
_TOLERANCE = 1e-4
_MIN_MATCHED = 10
"""Fewer human texts than this in a domain give no mean to compare with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What is known of each text, and which are compared."""

    is_model: NDArray[np.bool_]
    groups: NDArray[np.str_]
    """The domain; of a model text `domain/generator`."""
    nearest: NDArray[np.int64] | None = None
    """int64[texts, k]: rows of the human texts that each of `lone` is compared with, -1 for none. None: with all."""

    @classmethod
    def of(cls, is_model: NDArray[np.bool_], groups: Sequence[str] | None) -> Self:
        """Without groups all texts are of one domain."""
        return cls(is_model=is_model, groups=np.asarray(groups if groups is not None else [""] * len(is_model)))

    @property
    def lone(self) -> NDArray[np.int64]:
        """Rows of the model texts whose domain has too few human texts to be compared with."""
        domains = np.array([domain_of(group) for group in self.groups.tolist()])
        names, numbers = np.unique(domains, return_inverse=True)
        humans = np.bincount(numbers[~self.is_model], minlength=len(names))
        return np.flatnonzero(self.is_model & (humans[numbers] < _MIN_MATCHED))

    def take(self, rows: NDArray[np.int64]) -> Self:
        """The rows `rows`; who was near and is not among them is no longer compared with."""
        nearest = None
        if self.nearest is not None:
            place = np.full(len(self.is_model) + 1, -1, dtype=np.int64)
            place[rows] = np.arange(len(rows))
            nearest = place[self.nearest[rows]]
        return type(self)(is_model=self.is_model[rows], groups=self.groups[rows], nearest=nearest)


def fit_fisher(features: Any, design: Design, *, ridge: float) -> NDArray[np.float64]:
    """The discriminant direction over `features` (dense or sparse rows). Raises DataError on one class only."""
    check_two_classes(design.is_model)
    delta, spread, cell = _row_weights(design)
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


def _row_weights(design: Design) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Per row: its weight in the mean difference, its weight in the covariance, and the cell it is centred in.

    A group counts as the square root of its size. Human texts are one cell, because how domains differ is noise;
    model texts are a cell per group, because how far a model's mean moves is the signal.
    """
    is_model, groups = design.is_model, design.groups
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
        elif design.nearest is not None and (design.nearest[rows] >= 0).any():
            near = design.nearest[rows]
            delta -= weight * np.bincount(near[near >= 0], minlength=len(delta)) / np.sum(near >= 0)
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

"""The rows of `experiment theory`: what is checked, how it is judged. Knows numbers; the runs are in the check files.

A check compares a closed form with the engine's own simulation. It holds when they differ by at most four standard
errors plus the declared slack, which is 0 for exact laws. A control compares with a law that is wrong on purpose (wrong
divisor, off by one generation, replay instead of fresh, unshuffled pool): it must be told apart, or the check it guards
proves nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import ArrayLike

MAX_STANDARD_ERRORS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the table."""

    id: str
    what: str
    predicted: float
    simulated: float
    stderr: float
    slack: float = 0.0
    """Absolute error the law is allowed by its own derivation (first order, diffusion limit)."""
    control: bool = False
    """The prediction is wrong on purpose."""
    note: str = ""

    @property
    def standard_errors(self) -> float:
        """How far apart, in standard errors, after the slack."""
        apart = max(abs(self.simulated - self.predicted) - self.slack, 0.0)
        return apart / self.stderr if self.stderr > 0 else (0.0 if apart == 0.0 else inf)

    @property
    def ok(self) -> bool:
        """A law holds, a control is told apart."""
        holds = self.standard_errors <= MAX_STANDARD_ERRORS
        return not holds if self.control else holds

    @property
    def verdict(self) -> str:
        """In words."""
        if self.control:
            return "rejected, as it must be" if self.ok else "NOT REJECTED"
        return "holds" if self.ok else "FAILS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How hard to try: replicas are multiplied by `scale`."""

    scale: int
    seed: int

    def replicas(self, quick: int) -> int:
        """Replicas for a check that needs `quick` of them in quick mode."""
        return quick * self.scale


Checks = Callable[[Effort], Iterator[Check]]


def of_mean(id_: str, what: str, predicted: float, values: ArrayLike, *, slack: float = 0.0, note: str = "") -> Check:
    """A check of the mean of one value per replica."""
    array = np.asarray(values, dtype=np.float64)
    return Check(
        id=id_,
        what=what,
        predicted=predicted,
        simulated=float(array.mean()),
        stderr=float(array.std(ddof=1) / np.sqrt(len(array))),
        slack=slack,
        note=note,
    )


def wrong(id_: str, what: str, predicted: float, values: ArrayLike) -> Check:
    """A control: the mean of `values` must not agree with `predicted`."""
    check = of_mean(id_, what, predicted, values)
    return Check(id=id_, what=what, predicted=predicted, simulated=check.simulated, stderr=check.stderr, control=True)

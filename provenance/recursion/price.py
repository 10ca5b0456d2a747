"""The price of lost provenance: how much verified human data keeps collapse below a stated level. Knows numbers alone.

Experiments of one family differ in how much verified human data every training set holds, and in anything else. For
each policy and each setting of the rest, the answer is where the metric crosses the level, on a straight line between
the two amounts around it; the band is where the ends of its confidence interval cross.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isinf, sqrt

from scipy.special import stdtrit

CONFIDENCE = 0.95
"""Of the band: normal over replicas, Student's t over a few seeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The last generation of one run: where in the sweep, which policy, what came of it."""

    point: Mapping[str, float | str]
    policy: str
    value: float | None
    """None: it could not be measured, as of a model that collapsed; that is never good enough."""
    stderr: float | None
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PricePoint:
    """One cell of the phase diagram. None: not even the largest amount tried is enough."""

    setting: Mapping[str, float | str]
    policy: str
    smallest: float | None
    low: float | None
    high: float | None
    """The smallest amount, and its confidence band, in the axis's unit."""


_Number = tuple[float, float | None]
"""The metric, infinitely bad where it could not be measured, and its standard error."""


def price(observations: Iterable[Observation], *, axis: str, level: float, higher_is_better: bool) -> list[PricePoint]:
    """The phase diagram: one point for each policy and setting of the other axes, in the order they came."""
    sign = 1.0 if higher_is_better else -1.0
    curves: dict[tuple[str, tuple[tuple[str, float | str], ...]], dict[float, list[_Number]]] = {}
    for seen in observations:
        rest = tuple((name, value) for name, value in seen.point.items() if name != axis)
        number = (-sign * inf if seen.value is None else seen.value, seen.stderr)
        curves.setdefault((seen.policy, rest), {}).setdefault(float(seen.point[axis]), []).append(number)
    points = []
    for (policy, rest), amounts in curves.items():
        xs = sorted(amounts)
        middle = [_mean(amounts[x]) for x in xs]
        error = [_half_width(amounts[x]) for x in xs]
        crossings = [
            _crossing(xs, [sign * (m + shift * sign * e) for m, e in zip(middle, error, strict=True)], sign * level)
            for shift in (0.0, 1.0, -1.0)
        ]
        points.append(
            PricePoint(setting=dict(rest), policy=policy, smallest=crossings[0], low=crossings[1], high=crossings[2])
        )
    return points


def _mean(seen: Sequence[_Number]) -> float:
    return sum(value for value, _ in seen) / len(seen)


def _half_width(seen: Sequence[_Number]) -> float:
    """Of the mean's band: from the replicas where there are any, else from the spread over seeds."""
    mean, tail = _mean(seen), 0.5 + CONFIDENCE / 2
    if isinf(mean):
        return 0.0
    if all(stderr is not None for _, stderr in seen):
        return float(stdtrit(inf, tail)) * sqrt(sum((stderr or 0.0) ** 2 for _, stderr in seen)) / len(seen)
    if len(seen) < 2:
        return inf
    free = len(seen) - 1
    return float(stdtrit(free, tail)) * sqrt(sum((value - mean) ** 2 for value, _ in seen) / free / len(seen))


def _crossing(xs: Sequence[float], ys: Sequence[float], level: float) -> float | None:
    """The smallest x from which on y stays at or above the level, linear between the given points."""
    good = len(xs)
    while good > 0 and ys[good - 1] >= level:
        good -= 1
    if good == len(xs):
        return None
    if good == 0:
        return xs[0]
    below, above = ys[good - 1], ys[good]
    if below == -inf or above == inf:
        return xs[good]
    return xs[good - 1] + (xs[good] - xs[good - 1]) * (level - below) / (above - below)

"""How well scores tell model from human: AUROC, average precision, TPR at a false positive rate, with intervals.

Knows numbers only. Intervals are percentile bootstrap over texts, human and model resampled apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provenance.seeds import stream

FALSE_POSITIVE_RATES = (0.05, 0.01, 0.001)
_RESAMPLES = 400
_CHUNK = 50
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What one slice of texts shows; None where the slice is too small to say."""

    slice: str
    num_human: int
    num_model: int
    abstained: int
    auroc: Interval | None
    average_precision: float | None
    tpr_at: Mapping[float, Interval | None]
    """Share of model texts above the human quantile, by false positive rate. None under 1/rate human texts."""


def quality(scores: Floats, is_model: NDArray[np.bool_], *, name: str, seed: int = 0) -> Quality:
    """AUROC and friends of one slice; NaN scores are counted as abstentions and left out."""
    known = np.isfinite(scores)
    human, model = np.sort(scores[known & ~is_model]), np.sort(scores[known & is_model])
    abstained = int((~known).sum())
    if min(len(human), len(model)) < 2:
        empty: dict[float, Interval | None] = dict.fromkeys(FALSE_POSITIVE_RATES)
        return Quality(
            slice=name, num_human=len(human), num_model=len(model), abstained=abstained, auroc=None,
            average_precision=None, tpr_at=empty,
        )  # fmt: skip
    rng = stream(seed, "bootstrap", name)
    areas, rates = [], []
    for _ in range(0, _RESAMPLES, _CHUNK):
        area, rate = _resampled(human, model, rng)
        areas.append(area)
        rates.append(rate)
    area_samples, rate_samples = np.concatenate(areas), np.concatenate(rates)
    return Quality(
        slice=name,
        num_human=len(human),
        num_model=len(model),
        abstained=abstained,
        auroc=_interval(auroc(human, model), area_samples),
        average_precision=average_precision(human, model),
        tpr_at={
            rate: _interval(tpr_at(human, model, rate), rate_samples[:, k]) if len(human) * rate >= 1 else None
            for k, rate in enumerate(FALSE_POSITIVE_RATES)
        },
    )


def by_slice(
    scores: Floats, is_model: NDArray[np.bool_], slices: Mapping[str, Sequence[str]], *, against: str | None = None
) -> list[Quality]:
    """One Quality per value of each slicing. `slices["generator"]` names a model for model texts, "" for human ones.

    A generator, which has no human texts of its own, is read against those of its domains (`against`), else all.
    """
    found = [quality(scores, is_model, name="all")]
    domains = np.asarray(slices[against]) if against is not None and against in slices else None
    for kind, values in slices.items():
        labels = np.asarray(values)
        for value in np.unique(labels[labels != ""]):
            rows = labels == value
            if kind == "generator":
                near = ~is_model if domains is None else ~is_model & np.isin(domains, np.unique(domains[rows]))
                rows = rows | near
            found.append(quality(scores[rows], is_model[rows], name=f"{kind}={value}"))
    return found


def auroc(human: Floats, model: Floats) -> float:
    """Probability that a model text scores above a human one, ties counting half. Both sorted."""
    below = np.searchsorted(human, model, side="left") + np.searchsorted(human, model, side="right")
    return float(below.mean() / 2 / len(human))


def tpr_at(human: Floats, model: Floats, rate: float) -> float:
    """Share of model scores above the lowest threshold that at most `rate` of the human scores exceed. Both sorted."""
    threshold = human[len(human) - 1 - int(np.floor(rate * len(human)))]
    return float(np.mean(model > threshold))


def average_precision(human: Floats, model: Floats) -> float:
    """Mean precision over the model texts, from the highest score down; ties share one threshold. Both sorted."""
    thresholds = np.unique(model)[::-1]
    hits = len(model) - np.searchsorted(model, thresholds, side="left")
    false = len(human) - np.searchsorted(human, thresholds, side="left")
    return float(np.sum(np.diff(hits, prepend=0) * hits / (hits + false)) / len(model))


def clopper_pearson(successes: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The exact binomial interval for a rate; (0, 1) without trials."""
    from scipy.stats import beta

    if trials == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(beta.ppf(1 - tail, successes + 1, trials - successes))
    return low, high


def calibration_error(p_model: Floats, is_model: NDArray[np.bool_], *, bins: int = 10) -> float:
    """Expected calibration error: mean gap between predicted and observed share over equal-width bins."""
    known = np.isfinite(p_model)
    p_model, is_model = p_model[known], is_model[known]
    if len(p_model) == 0:
        return float("nan")
    cell = np.minimum((p_model * bins).astype(np.int64), bins - 1)
    sizes = np.bincount(cell, minlength=bins)
    gaps = np.abs(np.bincount(cell, p_model, minlength=bins) - np.bincount(cell, is_model, minlength=bins))
    return float(gaps.sum() / sizes.sum())


def _resampled(human: Floats, model: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """AUROC and TPRs of `_CHUNK` resamples."""
    humans = np.sort(human[rng.integers(0, len(human), (_CHUNK, len(human)))], axis=1)
    models = np.sort(model[rng.integers(0, len(model), (_CHUNK, len(model)))], axis=1)
    areas = np.array([auroc(h, m) for h, m in zip(humans, models, strict=True)])
    rates = np.array([[tpr_at(h, m, r) for r in FALSE_POSITIVE_RATES] for h, m in zip(humans, models, strict=True)])
    return areas, rates


def _interval(value: float, samples: Floats) -> Interval:
    low, high = np.quantile(samples, [0.025, 0.975])
    return Interval(value=value, low=float(low), high=float(high))

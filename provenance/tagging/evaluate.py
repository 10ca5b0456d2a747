"""Measuring a detector on labelled texts it did not see: quality, disguises, fairness, leaks. Writes nothing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provenance.errors import DataError
from provenance.plugins import Detector
from provenance.seeds import stream
from provenance.tagging.attacks import ATTACKS
from provenance.tagging.crossval import Labelled
from provenance.tagging.leaks import Leak, leak_report
from provenance.tagging.metrics import Interval, Quality, by_slice, clopper_pearson, quality
from provenance.tagging.train import length_bins

_FAIRNESS_RATES = (0.05, 0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupErrors:
    """How often the human texts of one group of writers are flagged at a threshold set on all of them."""

    group: str
    rate: float
    num_human: int
    observed: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything measured."""

    qualities: list[Quality]
    attacked: list[Quality]
    fairness: list[GroupErrors]
    leaks: list[Leak]


def evaluate(detector: Detector, data: Labelled, *, attacks: bool, seed: int = 0) -> Evaluation:
    """Score and measure. Only model texts are disguised: the false positives stay those of plain human text.

    Raises DataError when there is one class only.
    """
    if data.is_model.all() or not data.is_model.any():
        raise DataError("an evaluation needs human and model texts, got one class only")
    scores = detector.score(data.texts)
    slices = {"domain": data.domains, "generator": data.generators, "length": length_bins(data)}
    return Evaluation(
        qualities=by_slice(scores, data.is_model, slices, against="domain"),
        attacked=_attacked(detector, data, scores, seed) if attacks else [],
        fairness=fairness(scores, data) if data.writers else [],
        leaks=leak_report(data.texts, data.is_model, data.domains),
    )


def fairness(scores: NDArray[np.float64], data: Labelled) -> list[GroupErrors]:
    """False positive rate of each group of writers at thresholds that flag 5 % and 1 % of all human texts together."""
    known = np.isfinite(scores) & ~data.is_model
    labels = np.asarray(data.writers)[known]
    scores = scores[known]
    found = []
    for rate in _FAIRNESS_RATES:
        if len(scores) * rate < 1:
            continue
        threshold = np.sort(scores)[len(scores) - 1 - int(np.floor(rate * len(scores)))]
        for group in np.unique(labels):
            own = scores[labels == group]
            hits = int(np.sum(own > threshold))
            low, high = clopper_pearson(hits, len(own))
            observed = Interval(value=hits / len(own), low=low, high=high)
            found.append(GroupErrors(group=str(group), rate=rate, num_human=len(own), observed=observed))
    return found


def _attacked(detector: Detector, data: Labelled, plain: NDArray[np.float64], seed: int) -> list[Quality]:
    found = []
    rows = np.flatnonzero(data.is_model).tolist()
    for name, attack in ATTACKS.items():
        rng = stream(seed, "attack", name)
        scores = plain.copy()
        scores[rows] = detector.score([attack(data.texts[i], rng) for i in rows])
        found.append(quality(scores, data.is_model, name=f"attack={name}"))
    return found

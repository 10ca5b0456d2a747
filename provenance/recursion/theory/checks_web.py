"""Checks T13 of the price sweeps: a detector before the web and an archive beside it, in two worlds. Derived law."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from provenance.mixing.policy import Share
from provenance.recursion.config import Detection, Real, SimulatedDetector
from provenance.recursion.engine import Turn
from provenance.recursion.theory.checks import Check, Effort, of_mean, wrong
from provenance.recursion.theory.simulate import last, simulate
from provenance.recursion.theory.web import Web, drift

WEB = Web(budget=40, verified=10, arrivals=60, writes=300, true_positive_rate=0.6, false_positive_rate=0.2)
FITS = 10
SLACK = 0.01
"""Of the prediction: how much of what passed is the models' is known to second order."""


def gaussian(effort: Effort) -> Iterator[Check]:
    """Mean and variance of a Gaussian."""
    model = _last("gaussian", {"replicas": effort.replicas(2_500)}, effort).model
    predicted, squared = drift(FITS, WEB), model["mean"] ** 2
    slack = SLACK * predicted
    yield of_mean("T13", "Var mean, detected web and archive", predicted, squared, slack=slack, note="derived")
    yield of_mean("T13", "E s^2, detected web and archive", 1.0 - predicted, model["sd"] ** 2, slack=slack)
    unfiltered = replace(WEB, true_positive_rate=0.0, false_positive_rate=0.0)
    yield wrong("T13-", "no detector in front of the web", drift(FITS, unfiltered), squared)
    yield wrong("T13-", "all of the web is human", drift(FITS, replace(WEB, true_positive_rate=1.0)), squared)


def categorical(effort: Effort) -> Iterator[Check]:
    """The sum of squared frequencies of 200 states."""
    model = {"replicas": effort.replicas(1_000), "states": 200, "distribution": "zipf"}
    p = np.arange(1, 201) ** -1.0
    real = float(((p / p.sum()) ** 2).sum())
    squares = (_last("categorical", model, effort).model["p"] ** 2).sum(axis=1)
    predicted = drift(FITS, WEB) * (1.0 - real)
    yield of_mean("T13", "E sum p^2, detected web and archive", real + predicted, squares, slack=SLACK * predicted)
    yield wrong("T13-", "the archive is not drawn from", _sum_p2(replace(WEB, verified=0), real), squares)


def _sum_p2(web: Web, real: float) -> float:
    return real + (1.0 - real) * drift(FITS, web)


def _last(world: str, model: Mapping[str, Any], effort: Effort) -> Turn:
    """The last fit of the price sweeps' policy."""
    return last(
        simulate(
            world,
            model,
            [
                Share(where="generation = 0 and arrived = 0", take=WEB.verified),
                Share(where="arrived = (select max(arrived) from pool) and tag = 'human'", share=1.0),
            ],
            samples=WEB.budget,
            generations=FITS - 1,
            seed=effort.seed,
            real=Real(arrivals=WEB.arrivals),
            detection=Detection(
                simulated=SimulatedDetector(
                    true_positive_rate=WEB.true_positive_rate, false_positive_rate=WEB.false_positive_rate
                )
            ),
            writes=WEB.writes,
            measure_every=FITS,
        )
    )


GROUPS = (gaussian, categorical)

"""The loop: draw a training set, fit, sample, measure, put the samples into the pool. Knows no world by name.

Imports neither torch nor a catalog. Every random choice has a stream named by what it is for and the generation,
never by the policy: policies of one seed share generation 0 and differ by what they train on, not by luck.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from provenance import seeds
from provenance.errors import ProvenanceError
from provenance.mixing.policy import MixPolicy, shipped_policy
from provenance.plugins import METRICS, Arrays, Metric, Reference
from provenance.recursion.config import CONTROL
from provenance.recursion.training_set import Training, Written


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One metric of one generation: a number, or the spread of it over replicas."""

    metric: str
    value: float | None
    """The value, or the mean over replicas; None where it is not defined."""
    subgroup: str = ""
    stderr: float | None = None
    low: float | None = None
    """5 % and 95 % quantile over replicas."""
    high: float | None = None
    expected: float | None = None
    """The closed form, where the world knows one for this policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One finished generation."""

    generation: int
    training: Training
    model: Any
    written: Written
    metrics: list[Measured]
    raw: dict[str, Any] = field(default_factory=dict)
    """Metrics as measured, one value per replica."""
    seconds: float = 0.0


class Pool(Protocol):
    """What the loop asks of a pool; `documents.DocumentPool` and `cohorts.CohortPool` are the two."""

    held_out: Sequence[str]
    held_out_subgroup: Sequence[str | None]
    real: Sequence[Arrays]
    """All the real data there is, whatever a generation draws from it."""
    real_subgroup: Sequence[str | None]
    """The subgroup of each real document, where there are documents and it is known."""
    samples: int
    """Size of the first training set."""
    writes: int
    """How much each generation writes."""

    def begin(self) -> Training: ...
    def draw(self, policy: MixPolicy, *, generation: int) -> Training: ...
    def write(self, model: Any, *, generation: int) -> Written: ...
    def restore(self, *, generation: int, record: Arrays, kept: Arrays) -> None: ...
    def observe(self, written: Written) -> dict[str, Any]:
        """What metrics may look at that the pool knows and the world does not."""


def turns(
    world: Any,
    pool: Pool,
    policy: MixPolicy,
    *,
    seed: int,
    generations: int,
    metrics: Sequence[Metric] | None = None,
    measure_every: int = 1,
    done: Sequence["Finished"] = (),
) -> Iterator[Turn]:
    """Generations 0 to `generations`, those in `done` replayed into the pool and not yielded.

    Raises the library's errors with the policy and generation they happened in.
    """
    chosen = list(metrics) if metrics is not None else all_metrics()
    wanted = frozenset(need for metric in chosen for need in metric.needs)
    theory = _theory(world, policy)
    reference_model: Any = None
    for finished in done:
        pool.restore(generation=finished.generation, record=finished.record, kept=finished.kept)
        if finished.generation == 0:
            reference_model = world.restore(finished.weights)
    for generation in range(len(done), generations + 1):
        started = time.perf_counter()
        try:
            training = pool.begin() if generation == 0 else pool.draw(policy, generation=generation)
            model = world.fit(training.parts, seeds.stream(seed, "fit", generation))
            written = pool.write(model, generation=generation)
            if generation == 0:
                reference_model = model
            measured: list[Measured] = []
            raw: dict[str, Any] = {}
            if generation % measure_every == 0 or generation == generations:
                reference = Reference(
                    generation=generation,
                    real=pool.real,
                    model=reference_model,
                    real_subgroup=pool.real_subgroup,
                    held_out=pool.held_out,
                    held_out_subgroup=pool.held_out_subgroup,
                    wanted=wanted,
                )
                known = theory(generation, pool.samples) if _known_size(policy, pool, generation) else {}
                observed = world.observe(model, written.samples, reference) | pool.observe(written)
                measured, raw = measure(observed, chosen, known)
        except ProvenanceError as error:
            error.message = f"policy {policy.name!r}, generation {generation}: {error.message}"
            error.args = (error.message,)
            raise
        yield Turn(
            generation=generation,
            training=training,
            model=model,
            written=written,
            metrics=measured,
            raw=raw,
            seconds=time.perf_counter() - started,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A generation as stored, enough to go on after it."""

    generation: int
    record: Arrays
    kept: Arrays
    weights: Arrays
    """Generation 0's model; empty for later ones."""


def all_metrics() -> list[Metric]:
    """Every registered metric, by name."""
    return [METRICS.load(name) for name in METRICS]


def _known_size(policy: MixPolicy, pool: Pool, generation: int) -> bool:
    """Closed forms of what grows are about generations that write as much as the first one read."""
    return generation == 0 or policy.name in ("replace", CONTROL) or pool.writes == pool.samples


def _theory(world: Any, policy: MixPolicy) -> Callable[[int, int], Mapping[str, float]]:
    """Closed forms of this world under this policy: known for the shipped policies, not for namesakes of them."""
    shipped = shipped_policy(policy.name) == policy

    def known(generation: int, samples: int) -> Mapping[str, float]:
        # Generation 0 is shared by all policies: what is expected of it cannot depend on which of them came first.
        name = "replace" if generation == 0 else policy.name if shipped else None
        if name is None or not hasattr(world, "expected"):
            return {}
        found: Mapping[str, float] = world.expected(name, generation, samples)
        return found

    return known


def measure(
    observed: Mapping[str, Any], metrics: Sequence[Metric], expected: Mapping[str, float] | None = None
) -> tuple[list[Measured], dict[str, Any]]:
    """Every metric whose needs are met, summarised over replicas beside its closed form, and the raw values."""
    found: list[Measured] = []
    raw: dict[str, Any] = {}
    for metric in metrics:
        if not all(need in observed for need in metric.needs):
            continue
        value = metric.measure(*(observed[need] for need in metric.needs))
        raw[metric.name] = value
        groups = value if isinstance(value, Mapping) else {"": value}
        known = (expected or {}).get(metric.name)
        found += [_summary(metric.name, subgroup, number, known) for subgroup, number in groups.items()]
    return found, raw


def _summary(metric: str, subgroup: str, value: float | NDArray[np.float64], expected: float | None) -> Measured:
    values = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if not np.isfinite(values).all():
        return Measured(metric=metric, subgroup=subgroup, value=None, expected=expected)
    if len(values) == 1:
        return Measured(metric=metric, subgroup=subgroup, value=float(values[0]), expected=expected)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged run's numbers are finite, their squares are not
        spread = [values.mean(), values.std(ddof=1) / np.sqrt(len(values)), *np.quantile(values, [0.05, 0.95])]
    mean, stderr, low, high = (float(number) if np.isfinite(number) else None for number in spread)
    return Measured(metric=metric, subgroup=subgroup, value=mean, stderr=stderr, low=low, high=high, expected=expected)

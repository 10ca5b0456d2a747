"""What an experiment would cost, from a few generations in memory. Writes nothing."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from provenance.catalog.pool import PoolEvaluator
from provenance.recursion.engine import Measured, turns
from provenance.recursion.plan import Plan, build_world, metrics_of, pool_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What running some plans would cost, from their first few generations."""

    runs: int
    generations: int
    """To be fitted in all, generation 0 once per seed."""
    finished: int
    seconds: float
    """Estimated for what is not finished, on this machine, one process."""
    disk_bytes: int
    growing: bool
    """Whether a policy's training sets grow: its later generations cost more than the estimates say."""
    metrics: list[Measured]
    """The first plan's numbers at generation 0."""
    machine: str


_TRIED_PLANS = 6
"""Points of a sweep that a preview tries; the others are taken to cost as much on average."""
_SLOW_SECONDS = 0.5
"""A generation that takes this long is not tried again for every policy."""


def preview(plans: Sequence[Plan]) -> Preview:
    """Run a few generations of some of the plans in memory and extrapolate. Writes nothing."""
    runs = generations = finished = 0
    left: list[int] = []
    for plan in plans:
        total = len({run.seed for run in plan.runs}) + len(plan.runs) * plan.experiment.generations
        places = dict(segment for run in plan.runs for segment in plan.segments(run))
        there = sum(len(held) for place, held in places.items() if (place / "manifest.json").exists())
        runs += len(plan.runs)
        generations += total
        finished += there
        left.append(total - there)
    step = max(1, -(-len(plans) // _TRIED_PLANS))
    tried = [_try(plan) for plan in plans[::step]]
    return Preview(
        runs=runs,
        generations=generations,
        finished=finished,
        seconds=sum(one.seconds * sum(left[i * step : (i + 1) * step]) for i, one in enumerate(tried)),
        disk_bytes=round(sum(one.disk_bytes for one in tried) * len(plans) / max(len(tried), 1)),
        growing=any(one.growing for one in tried),
        metrics=tried[0].metrics if tried else [],
        machine=f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}",
    )


class _Tried(NamedTuple):
    seconds: float
    """Per generation."""
    disk_bytes: float
    """Of the whole plan."""
    growing: bool
    metrics: list[Measured]
    """Of generation 0."""


def _try(plan: Plan) -> _Tried:
    experiment, world = plan.experiment, build_world(plan)
    costs: list[float] = []
    first: list[Measured] = []
    size = weights = 0
    growing = False
    with PoolEvaluator() as evaluator:
        for run in plan.runs[: len(plan.policies)]:  # one seed, every policy
            pool, warm, drawn = pool_of(plan, run, world, evaluator), [], []
            for turn in turns(
                world, pool, run.policy, seed=run.seed, generations=min(3, experiment.generations),
                metrics=metrics_of(experiment), measure_every=experiment.record_every,
            ):  # fmt: skip
                if turn.generation == 0:
                    first = first or turn.metrics
                    continue
                size = sum(
                    array.nbytes for group in (turn.written.kept, turn.training.record) for array in group.values()
                )
                weights = sum(array.nbytes for array in world.weights(turn.model).values())
                warm.append(turn.seconds)
                drawn.append(sum(turn.training.trained_on.values()))
                # What a first turn takes may be what is done once, so a second is looked at before it counts as slow.
                if min(warm) > (_SLOW_SECONDS if len(warm) > 1 else 10 * _SLOW_SECONDS):
                    break
            # The first of several pays for what is done once; the last of them is measured, the others as planned.
            quick, measured = min(warm), warm[-1]
            costs.append(quick + (measured - quick) / experiment.record_every)
            growing = growing or drawn[-1] > drawn[0]
            if min(warm) > _SLOW_SECONDS:
                break
    total = len(experiment.seeds) * (1 + len(plan.policies) * experiment.generations)
    kept = weights * (total if experiment.keep_models else len(experiment.seeds))
    return _Tried(sum(costs) / len(costs), size * total + kept, growing, first)

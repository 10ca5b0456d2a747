"""Runs the engine's own loop in memory for the theory checks. Knows the loop; writes nothing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provenance.catalog.pool import PoolEvaluator
from provenance.mixing.policy import Budget, MixPolicy, Share, load_policy
from provenance.plugins import METRICS, WORLDS
from provenance.recursion.cohorts import CohortPool
from provenance.recursion.config import Detection, Real
from provenance.recursion.engine import Turn, turns


def simulate(
    world: str,
    model: Mapping[str, Any],
    policy: str | Sequence[Share],
    *,
    samples: int,
    generations: int,
    seed: int,
    sampling: Mapping[str, Any] | None = None,
    real: Real | None = None,
    detection: Detection | None = None,
    writes: int | None = None,
    metrics: Sequence[str] = (),
    measure_every: int = 1,
) -> Iterator[Turn]:
    """Generations 0 to `generations` of a statistical world, as `experiment run` would compute them."""
    built = WORLDS.load(world)(dict(model), dict(sampling or {}))
    chosen = load_policy(policy) if isinstance(policy, str) else MixPolicy(name="check", share=list(policy))
    with PoolEvaluator() as evaluator:
        pool = CohortPool(
            built, real or Real(), seed=seed, budget=Budget(documents=samples), evaluator=evaluator,
            detection=detection, writes=writes,
        )  # fmt: skip
        yield from turns(
            built, pool, chosen, seed=seed, generations=generations, metrics=[METRICS.load(name) for name in metrics],
            measure_every=measure_every,
        )  # fmt: skip


def last(turns_: Iterator[Turn]) -> Turn:
    """The final generation."""
    turn = next(turns_)
    for later in turns_:
        turn = later
    return turn

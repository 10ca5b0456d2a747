"""What lost provenance costs in one experiment, and what a detector or keeping data buys back. Reads the catalog alone.

Costs are differences between a policy's last generation and the control, which learns from real data alone: its mean
over the generations, because one more training of it tells little. Policies of one seed share their generation 0, so
they are compared seed by seed: intervals are Student's t over the seeds' differences, or, of a single seed with many
replicas, normal with both standard errors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import stdtrit

from provenance.catalog import outcomes as rows
from provenance.catalog.store import Catalog
from provenance.mixing.policy import parse_policy
from provenance.plugins import METRICS
from provenance.recursion.config import CONTROL

BLIND = "replace"
"""The policy that nothing recorded and no detector helps: each generation learns from the one before it."""
CONFIDENCE = 0.95

Interval = tuple[float, float | None, float | None]
"""A number with the ends of its interval; None where one run cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCost:
    """One policy at the last generation."""

    policy: str
    detector: bool
    """Whether it chooses by what a detector said."""
    human_share: float | None
    """Of its training sets after the first, mean over generations and seeds."""
    value: Interval
    cost: Interval | None
    """How much worse than the control, in the metric's unit; None without a control."""
    bought_back: Interval | None
    """Share of what `replace` costs that this policy does not; None for both of them, and where it costs nothing."""
    holds: bool | None
    """Whether it stays within the band around the control, its whole interval; None where part of that is outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The last generation of one run."""

    policy: str
    seed: int
    value: float
    stderr: float | None = None


def costs_of(catalog: Catalog, name: str, metric: str, *, within: float) -> list[PolicyCost]:
    """Every policy of an experiment, the control first; runs that are not finished or have no value are left out.

    `within` is the band's width as a share of the control's value. Nothing where neither direction of the metric is
    better. Raises NotFoundError.
    """
    better = METRICS.load(metric).higher_is_better
    if better is None:
        return []
    open_runs = {(policy, seed) for _, policy, seed, _, _ in rows.unfinished(catalog, name)}
    finished = [
        Run(policy=policy, seed=seed, value=value, stderr=stderr)
        for _, policy, seed, value, stderr in rows.last_values(catalog, name, metric)
        if value is not None and (policy, seed) not in open_runs and policy != CONTROL
    ]
    finished += [
        Run(policy=CONTROL, seed=seed, value=value, stderr=stderr)
        for seed, value, stderr in rows.stationary_values(catalog, name, metric, CONTROL)
        if (CONTROL, seed) not in open_runs
    ]
    policies = {policy: parse_policy(tables, policy) for policy, tables in rows.policies_of(catalog, name).items()}
    detectors = {name for name, policy in policies.items() if policy.asks_for_scores}
    return costs(
        finished,
        sign=-1.0 if better else 1.0,
        within=within,
        human_share=rows.human_shares(catalog, name),
        detectors=detectors,
    )


def costs(
    finished: Sequence[Run], *, sign: float, within: float, human_share: Mapping[str, float], detectors: set[str]
) -> list[PolicyCost]:
    """The same from the runs themselves; `sign` is 1 where lower is better, -1 where higher is."""
    by_policy: dict[str, dict[int, Run]] = {}
    for run in finished:
        by_policy.setdefault(run.policy, {})[run.seed] = run
    control, blind = by_policy.get(CONTROL, {}), by_policy.get(BLIND, {})
    lost = {seed: sign * (run.value - control[seed].value) for seed, run in blind.items() if seed in control}
    something_lost = bool(lost) and float(np.mean(list(lost.values()))) > 0
    found = []
    for policy, runs in sorted(by_policy.items(), key=lambda item: (item[0] != CONTROL, item[0])):
        cost = bought = None
        holds = None
        pairs = [(run, control[seed]) for seed, run in runs.items() if seed in control]
        if pairs and policy != CONTROL:
            cost = _interval(
                [sign * (run.value - other.value) for run, other in pairs],
                [_both(run.stderr, other.stderr) for run, other in pairs],
            )
            band = within * abs(float(np.mean([other.value for _, other in pairs])))
            low, high = (cost[0] if end is None else end for end in cost[1:])
            holds = True if high <= band else False if low > band else None
            if something_lost and policy != BLIND:
                kept = [1 - sign * (run.value - control[s].value) / lost[s] for s, run in runs.items() if lost.get(s)]
                bought = _interval(kept, [None] * len(kept)) if kept else None
        found.append(
            PolicyCost(
                policy=policy,
                detector=policy in detectors,
                human_share=human_share.get(policy),
                value=_interval([run.value for run in runs.values()], [run.stderr for run in runs.values()]),
                cost=cost,
                bought_back=bought,
                holds=holds,
            )
        )
    return found


def statements(found: Sequence[PolicyCost], metric: str, *, within: float) -> list[str]:
    """What the costs say, a sentence each."""
    by_name = {one.policy: one for one in found}
    said = []
    blind, control = by_name.get(BLIND), by_name.get(CONTROL)
    if blind is not None and blind.cost is not None and control is not None:
        ends = f"{BLIND} has {blind.value[0]:.4g}, the control {control.value[0]:.4g}"
        if blind.cost[0] > 0:
            said.append(f"lost provenance costs {_words(blind.cost)} of {metric}: {ends}")
        else:
            said.append(f"lost provenance costs nothing that {metric} shows: {ends}")
    for one in sorted((one for one in found if one.bought_back), key=lambda one: not one.detector):
        assert one.bought_back is not None
        who = f"the detector ({one.policy})" if one.detector else one.policy
        said.append(f"{who} buys back {_words(one.bought_back, percent=True)} of that")
    judged = [one for one in found if one.cost is not None and one.human_share is not None]
    holding = min((one for one in judged if one.holds), key=lambda one: one.human_share or 0.0, default=None)
    if judged and holding is None:
        said.append(f"no policy surely holds {metric} within {within:.0%} of the control")
    if holding is not None:
        said.append(
            f"the smallest share of human text that holds {metric} within {within:.0%} of the control: "
            f"{holding.human_share:.1%} ({holding.policy})"
        )
    return said


def _both(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else sqrt(one**2 + other**2)


def _interval(values: Sequence[float], errors: Sequence[float | None]) -> Interval:
    mean, n = float(np.mean(values)), len(values)
    tail = 0.5 + CONFIDENCE / 2
    if n > 1:
        half = float(stdtrit(n - 1, tail)) * float(np.std(values, ddof=1)) / sqrt(n)
    elif errors[0] is not None:
        half = float(stdtrit(np.inf, tail)) * errors[0]
    else:
        return mean, None, None
    return mean, mean - half, mean + half


def _words(interval: Interval, *, percent: bool = False) -> str:
    middle, low, high = (None if end is None else f"{end:.0%}" if percent else f"{end:.4g}" for end in interval)
    return f"{middle} [{low}, {high}]" if low is not None else f"{middle} (one run)"

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
_TAIL = 0.5 + CONFIDENCE / 2

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
    value: Interval | None
    """None where a run has no value at its end: a mean of the others would hide the one that collapsed."""
    cost: Interval | None
    """How much worse than the control, in the metric's unit; None without a value of both."""
    bought_back: Interval | None
    """Share of what `replace` costs that this policy does not; None for both, and where it may cost nothing."""
    holds: bool | None
    """Whether it stays within the band around the control, its whole interval; None where that cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The last generation of one run."""

    policy: str
    seed: int
    value: float | None
    """None where it could not be measured."""
    stderr: float | None = None


def costs_of(catalog: Catalog, name: str, metric: str, *, within: float) -> list[PolicyCost]:
    """Every policy of an experiment, the control first; runs that are not finished are left out.

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
        if (policy, seed) not in open_runs and policy != CONTROL
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
    control, blind = _measured(by_policy.get(CONTROL, {})), _measured(by_policy.get(BLIND, {}))
    lost = {seed: sign * (value - control[seed]) for seed, value in blind.items() if seed in control}
    found = []
    for policy, runs in sorted(by_policy.items(), key=lambda item: (item[0] != CONTROL, item[0])):
        values = _measured(runs)
        cost = bought = None
        holds = None if values else False
        worse = {seed: sign * (value - control[seed]) for seed, value in values.items() if seed in control}
        if worse and policy != CONTROL:
            errors = [_both(runs[seed].stderr, by_policy[CONTROL][seed].stderr) for seed in worse]
            cost = _interval(list(worse.values()), errors)
            band = within * abs(float(np.mean([control[seed] for seed in worse])))
            if cost[1] is not None and cost[2] is not None:
                holds = True if cost[2] <= band else False if cost[1] > band else None
            if policy != BLIND:
                bought = _bought_back([(worse[seed], lost[seed]) for seed in worse if seed in lost])
        found.append(
            PolicyCost(
                policy=policy,
                detector=policy in detectors,
                human_share=human_share.get(policy),
                value=_interval(list(values.values()), [runs[s].stderr for s in values]) if values else None,
                cost=cost,
                bought_back=bought,
                holds=holds,
            )
        )
    return found


def _measured(runs: Mapping[int, Run]) -> dict[int, float]:
    """The values of runs by seed; none where any of them has none."""
    values = {seed: run.value for seed, run in runs.items() if run.value is not None}
    return values if len(values) == len(runs) else {}


def _bought_back(pairs: Sequence[tuple[float, float]]) -> Interval | None:
    """1 minus a policy's cost over what `replace` lost, means over seeds; None where it may have lost nothing.

    A ratio of means: that of a single seed whose loss is near nothing has no bounds. Its interval is the jackknife's.
    """
    if not pairs:
        return None
    mean, least, _ = _interval([loss for _, loss in pairs], [None] * len(pairs))
    if (mean if least is None else least) <= 0:
        return None

    def share(some: Sequence[tuple[float, float]]) -> float:
        return 1 - sum(cost for cost, _ in some) / sum(loss for _, loss in some)

    n, whole = len(pairs), share(pairs)
    if n == 1:
        return whole, None, None
    pseudo = [n * whole - (n - 1) * share([*pairs[:i], *pairs[i + 1 :]]) for i in range(n)]
    half = _half_width(pseudo)
    return whole, whole - half, whole + half


def statements(found: Sequence[PolicyCost], metric: str, *, within: float) -> list[str]:
    """What the costs say, a sentence each."""
    by_name = {one.policy: one for one in found}
    said: list[str] = []
    blind, control = by_name.get(BLIND), by_name.get(CONTROL)
    said += [
        f"{one.policy} has no value of {metric} at the end of some run: no mean is taken"
        for one in found
        if not one.value
    ]
    if blind and blind.cost and blind.value and control and control.value:
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
    mean = float(np.mean(values))
    if len(values) > 1:
        half = _half_width(values)
    elif errors[0] is not None:
        half = float(stdtrit(np.inf, _TAIL)) * errors[0]
    else:
        return mean, None, None
    return mean, mean - half, mean + half


def _half_width(values: Sequence[float]) -> float:
    """Of the mean's interval, Student's t over two values or more."""
    n = len(values)
    return float(stdtrit(n - 1, _TAIL)) * float(np.std(values, ddof=1)) / sqrt(n)


def _words(interval: Interval, *, percent: bool = False) -> str:
    middle, low, high = (None if end is None else f"{end:.0%}" if percent else f"{end:.4g}" for end in interval)
    return f"{middle} [{low}, {high}]" if low is not None else f"{middle} (one run)"

"""How many samples a policy takes of each cohort, in every replica. Knows counts alone.

Taking q of several cohorts at random is a multivariate hypergeometric draw: the same law as drawing single samples.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from provenance.errors import ConfigError
from provenance.mixing.draw import Realised, ShareValues, quotas
from provenance.mixing.policy import MixPolicy

Counts = NDArray[np.int64]


def draw_counts(
    policy: MixPolicy,
    values: Sequence[ShareValues],
    sizes: Counts,
    *,
    replicas: int,
    budget: int,
    rng: np.random.Generator,
) -> tuple[Counts, NDArray[np.float64], list[Realised]]:
    """Counts of shape (replicas, cohorts), a training weight per cohort, and what each share got (replica means).

    `sizes` may have one row for all replicas; so has the result then, unless chance had to tell replicas apart.
    Raises ConfigError where a share cannot be met in some replica and `on_shortfall` is "error".
    """
    if any(share.by is not None or share.epochs != 1 for share in policy.shares):
        raise ConfigError(
            f"policy {policy.name!r}: 'by' and 'epochs' need single documents, which a statistical world has not"
        )
    free = sizes.copy()
    counts = np.zeros_like(sizes)
    weights = np.ones(sizes.shape[1])
    realised: dict[int, Realised] = {}
    order = [line for line, share in enumerate(policy.shares) if share.take is not None]
    plan: list[tuple[int, Counts | None]] = [(line, None) for line in order]
    for line, _ in plan:
        share, said = policy.shares[line], values[line]
        available = (free * _eligible(said)).sum(axis=1)
        wanted = available if share.take == "all" else np.full(1, int(share.take or 0))
        got = _some(said, free, np.minimum(wanted, available), rng, replicas)
        _check(policy, line, wanted, got)
        if share.take == "all" and said.weight is not None:
            weights = np.where(said.matches & (free.sum(axis=0) > 0), said.weight, weights)
        counts, free = counts + got, free - got
        realised[line] = _realised(wanted, got, available)

    left = budget - counts.sum(axis=1)
    fractions = [(line, share.share) for line, share in enumerate(policy.shares) if share.share is not None]
    if fractions and (left < 0).any():
        raise ConfigError(f"policy {policy.name!r}: its 'take' lines hold more than the budget of {budget}")
    missing = np.zeros(1, dtype=np.int64)
    for (line, _), wanted in zip(fractions, quotas([f for _, f in fractions], left), strict=True):
        said = values[line]
        available = (free * _eligible(said)).sum(axis=1)
        got = _some(said, free, np.minimum(wanted, available), rng, replicas)
        short = wanted - got.sum(axis=1)
        if policy.budget.on_shortfall == "upsample" and (available > 0).all():
            again = sizes * _eligible(said)
            while (short > 0).any():
                more = _some(said, again, np.minimum(short, again.sum(axis=1)), rng, replicas)
                got, short = got + more, short - more.sum(axis=1)
        if policy.budget.on_shortfall == "fill":
            missing = missing + short
        else:
            _check(policy, line, wanted, got)
        counts, free = counts + got, np.maximum(free - got, 0)
        realised[line] = _realised(wanted, got, available)
    for line, _ in fractions:
        if not missing.any():
            break
        most = (free * _eligible(values[line])).sum(axis=1)
        more = _some(values[line], free, np.minimum(missing, most), rng, replicas)
        counts, free, missing = counts + more, free - more, missing - more.sum(axis=1)
    if missing.any():
        raise _short(policy, None, budget, budget - int(missing.max()))
    return counts, weights, [realised[line] for line in range(len(policy.shares))]


def _eligible(said: ShareValues) -> NDArray[np.bool_]:
    """The cohorts a share can draw from: what has weight 0 is never drawn."""
    return said.matches if said.weight is None else said.matches & (said.weight > 0)


def _some(said: ShareValues, free: Counts, wanted: Counts, rng: np.random.Generator, replicas: int) -> Counts:
    """`wanted[r]` of the matching free samples of replica r, by the share's rank, weight or plain chance."""
    columns = np.flatnonzero(_eligible(said) & (free.sum(axis=0) > 0))
    uneven = False
    if said.rank is not None:
        columns = columns[np.argsort(said.rank[columns], kind="stable")]
    elif said.weight is not None:
        uneven = len(np.unique(said.weight[columns])) > 1
    available = free[:, columns].sum(axis=1)
    if (wanted >= available).all():
        got = np.zeros_like(free)
        got[:, columns] = free[:, columns]
        return got
    if len(columns) > 1 and said.rank is None:
        free, wanted = np.broadcast_to(free, (replicas, free.shape[1])), np.broadcast_to(wanted, replicas)
    got = np.zeros((max(len(free), len(wanted)), free.shape[1]), dtype=np.int64)
    if uneven and said.weight is not None:
        got[:, columns] = _weighted(free[:, columns], said.weight[columns], wanted, rng)
        return got
    after, left = free[:, columns].sum(axis=1), wanted
    for place, column in enumerate(columns):
        here = free[:, column]
        after = after - here
        last = place == len(columns) - 1
        taken = np.minimum(left, here) if said.rank is not None or last else rng.hypergeometric(here, after, left)
        got[:, column] = taken
        left = left - taken
    return got


def _weighted(free: Counts, weight: NDArray[np.float64], wanted: Counts, rng: np.random.Generator) -> Counts:
    """Successive draws with odds `weight`: exponential clocks of those rates, the first `wanted` to ring."""
    got = np.zeros_like(free)
    for replica, (sizes, k) in enumerate(zip(free, wanted, strict=True)):
        owner = np.repeat(np.arange(len(weight)), sizes)
        if k >= len(owner):
            got[replica] = sizes
            continue
        clock = rng.standard_exponential(len(owner)) / weight[owner]
        got[replica] = np.bincount(owner[np.argpartition(clock, k)[:k]], minlength=len(weight))
    return got


def _realised(wanted: Counts, got: Counts, available: Counts) -> Realised:
    return Realised(
        requested=round(float(wanted.mean())),
        drawn=round(float(got.sum(axis=1).mean())),
        available=round(float(available.mean())),
    )


def _check(policy: MixPolicy, line: int, wanted: Counts, got: Counts) -> None:
    short = wanted - got.sum(axis=1)
    if (short > 0).any():
        worst = int(short.argmax())
        raise _short(policy, line, int(wanted[worst]), int(wanted[worst] - short[worst]))


def _short(policy: MixPolicy, line: int | None, wanted: int, found: int) -> ConfigError:
    name = f"share {line + 1} ({policy.shares[line].where}) of " if line is not None else ""
    return ConfigError(
        f"{name}policy {policy.name!r} asks for {wanted} samples and some replica has only {found}",
        hint='lower the budget or the share, or set on_shortfall = "fill" or "upsample"',
    )

"""Draws documents for a policy from what its SQL said about each row. Knows keys and sizes, never texts.

Each row has a key in [0, 1) that depends on the seed and its own id alone, so the order of the pool, its shards and
unrelated rows do not change who is drawn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from provenance.errors import ConfigError
from provenance.mixing.policy import Budget, MixPolicy

Rows = NDArray[np.int64]


class ShortfallError(ConfigError):
    """The pool has not what a share asks for."""


class ShareValues(Protocol):
    """What one share's SQL says about each row; `catalog.pool.Evaluated` is one."""

    @property
    def matches(self) -> NDArray[np.bool_]: ...
    @property
    def weight(self) -> NDArray[np.float64] | None: ...
    @property
    def rank(self) -> NDArray[np.int64] | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Realised:
    """What one share asked for and what it got, in the budget's unit."""

    requested: int
    drawn: int
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """The drawn rows; a row that was upsampled comes more than once."""

    rows: Rows
    share: NDArray[np.int64]
    """Which line of the policy drew the row, from 0."""
    weight: NDArray[np.float64]
    """What the row counts for in training; 1 unless a `take = "all"` line has a weight."""
    realised: list[Realised]


def draw(
    policy: MixPolicy,
    values: Sequence[ShareValues],
    *,
    keys: NDArray[np.float64],
    n_tokens: NDArray[np.int64],
    budget: Budget | None = None,
    numbers: Sequence[int] | None = None,
) -> Draw:
    """The rows `policy` takes. `budget` replaces the policy's own. Raises ShortfallError when a share cannot be met.

    `numbers` says which share of the policy file each line is of, from 0, where groups were written out.

    Without any budget the mix is as large as its scarcest share allows.
    """
    limit = budget or policy.budget
    names = [
        f"share {number + 1} of policy {policy.name!r} (where {' '.join(share.where.split())})"
        for number, share in zip(numbers or range(len(policy.shares)), policy.shares, strict=True)
    ]
    unit = "tokens" if limit.tokens is not None else "documents"
    sizes = n_tokens if limit.tokens is not None else np.ones(len(keys), dtype=np.int64)
    free = np.ones(len(keys), dtype=np.bool_)
    drawn: list[Rows] = [np.empty(0, dtype=np.int64)] * len(policy.shares)
    requested = [0] * len(policy.shares)
    available = [0] * len(policy.shares)

    for line, (share, said) in enumerate(zip(policy.shares, values, strict=True)):
        if share.take is None:
            continue
        candidates = _candidates(said, free, keys)
        available[line] = len(candidates.rows)
        requested[line] = len(candidates.rows) if share.take == "all" else share.take
        drawn[line] = _fill_to(
            candidates, np.ones_like(sizes), requested[line], limit=limit, name=names[line], unit="documents"
        )
        free[drawn[line]] = False

    epochs = [share.epochs for share in policy.shares]
    used = sum(times * int(sizes[rows].sum()) for times, rows in zip(epochs, drawn, strict=True))
    quotas = _quotas(policy, values, limit, sizes=sizes, free=free, used=used)
    missing = 0
    for line, quota in quotas.items():
        candidates = _candidates(values[line], free, keys)
        cost = sizes * epochs[line]
        available[line], requested[line] = int(cost[candidates.rows].sum()), quota
        drawn[line] = _fill_to(candidates, cost, quota, limit=limit, name=names[line], unit=unit)
        free[drawn[line]] = False
        missing += quota - int(cost[drawn[line]].sum())
    if limit.on_shortfall == "fill":

        def add(line: int, quota: int) -> int:
            cost = sizes * epochs[line]
            extra = _candidates(values[line], free, keys).first(cost, quota)
            drawn[line] = np.concatenate([drawn[line], extra])
            free[extra] = False
            return int(cost[extra].sum())

        if limit.tokens is not None:
            missing = _spread({line: policy.shares[line].share or 0.0 for line in quotas}, missing, add)
        for line in quotas:
            missing -= add(line, missing)
        total = sum(quotas.values())
        if limit.tokens is None:
            met = missing < max(epochs)  # a document comes as often as its epochs say
        else:
            left = [_candidates(values[line], free, keys).rows for line in quotas]
            met = _whole_documents_explain(
                missing,
                left=any((sizes[rows] * epochs[line] <= total).any() for line, rows in zip(quotas, left, strict=True)),
                drawn=np.concatenate([sizes[drawn[line]] * epochs[line] for line in quotas]),
            )
        if not met:
            raise _short(f"policy {policy.name!r}", total, total - missing, unit)

    drawn = [np.repeat(rows, times) for times, rows in zip(epochs, drawn, strict=True)]
    weight = [
        said.weight[rows] if share.take == "all" and said.weight is not None else np.ones(len(rows))
        for share, said, rows in zip(policy.shares, values, drawn, strict=True)
    ]
    return Draw(
        rows=np.concatenate(drawn),
        share=np.repeat(np.arange(len(drawn)), [len(rows) for rows in drawn]),
        weight=np.concatenate(weight),
        realised=[
            Realised(
                requested=requested[line],
                drawn=len(rows) // epochs[line] if policy.shares[line].take is not None else int(sizes[rows].sum()),
                available=available[line],
            )
            for line, rows in enumerate(drawn)
        ],
    )


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Matching free rows; the smaller the score, the earlier a row is taken."""

    rows: Rows
    score: NDArray[np.float64] | NDArray[np.int64]

    def first(self, sizes: NDArray[np.int64], quota: int) -> Rows:
        """The rows that go into `quota`, in the order they are taken; what does not fit is passed over for the next."""
        taken: list[Rows] = [np.empty(0, dtype=np.int64)]
        rest, left = self, quota
        # A row that was passed over never fits again, so each pass goes on with those that fit into what is left.
        while left > 0 and (fits := sizes[rest.rows] <= left).any():
            rest = rest._only(fits)
            ahead = rest._ahead(sizes, left)
            taken.append(rest.rows[ahead])
            left -= int(sizes[taken[-1]].sum())
            later = np.ones(len(rest.rows), dtype=np.bool_)
            later[ahead] = False
            rest = rest._only(later)
        return np.concatenate(taken)

    def _only(self, mask: NDArray[np.bool_]) -> "_Candidates":
        return self if mask.all() else _Candidates(self.rows[mask], self.score[mask])

    def _ahead(self, sizes: NDArray[np.int64], quota: int) -> NDArray[np.int64]:
        """Which of `rows` come before the first that does not fit into `quota`, in the order they are taken.

        Only as many are sorted as it takes: a mix is a small part of a large pool.
        """
        num = len(self.rows)
        mean = max(float(sizes[self.rows].mean()), 1e-9) if num else 1.0
        enough = min(num, int(1.1 * quota / mean) + 64)
        while enough < num:
            near = np.argpartition(self.score, enough)[:enough]
            near.sort()
            near = near[np.argsort(self.score[near], kind="stable")]
            end = int(np.searchsorted(np.cumsum(sizes[self.rows[near]]), quota, side="right"))
            # With the last score still ahead, no row outside can tie with one that was taken.
            if end < enough and (end == 0 or self.score[near[end - 1]] < self.score[near[-1]]):
                return near[:end]
            enough = min(num, 2 * enough)
        order = np.argsort(self.score, kind="stable")
        return order[: int(np.searchsorted(np.cumsum(sizes[self.rows[order]]), quota, side="right"))]


def _candidates(said: ShareValues, free: NDArray[np.bool_], keys: NDArray[np.float64]) -> _Candidates:
    rows = np.flatnonzero(said.matches & free)
    if said.rank is not None:
        return _Candidates(rows, said.rank[rows])
    if said.weight is not None:
        rows = rows[said.weight[rows] > 0]
        # Efraimidis and Spirakis (2006): exponential clocks of rate w ring in the order of a weighted draw.
        return _Candidates(rows, -np.log1p(-keys[rows]) / said.weight[rows])
    return _Candidates(rows, keys[rows])


def _fill_to(found: _Candidates, sizes: NDArray[np.int64], quota: int, *, limit: Budget, name: str, unit: str) -> Rows:
    """The rows that go into `quota`, or what `on_shortfall` says when they do not fill it."""
    rows = found.rows
    chosen = found.first(sizes, quota)
    missing = quota - int(sizes[chosen].sum())
    # Of documents, which are of one size, a quota too small for any is rounded away; of tokens it is a shortfall.
    fit = int((sizes[rows] <= quota).sum()) if unit == "tokens" else len(rows)
    met = _whole_documents_explain(missing, left=fit > len(chosen), drawn=sizes[chosen])
    if met or limit.on_shortfall == "fill":
        return chosen
    if limit.on_shortfall == "upsample" and len(chosen):
        # All that fit were taken, in their order.
        total = quota - missing
        return np.concatenate([np.tile(chosen, quota // total), found.first(sizes, quota % total)])
    raise _short(name, quota, quota - missing, unit, too_long=len(rows) - fit)


def _whole_documents_explain(missing: int, *, left: bool, drawn: NDArray[np.int64]) -> bool:
    """Whether a quota is met but for `missing`, because documents are drawn whole.

    With any `left` that would go into the quota, what is missing is less than the smallest of them. With none left,
    even one as small as the smallest `drawn` must be too large.
    """
    return left or missing < (max(int(drawn.min()), 1) if len(drawn) else 1)


def _spread(fractions: dict[int, float], missing: int, add: Callable[[int, int], int]) -> int:
    """Give each line its part of `missing`, again and again until no line's part holds a document; what is left of it.

    `add` draws for a line what goes into a quota and says how much that was.
    """
    lines = [line for line, fraction in fractions.items() if fraction > 0]
    while lines:
        whole = sum(fractions[line] for line in lines)
        parts = quotas([fractions[line] / whole for line in lines], np.array([missing]))
        added = {line: add(line, int(part[0])) for line, part in zip(lines, parts, strict=True)}
        missing -= sum(added.values())
        lines = [line for line in lines if added[line]]
    return missing


def _short(name: str, wanted: int, found: int, unit: str, *, too_long: int = 0) -> ShortfallError:
    longer = f"; {too_long} longer documents do not fit" if too_long else ""
    return ShortfallError(
        f"{name} asks for {wanted} {unit} and only {found} match{longer}",
        hint='lower the budget or the share, or set on_shortfall = "fill" or "upsample"',
    )


def _quotas(
    policy: MixPolicy,
    values: Sequence[ShareValues],
    limit: Budget,
    *,
    sizes: NDArray[np.int64],
    free: NDArray[np.bool_],
    used: int,
) -> dict[int, int]:
    """How much each `share` line may take: whole units by largest remainder, summing to what is left of the budget."""
    fractions = {line: share.share for line, share in enumerate(policy.shares) if share.share is not None}
    budget = limit.documents if limit.tokens is None else limit.tokens
    if not fractions:
        return {}
    if budget is not None:
        left = budget - used
        if left < 0:
            raise ConfigError(
                f"policy {policy.name!r}: its 'take' lines already hold {used} of a budget of {budget}",
                hint="raise the budget or take fewer",
            )
    else:
        left, unclaimed = np.iinfo(np.int64).max, free.copy()
        for line, fraction in fractions.items():
            own = values[line].matches & unclaimed
            unclaimed &= ~own
            if fraction > 0:
                times = policy.shares[line].epochs
                left = min(left, int(times * int(sizes[own].sum()) / fraction + 1e-9))
    shares = quotas(list(fractions.values()), np.array([left]))
    return {line: int(quota[0]) for line, quota in zip(fractions, shares, strict=True)}


def quotas(fractions: Sequence[float], total: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Each total cut into whole parts near `fractions` of it, by largest remainder; the parts sum to the total."""
    exact = np.outer(np.array(fractions), total)
    whole = np.floor(exact + 1e-9).astype(np.int64)
    short = total - whole.sum(axis=0)
    place = np.argsort(np.argsort(whole - exact, axis=0, kind="stable"), axis=0, kind="stable")
    return list(whole + (place < short))

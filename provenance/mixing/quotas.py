"""Per-group quotas of a share, written out as one line per group before anything is drawn. Knows no catalog."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from provenance.errors import ConfigError
from provenance.mixing.policy import MixPolicy, Share

_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_GROUPS = 1000


class _Said(Protocol):
    @property
    def matches(self) -> NDArray[np.bool_]: ...


class _Evaluator(Protocol):
    def evaluate(self, pool: pa.Table, shares: Sequence[Share], *, policy: str) -> Sequence[_Said]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the written-out policy."""

    share: int
    """Which `[[share]]` of the policy it belongs to, from 0."""
    group: str | None
    """The value of the share's `by` column it is for; None without one."""


def expand(policy: MixPolicy, pool: pa.Table, evaluator: _Evaluator) -> tuple[MixPolicy, list[Line]]:
    """`policy` with each share that has `by` replaced by one share per group, and what each line stands for.

    Raises ConfigError when `by` is no column, or a share has no groups.
    """
    if all(share.by is None for share in policy.shares):
        return policy, [Line(share=i, group=None) for i in range(len(policy.shares))]
    check_groups(policy, pool.column_names)
    shares: list[Share] = []
    lines: list[Line] = []
    for i, share in enumerate(policy.shares):
        if share.by is None:
            shares.append(share)
            lines.append(Line(share=i, group=None))
            continue
        for group, part in _parts(policy, i, share, pool, evaluator).items():
            quoted = group.replace("'", "''")
            amount: dict[str, float | int | str | None] = {}
            if share.share is not None:
                amount["share"] = share.share * part
            where = f"({share.where}\n) AND {share.by}::VARCHAR = '{quoted}'"
            shares.append(share.model_copy(update={"where": where, "by": None, "quotas": None, **amount}))
            lines.append(Line(share=i, group=group))
        if isinstance(share.take, int):
            own = [n for n, line in enumerate(lines) if line.share == i]
            parts = np.array(list(_parts(policy, i, share, pool, evaluator).values()))
            whole = np.floor(parts * share.take + 1e-9).astype(int)
            for n in np.argsort(whole - parts * share.take, kind="stable")[: share.take - int(whole.sum())]:
                whole[n] += 1
            for n, take in zip(own, whole.tolist(), strict=True):
                shares[n] = shares[n].model_copy(update={"take": take})
    return policy.model_copy(update={"shares": shares}), lines


def check_groups(policy: MixPolicy, columns: Collection[str]) -> None:
    """Raises ConfigError when a share's `by` is none of the columns."""
    for i, share in enumerate(policy.shares):
        if share.by is not None and (not _COLUMN.fullmatch(share.by) or share.by not in columns):
            raise ConfigError(
                f"share {i + 1} of policy {policy.name!r}: by = {share.by!r} is no column of the pool",
                hint=f"columns: {', '.join(columns)}",
            )


def _parts(policy: MixPolicy, i: int, share: Share, pool: pa.Table, evaluator: _Evaluator) -> dict[str, float]:
    """Each group and its part of the share; equal parts of the groups that occur unless quotas are given."""
    name = f"share {i + 1} of policy {policy.name!r}"
    if share.quotas is not None:
        return share.quotas
    matches = evaluator.evaluate(pool, [share], policy=policy.name)[0].matches
    groups = pc.unique(pool[share.by].filter(pa.array(matches))).drop_null().cast(pa.string()).to_pylist()
    if not groups:
        raise ConfigError(
            f"{name}: no row it matches has a {share.by!r}", hint=f"check the predicate: where = {share.where!r}"
        )
    if len(groups) > MAX_GROUPS:
        raise ConfigError(
            f"{name}: {len(groups)} different values of {share.by!r}, more than {MAX_GROUPS}",
            hint="give quotas for the groups that matter",
        )
    return dict.fromkeys(sorted(groups), 1 / len(groups))

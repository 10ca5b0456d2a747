"""What a policy would draw from the catalog, before anything is written. Knows tags and sizes, no texts."""

import os
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from provenance import seeds
from provenance.catalog.corpora import CorpusInfo
from provenance.catalog.mixes import POOL_COLUMNS, never_compared, pool_corpora, read_pool
from provenance.catalog.pool import PoolEvaluator
from provenance.catalog.store import Catalog
from provenance.errors import ConfigError
from provenance.mixing.draw import Draw, ShortfallError, draw
from provenance.mixing.policy import MixPolicy
from provenance.mixing.quotas import Line, check_groups, expand

_ALWAYS = ("origin", "generation", "subgroup", "corpus")
"""Columns every plan reads: they are pinned in the lock, or part of what the plan shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineResult:
    """One line of the policy: what it asked for and what it gets, in the budget's unit."""

    share: int
    """The `[[share]]` it belongs to, from 1."""
    where: str
    group: str | None
    """The value of the share's `by` column; None without one."""
    requested: int
    drawn: int
    available: int
    documents: int
    tokens: int
    by_subgroup: dict[str, int]
    """Documents drawn per subgroup."""
    by_origin: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixPlan:
    """A drawn mix that nobody has written yet."""

    policy: MixPolicy
    """As given."""
    unit: str
    """`documents` or `tokens`: what `requested`, `drawn` and `available` count."""
    corpora: list[CorpusInfo]
    held_out: dict[str, int]
    """Documents left out because held-out text reaches them, by reason."""
    never_compared: dict[str, list[str]]
    """Held-out corpora, each with the corpora of the pool in which near-duplicates of it were never looked for."""
    lines: list[LineResult]
    pool: pa.Table
    drawn: Draw

    @property
    def documents(self) -> int:
        """Documents in the mix; one that was upsampled counts each time."""
        return len(self.drawn.rows)

    @property
    def tokens(self) -> int:
        """Estimated tokens in the mix."""
        return sum(line.tokens for line in self.lines)


def plan_mix(catalog: Catalog, policy: MixPolicy) -> MixPlan:
    """Draw `policy` from the catalog as it is. Raises ConfigError, QueryError and NotFoundError; writes nothing."""
    corpora = pool_corpora(catalog, policy.sources)
    if not corpora:
        raise ConfigError("there are no corpora to draw from", hint="run: provenance corpus add NAME PATH…")
    with PoolEvaluator(threads=os.cpu_count() or 1) as evaluator:
        # Expressions are checked against all columns, then only those they name are read.
        everything = read_pool(catalog, [], POOL_COLUMNS).table
        evaluator.evaluate(everything, policy.shares, policy=policy.name)
        check_groups(policy, POOL_COLUMNS)
        pool = read_pool(catalog, corpora, named_columns(policy), ordered=looks_around(policy))
        written_out, lines = expand(policy, pool.table, evaluator)
        values = evaluator.evaluate(pool.table, written_out.shares, policy=policy.name)
    keys = seeds.units(seeds.integer(policy.seed, "mix"), packed_ids(pool.table["doc_id"]))
    n_tokens = pool.table["n_tokens"].to_numpy()
    numbers = [line.share for line in lines]
    try:
        drawn = draw(written_out, values, keys=keys, n_tokens=n_tokens, numbers=numbers)
    except ShortfallError as error:
        if not pool.held_out:
            raise
        left_out = (
            f"{sum(pool.held_out.values())} documents of the pool are left out because held-out text reaches them"
        )
        raise ShortfallError(f"{error.message}; {left_out}", hint=error.hint) from error
    if len(drawn.rows) == 0:
        raise ConfigError(
            f"policy {policy.name!r} draws nothing from {len(corpora)} corpora",
            hint='see what is there: provenance sql "select origin, generation, count(*) from documents group by all"',
        )
    return MixPlan(
        policy=policy,
        unit="tokens" if policy.budget.tokens is not None else "documents",
        corpora=corpora,
        held_out=pool.held_out,
        never_compared=never_compared(catalog, corpora),
        lines=_lines(written_out, lines, drawn, pool.table, n_tokens),
        pool=pool.table,
        drawn=drawn,
    )


def packed_ids(column: pa.ChunkedArray) -> bytes:
    """A column of document ids as one buffer, 16 bytes each."""
    packed = []
    for chunk in column.chunks:
        ids = chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk
        packed.append(memoryview(ids.buffers()[1])[ids.offset * 16 : (ids.offset + len(ids)) * 16] if len(ids) else b"")
    return b"".join(packed)


def _sql(policy: MixPolicy) -> str:
    return " ".join(
        part for share in policy.shares for part in (share.where, share.weight, share.order, share.by) if part
    )


def looks_around(policy: MixPolicy) -> bool:
    """Whether an answer may depend on the order of the rows: ties of an order, windows, subqueries."""
    return any(share.order for share in policy.shares) or bool(re.search(r"\b(over|select|from)\b", _sql(policy), re.I))


def named_columns(policy: MixPolicy) -> set[str]:
    """The pool columns the policy's expressions may name."""
    sql = _sql(policy)
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    return {*_ALWAYS, *(words & set(POOL_COLUMNS))}


def _lines(
    policy: MixPolicy,
    lines: list[Line],
    drawn: Draw,
    pool: pa.Table,
    n_tokens: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
) -> list[LineResult]:
    found = []
    for number, (line, share, realised) in enumerate(zip(lines, policy.shares, drawn.realised, strict=True)):
        rows = drawn.rows[drawn.share == number]
        taken = pool.select(["subgroup", "origin"]).take(pa.array(rows))
        found.append(
            LineResult(
                share=line.share + 1,
                where=share.where,
                group=line.group,
                requested=realised.requested,
                drawn=realised.drawn,
                available=realised.available,
                documents=len(rows),
                tokens=int(n_tokens[rows].sum()),
                by_subgroup=_counts(taken["subgroup"]),
                by_origin=_counts(taken["origin"]),
            )
        )
    return found


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    counted = pc.value_counts(column.drop_null()).to_pylist()
    return dict(sorted(Counter({row["values"]: row["counts"] for row in counted}).items()))

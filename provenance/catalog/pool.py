"""Evaluates the SQL of shares (`where`, `weight`, `order`) over an Arrow table called `pool`.

The one evaluator behind static mixes and recursion. It runs in its own in-memory database that can open no file, and
an expression that is not a plain, repeatable expression over the pool's columns is refused before it runs.
"""

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from provenance.errors import QueryError

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
# Written without brackets these parse as columns and answer with today.
_CLOCKS = {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
# Not marked as changing, but of a large pool it looks at a sample drawn at random.
_SAMPLERS = {"reservoir_quantile"}
_EMPTY_CLAUSES = ("where_clause", "having", "qualify")
_REPEATABLE = "a mix must be rebuildable: draws are random through the seed, dates are constants"


class ShareSQL(Protocol):
    """The SQL of one share; `mixing.policy.Share` is one."""

    @property
    def where(self) -> str: ...
    @property
    def weight(self) -> str | None: ...
    @property
    def order(self) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What a share says about each row of the pool, in the pool's row order."""

    matches: NDArray[np.bool_]
    weight: NDArray[np.float64] | None
    """At least 0 and finite on matching rows; None without a `weight` expression."""
    rank: NDArray[np.int64] | None
    """0 for the row the `order` expression puts first; None without one."""


class PoolEvaluator:
    """Holds the locked-down connection; use it as a context manager and call `evaluate` as often as needed.

    One thread by default: most pools are small, calls are frequent, and starting workers costs more than it saves.
    """

    def __init__(self, *, threads: int = 1) -> None:
        self._con = duckdb.connect(":memory:", config={**_SETTINGS, "threads": threads})
        self._con.execute("SET python_enable_replacements = false")
        self._con.execute("SET TimeZone = 'UTC'")  # what a cast to TIMESTAMPTZ means must not depend on the machine
        self._con.execute("SET lock_configuration = true")
        self._unrepeatable: set[str] | None = None
        self._accepted: set[tuple[str, str, tuple[str, ...]]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._con.close()

    def evaluate(self, pool: pa.Table, shares: Sequence[ShareSQL], *, policy: str) -> list[Evaluated]:
        """Evaluate every share over `pool`. Raises QueryError naming `policy`, the share and what is wrong."""
        columns = tuple(pool.column_names)
        names = [f"share {number} of policy {policy!r}" for number in range(1, len(shares) + 1)]
        self._con.register("pool", pool.append_column("_row", pa.array(np.arange(pool.num_rows))))
        try:
            for share, name in zip(shares, names, strict=True):
                for part in ("where", "weight", "order"):
                    sql = getattr(share, part)
                    if sql is not None:
                        self._check(part, sql, columns, name)
            try:
                # All shares in one pass over the pool; only when that fails is the share that is to blame looked for.
                found = self._select([p for n, share in enumerate(shares) for p in _parts(n, share)], pool, policy)
            except QueryError:
                for n, (share, name) in enumerate(zip(shares, names, strict=True)):
                    self._select(_parts(n, share), pool, name)
                raise
        finally:
            self._con.unregister("pool")
        return [_evaluated(n, share, found, name) for n, (share, name) in enumerate(zip(shares, names, strict=True))]

    def _select(self, parts: list[str], pool: pa.Table, name: str) -> dict[str, NDArray[Any]]:
        """One answer per part and row, in the pool's order."""
        # With the row's number beside them, aggregates do not bind: each would fold the pool into one answer.
        sql = f"SELECT _row, {', '.join(parts)} FROM pool"  # noqa: S608
        found = self._run(sql, tuple(pool.column_names), name)
        rows = found.pop("_row")
        if len(found) != len(parts) or len(rows) != pool.num_rows:
            raise QueryError(
                f"{name}: an expression has more than one answer per document", hint="COLUMNS and unnest are refused"
            )
        if not np.array_equal(rows, np.arange(len(rows))):
            order = np.argsort(rows)
            found = {part: answers[order] for part, answers in found.items()}
        return found

    def _check(self, part: str, sql: str, columns: tuple[str, ...], name: str) -> None:
        """Refuse what is not one repeatable expression over the pool. Remembers what passed."""
        if (part, sql, columns) in self._accepted:
            return
        where = f"{name}: {part} = {sql!r}"
        probe = f"SELECT 1 FROM pool ORDER BY {sql}\n" if part == "order" else f"SELECT ({sql}\n) FROM pool"  # noqa: S608
        tree: dict[str, Any] = json.loads(self._con.execute("SELECT json_serialize_sql(?)", [probe]).fetchall()[0][0])
        if tree["error"]:
            raise QueryError(f"{where} is not a SQL expression: {tree['error_message']}", hint=_expression_hint(part))
        node = tree["statements"][0]["node"] if len(tree["statements"]) == 1 else {}
        modifiers = [modifier["type"] for modifier in node.get("modifiers", [])]
        if (
            node.get("type") != "SELECT_NODE"
            or len(node["select_list"]) != 1
            or modifiers != (["ORDER_MODIFIER"] if part == "order" else [])
            or node["cte_map"]["map"]
            or node["from_table"].get("table_name") != "pool"
            or node["group_expressions"]
            or any(node[clause] is not None for clause in _EMPTY_CLAUSES)
        ):
            raise QueryError(f"{where} is more than one expression", hint=_expression_hint(part))
        for item in _nodes(tree):
            function = item.get("function_name")
            if item.get("type") == "TABLE_FUNCTION" or (
                item.get("type") == "BASE_TABLE" and item.get("table_name") != "pool"
            ):
                raise QueryError(f"{where} reads something other than the pool", hint=_columns_hint(columns))
            if item.get("type") == "COLUMN_REF":
                column = str(item["column_names"][-1]).lower()
                if column == "_row":
                    raise QueryError(f"{where}: unknown column '_row'", hint=_columns_hint(columns))
                if column in _CLOCKS and column not in columns:
                    function = column
            if item.get("sample") is not None:
                raise QueryError(f"{where} looks at a random sample of the pool", hint=_REPEATABLE)
            if function is not None and (
                function in _CLOCKS | _SAMPLERS
                or function in self._changing()
                or (function == "age" and len(item.get("arguments", ())) == 1)  # counts from today
            ):
                raise QueryError(f"{where} calls {function}(), whose answer changes from run to run", hint=_REPEATABLE)
        bound = probe if part == "order" else f"SELECT _row, ({sql}\n) FROM pool"  # noqa: S608
        self._run(f"EXPLAIN {bound}", columns, where)
        self._accepted.add((part, sql, columns))

    def _changing(self) -> set[str]:
        """Functions that answer differently each time or tomorrow; asked for once, and only if any is called.

        A clock is CONSISTENT_WITHIN_QUERY in every form; arithmetic and parts of dates are so for TIMESTAMPTZ alone,
        because they depend on the time zone, which is fixed here.
        """
        if self._unrepeatable is None:
            rows = self._con.execute(
                "SELECT function_name FROM duckdb_functions() WHERE stability IS NOT NULL GROUP BY ALL "
                "HAVING bool_or(stability = 'VOLATILE') OR bool_and(stability = 'CONSISTENT_WITHIN_QUERY')"
            ).fetchall()
            self._unrepeatable = {str(name) for (name,) in rows}
        return self._unrepeatable

    def _run(self, sql: str, columns: tuple[str, ...], where: str) -> dict[str, NDArray[Any]]:
        try:
            return {name: np.ma.asanyarray(column) for name, column in self._con.execute(sql).fetchnumpy().items()}
        except duckdb.Error as error:
            message = str(error).splitlines()[0]
            missing = re.search(r'column "([^"]+)" not found', message)
            if missing:
                raise QueryError(
                    f"{where}: unknown column {missing.group(1)!r}", hint=_columns_hint(columns, missing.group(1))
                ) from None
            if "must appear in the GROUP BY" in message:
                raise QueryError(
                    f"{where}: an aggregate has one answer for the whole pool, not one per document",
                    hint="put it into a subquery: generation = (select max(generation) from pool)",
                ) from None
            raise QueryError(f"{where}: {message}", hint=_columns_hint(columns)) from None


def _parts(number: int, share: ShareSQL) -> list[str]:
    """The select list of one share."""
    parts = [f"coalesce(({share.where}\n), false)::BOOLEAN AS matches_{number}"]
    if share.weight is not None:
        parts.append(f"({share.weight}\n)::DOUBLE AS weight_{number}")
    if share.order is not None:
        parts.append(f"row_number() OVER (ORDER BY {share.order}\n, _row) - 1 AS rank_{number}")
    return parts


def _evaluated(number: int, share: ShareSQL, found: dict[str, NDArray[Any]], name: str) -> Evaluated:
    matches = np.asarray(found[f"matches_{number}"], dtype=np.bool_)
    weight = None
    if share.weight is not None:
        weight = np.ma.filled(np.ma.asarray(found[f"weight_{number}"], dtype=np.float64), np.nan)
        bad = matches & ~(np.isfinite(weight) & (weight >= 0))
        if bad.any():
            raise QueryError(
                f"{name}: weight = {share.weight!r} is {weight[bad][0]:g} on {int(bad.sum())} of its rows",
                hint="a weight is a number >= 0; use coalesce(…, 0) where a column can be NULL",
            )
        weight = np.where(matches, weight, 0.0)
    rank = np.asarray(found[f"rank_{number}"], dtype=np.int64) if share.order is not None else None
    return Evaluated(matches=matches, weight=weight, rank=rank)


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Every object of a serialised syntax tree."""
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _columns_hint(columns: Sequence[str], wrong: str = "") -> str:
    near = difflib.get_close_matches(wrong, columns, n=1) if wrong else []
    listed = f"columns: {', '.join(columns)}"
    return f"did you mean {near[0]!r}? {listed}" if near else listed


def _expression_hint(part: str) -> str:
    examples = {"where": "origin = 'human' and generation = 0", "weight": "1 - p_model", "order": "created_at desc"}
    return f"example: {part} = {examples[part]!r}"

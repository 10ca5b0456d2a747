"""The public SQL door: one read-only statement over the views, shut off from the file system but for the shards."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import duckdb

from provenance.errors import QueryError

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog

_ALLOWED = {"SELECT", "EXPLAIN"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Rows of one query."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One public view: what it holds and its columns as (name, type)."""

    name: str
    comment: str
    columns: list[tuple[str, str]]


def run_query(catalog: "Catalog", sql: str, params: Mapping[str, str] | None = None) -> Result:
    """Answer one SELECT. Named parameters are written `$name` and bound as text.

    Raises QueryError when the statement does not parse or bind, would write, or would read outside the catalog.
    """
    with catalog.read(reusable=False) as con:
        _define_texts(catalog, con, sql)
        con.execute(f"SET allowed_directories = ['{_quoted(str(catalog.root / 'corpora'))}/']")
        con.execute("SET enable_external_access = false")
        con.execute("SET lock_configuration = true")
        try:
            statements = con.extract_statements(sql)
        except duckdb.Error as error:
            raise _query_error(error) from error
        if len(statements) != 1:
            raise QueryError(f"{len(statements)} statements; one is answered at a time", hint="split the query")
        kind = str(statements[0].type).rpartition(".")[2]
        if kind not in _ALLOWED:
            raise QueryError(
                f"{kind} is refused: the catalog is read-only here", hint="ask with SELECT; see provenance sql --views"
            )
        try:
            cursor = con.execute(statements[0], dict(params) if params else None)
            columns = _distinct([column[0] for column in cursor.description or []])
            return Result(columns=columns, rows=cursor.fetchall())
        except duckdb.Error as error:
            raise _query_error(error) from error


def list_views(catalog: "Catalog") -> list[View]:
    """Every public view with its comment and columns, in name order. A view without a comment is not public."""
    with catalog.read() as con:
        _define_texts(catalog, con, "texts")
        views = con.execute(
            "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal AND comment <> '' ORDER BY view_name"
        ).fetchall()
        found = []
        for name, comment in views:
            columns = con.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [name]
            ).fetchall()
            found.append(View(name=name, comment=comment, columns=[(c[0], c[1]) for c in columns]))
    return found


def _define_texts(catalog: "Catalog", con: duckdb.DuckDBPyConnection, sql: str) -> None:
    """`texts` is made per connection, because the list of shard files is data."""
    if "texts" not in sql.lower():
        return
    rows = con.execute(
        "SELECT path FROM shard JOIN corpus USING (corpus_id) WHERE latest ORDER BY corpus_id, shard"
    ).fetchall()
    if rows:
        files = ", ".join(f"'{_quoted(str(catalog.root / path))}'" for (path,) in rows)
        body = f"SELECT doc_id, text FROM read_parquet([{files}])"  # noqa: S608
    else:
        body = "SELECT NULL::UUID AS doc_id, NULL::VARCHAR AS text WHERE false"
    try:
        con.execute(f"CREATE OR REPLACE TEMP VIEW texts AS {body}")
    except duckdb.Error as error:
        raise _query_error(error) from error
    con.execute("COMMENT ON VIEW texts IS 'The text of every document, read from the Parquet shards.'")


def _distinct(names: list[str]) -> list[str]:
    """A second `a` is called `a_1`, as in DuckDB's data frames: a JSON row has room for one of each name."""
    found: list[str] = []
    for name in names:
        free = (f"{name}_{number}" for number in count(1))
        found.append(name if name not in found else next(new for new in free if new not in {*names, *found}))
    return found


def _quoted(path: str) -> str:
    return path.replace("'", "''")


def _query_error(error: duckdb.Error) -> QueryError:
    lines = [line for line in str(error).splitlines() if line.strip()]
    hint = next((line for line in lines[1:] if line.startswith(("Did you mean", "Candidate"))), "")
    return QueryError(lines[0], hint=hint or "see the views and their columns: provenance sql --views")

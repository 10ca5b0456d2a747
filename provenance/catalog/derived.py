"""Rechecks what no seal covers: newest versions, removals, cells, views, experiments. Knows rows, no files."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import duckdb
import orjson

from provenance.catalog.experiments import experiment_sha256
from provenance.catalog.finding import Finding
from provenance.catalog.migrate import migrate

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NAMED = 5
ROWS_PREFIX = "rows sha256:"
"""How an experiment's command notes what its rows were when it ended."""


def check_derived(con: "DuckDBPyConnection") -> Iterator[Finding]:
    """Everything that follows from rows which are sealed, or from the ledger."""
    yield from _versions(con)
    yield from _cells(con)
    yield from _views(con)
    yield from _experiments(con)


def _versions(con: "DuckDBPyConnection") -> Iterator[Finding]:
    """Versions that are shown as the newest and are not, or the other way round; removals nobody asked for."""
    for ref, latest in con.execute(
        f"""
        SELECT corpus || '@' || version, latest FROM corpus
        QUALIFY latest IS DISTINCT FROM coalesce(removed_at IS NULL
            AND version = max(version) FILTER (removed_at IS NULL) OVER (PARTITION BY corpus), false)
        ORDER BY ALL LIMIT {NAMED}
        """  # noqa: S608
    ).fetchall():
        what = "is listed as the newest version and is not" if latest else "is the newest version and is not listed"
        yield Finding(check="corpus", where=f"corpus {ref}", what=what)
    for (ref,) in con.execute(
        f"""
        SELECT corpus || '@' || version AS ref FROM corpus WHERE removed_at IS NOT NULL AND ref NOT IN (
            SELECT params ->> 'ref' FROM activity WHERE command = 'corpus rm' AND status = 'done')
        ORDER BY ref LIMIT {NAMED}
        """  # noqa: S608
    ).fetchall():
        yield Finding(check="corpus", where=f"corpus {ref}", what="is hidden and no command removed it")


def _cells(con: "DuckDBPyConnection") -> Iterator[Finding]:
    """Groups of documents that lineage counts as one, and that are not what the documents say."""
    for (ref,) in con.execute(
        f"""
        WITH there AS (SELECT corpus_id, generator, origin, documents FROM cell),
        said AS (SELECT corpus_id, declared_generator, declared_origin, count(*) FROM document GROUP BY ALL)
        SELECT DISTINCT coalesce(corpus || '@' || version, 'of nobody') FROM (
            (FROM there EXCEPT ALL FROM said) UNION ALL (FROM said EXCEPT ALL FROM there))
        LEFT JOIN corpus USING (corpus_id) ORDER BY 1 LIMIT {NAMED}
        """  # noqa: S608
    ).fetchall():
        what = "its cells in the lineage graph are not what its documents declare"
        yield Finding(check="cell", where=f"corpus {ref}", what=what)


def _views(con: "DuckDBPyConnection") -> Iterator[Finding]:
    """Views and macros that are not this program's: whoever changes one changes every answer."""
    with duckdb.connect(":memory:") as own:
        migrate(own)
        expected, found = _definitions(own), _definitions(con)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            what = "is missing" if name not in found else "is none of this program's" if name not in expected else (
                "has another definition than this program gives it")  # fmt: skip
            yield Finding(check="view", where=name, what=what)


def _definitions(con: "DuckDBPyConnection") -> dict[str, str]:
    rows = con.execute(
        """
        SELECT 'view ' || view_name, sql FROM duckdb_views()
        WHERE NOT internal AND NOT temporary AND database_name = current_database()
        UNION ALL
        SELECT 'macro ' || function_name, string_agg(parameters::VARCHAR || macro_definition, '' ORDER BY parameters)
        FROM duckdb_functions()
        WHERE macro_definition IS NOT NULL AND NOT internal AND database_name = current_database()
        GROUP BY function_name
        """
    ).fetchall()
    return dict(rows)


def _experiments(con: "DuckDBPyConnection") -> Iterator[Finding]:
    """Experiments whose runs, generations, models or numbers are not those their last command left."""
    last: dict[str, tuple[str, str, list[str]]] = {}
    # By their ends: of two commands that share the work, the later to end has seen what both wrote. One that doctor
    # closed ended long before.
    for name, command, status, outputs in con.execute(
        "SELECT params ->> 'experiment' AS name, command, status, outputs::VARCHAR FROM activity "
        "WHERE command LIKE 'experiment %' AND name IS NOT NULL "
        "ORDER BY if(error = 'interrupted', started_at, coalesce(ended_at, started_at))"
    ).fetchall():
        last[name] = (command, status, orjson.loads(outputs))
    for name, (command, status, outputs) in sorted(last.items()):
        noted = next((o.removeprefix(ROWS_PREFIX) for o in outputs if o.startswith(ROWS_PREFIX)), None)
        # After a command that was cut short, resuming says what is missing.
        if command != "experiment rm" and status == "done" and noted not in {None, experiment_sha256(con, name)}:
            what = "its runs, generations, models or metrics are not those its last command left"
            yield Finding(check="experiment", where=f"exp:{name}", what=what)
    for (name,) in con.execute("SELECT experiment FROM experiment ORDER BY experiment").fetchall():
        if name not in last or last[name][0] == "experiment rm":
            yield Finding(check="experiment", where=f"exp:{name}", what="no command ran it")

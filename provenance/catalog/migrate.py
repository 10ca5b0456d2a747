"""Schema versions: numbered SQL files under schemas/migrations, applied in order and never edited once released."""

from dataclasses import dataclass
from importlib.resources import files

import duckdb

from provenance.catalog.depth import graph_depths, store_depths
from provenance.errors import CatalogError

# Stored depths follow the rules of depth.py and not the schema: with this step they are computed anew. Whoever changes
# those rules adds a step and names it here.
_DEPTHS_ANEW = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered step of the schema."""

    version: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """All steps this program knows, oldest first."""
    found = []
    for entry in files("provenance.schemas").joinpath("migrations").iterdir():
        if entry.name.endswith(".sql"):
            number, _, name = entry.name.removesuffix(".sql").partition("_")
            found.append(Migration(version=int(number), name=name, sql=entry.read_text(encoding="utf-8")))
    return sorted(found, key=lambda m: m.version)


def schema_version(con: duckdb.DuckDBPyConnection) -> int:
    """The newest step applied to this catalog; 0 for an empty file."""
    exists = con.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'schema_migration' AND NOT internal"
    ).fetchone()
    if exists is None or exists[0] == 0:
        return 0
    row = con.execute("SELECT coalesce(max(version), 0) FROM schema_migration").fetchone()
    return int(row[0]) if row else 0


def check_not_newer(con: duckdb.DuckDBPyConnection) -> int:
    """The catalog's version. Raises CatalogError when a newer program wrote it."""
    version = schema_version(con)
    known = migrations()[-1].version
    if version > known:
        raise CatalogError(
            f"the catalog has schema version {version}; this program knows up to {known}",
            hint="upgrade corpus-provenance; nothing was changed",
        )
    return version


def migrate(con: duckdb.DuckDBPyConnection, *, up_to: int | None = None) -> list[Migration]:
    """Apply the missing steps, each in its own transaction; returns those applied."""
    version = check_not_newer(con)
    applied = []
    for step in migrations():
        if step.version <= version or (up_to is not None and step.version > up_to):
            continue
        con.execute("BEGIN")
        try:
            con.execute(
                "CREATE TABLE IF NOT EXISTS schema_migration (version INTEGER PRIMARY KEY, name VARCHAR NOT NULL)"
            )
            con.execute(step.sql)
            if step.version == _DEPTHS_ANEW and version:
                with graph_depths(con):
                    store_depths(con)
            con.execute("INSERT INTO schema_migration VALUES (?, ?)", [step.version, step.name])
            con.execute("COMMIT")
        except duckdb.Error as error:
            con.execute("ROLLBACK")
            raise CatalogError(f"schema step {step.version} ({step.name}) failed: {error}") from error
        applied.append(step)
    return applied

"""The activities ledger: which command ran with what, when, on which code, and what came of it."""

import logging
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson

import provenance
from provenance.catalog import chain
from provenance.errors import CatalogReadOnlyError, ProvenanceError

if TYPE_CHECKING:
    import duckdb

    from provenance.catalog.store import Catalog

logger = logging.getLogger(__name__)


@cache
def code_version() -> str:
    """The package version, and in a git checkout the commit and whether it has uncommitted changes."""
    root = Path(provenance.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return provenance.__version__
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return f"{provenance.__version__}+git.unknown"
    return f"{provenance.__version__}+git.{described}"


class Activity:
    """One running command. `commit()` is the only moment it changes the catalog."""

    def __init__(self, catalog: "Catalog", command: str, params: Mapping[str, Any]) -> None:
        self.activity_id: UUID = uuid4()
        self.started_at = datetime.now(UTC)
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.committed = False
        self._catalog = catalog
        self._command = command
        self._params = params

    def begin(self) -> None:
        """Write the ledger row that says this command is running."""
        with self._catalog.write() as con:
            con.execute(
                "INSERT INTO activity VALUES (?, ?, ?, ?, ?, ?, ?, NULL, 'running', '[]', '[]', NULL)",
                [
                    self.activity_id,
                    self._command,
                    orjson.dumps(self._params, default=str).decode(),
                    code_version(),
                    platform.node(),
                    os.getpid(),
                    self.started_at,
                ],
            )

    @contextmanager
    def commit(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        """One transaction for the command's results and for its ledger row: both are there afterwards, or neither."""
        with self._catalog.write() as con:
            yield con
            chain.follow_tags(con, self.activity_id)
            last = self._end(con, "done", None)
        self.committed = True
        self._note(last)

    def _end(self, con: "duckdb.DuckDBPyConnection", status: str, error: str | None) -> chain.Head | None:
        con.execute(
            "UPDATE activity SET ended_at = ?, status = ?, inputs = ?, outputs = ?, error = ? WHERE activity_id = ?",
            [
                datetime.now(UTC),
                status,
                orjson.dumps(self.inputs).decode(),
                orjson.dumps(self.outputs).decode(),
                error,
                self.activity_id,
            ],
        )
        chain.append(con, self.activity_id)
        return chain.head(con)

    def _note(self, last: chain.Head | None) -> None:
        if last is not None:
            chain.write_head_file(self._catalog.root, last)

    def finish(self, status: str, error: str | None = None) -> None:
        """Close the ledger row of a command that had nothing (more) to commit."""
        with self._catalog.write() as con:
            last = self._end(con, status, error)
        self._note(last)


@contextmanager
def activity(catalog: "Catalog", command: str, params: Mapping[str, Any], *, commits: bool) -> Iterator[Activity]:
    """Record `command`: running on entry, done or failed on exit. A killed process leaves the row running.

    A command that `commits` nothing but its row also runs on a read-only catalog, which then does not record it.
    """
    running = Activity(catalog, command, params)
    try:
        running.begin()
    except CatalogReadOnlyError:
        if commits:
            raise
        logger.warning("the catalog is read-only: its ledger does not say that %s was run", command)
        running.committed = True  # there is no row to close
    try:
        yield running
    except BaseException as error:
        if not running.committed:
            try:
                running.finish("failed", f"{type(error).__name__}: {error}"[:2000])
            except (ProvenanceError, OSError) as second:
                # On a full disk this fails too. The first error says more, and the row left running is found by doctor.
                logger.info("the failure could not be written to the ledger: %s", second)
        raise
    if not running.committed:
        running.finish("done")


def outputs_of(catalog: "Catalog", command: str, parameter: str, value: str) -> list[str]:
    """What the finished runs of `command` with this parameter wrote, oldest first."""
    with catalog.read() as con:
        rows = con.execute(
            "SELECT outputs::VARCHAR FROM activity WHERE command = ? AND status = 'done' AND params ->> ? = ? "
            "ORDER BY started_at",
            [command, parameter, value],
        ).fetchall()
    return [name for (outputs,) in rows for name in orjson.loads(outputs)]


def newest_outputs(catalog: "Catalog", command: str, parameter: str) -> dict[str, list[str]]:
    """What the newest finished run of `command` wrote, for each value of this parameter."""
    with catalog.read() as con:
        rows = con.execute(
            "SELECT params ->> ? AS value, arg_max(outputs::VARCHAR, ended_at) FROM activity "
            "WHERE command = ? AND status = 'done' GROUP BY value ORDER BY value",
            [parameter, command],
        ).fetchall()
    return {value: orjson.loads(outputs) for value, outputs in rows}


ActivityContext = AbstractContextManager[Activity]

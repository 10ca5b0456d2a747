"""Opening the DuckDB file: bounded waiting for its lock, and errors a person can act on. Knows no tables.

Starting DuckDB costs five times as much as opening a file with it, so this process keeps the engines it has started and
only attaches the file, and with it takes the lock, for as long as a block lasts.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from provenance.errors import CatalogError, CatalogLockedError, CatalogReadOnlyError

DEFAULT_WAIT_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.2

# By process: a forked child must not use its parent's engine, whose threads it does not have.
_idle: dict[int, list[duckdb.DuckDBPyConnection]] = {}


@contextmanager
def connected(
    path: Path, *, read_only: bool, wait_seconds: float = DEFAULT_WAIT_SECONDS, reusable: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the catalog file, waiting up to `wait_seconds` while another process holds it.

    Temporary tables and session settings end with the block. A block that changes a global setting must say
    `reusable=False`: its engine ends with it. Raises CatalogLockedError naming the process that holds the file,
    CatalogReadOnlyError when it cannot be written, or CatalogError when it cannot be opened.
    """
    engines = _idle.setdefault(os.getpid(), [])
    try:
        engine = engines.pop()
    except IndexError:
        engine = duckdb.connect(":memory:")
    attached = False
    try:
        _attach(engine, path, read_only=read_only, wait_seconds=wait_seconds)
        attached = True
        con = engine.cursor()
        try:
            con.execute("USE catalog")
            # Timestamps are stored as UTC without a zone; casts must not go through the local one.
            con.execute("SET TimeZone = 'UTC'")
            yield con
        finally:
            con.close()
    finally:
        if reusable and (not attached or _detached(engine)):
            engines.append(engine)
        else:
            engine.close()


@contextmanager
def lossless_arrow(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Ids reach Arrow as 16 bytes, not as text, until the block ends.

    The setting is global: left as it is, it would change the types of every later read with this engine.
    """
    con.execute("SET arrow_lossless_conversion = true")
    try:
        yield
    finally:
        con.execute("RESET arrow_lossless_conversion")


def _attach(engine: duckdb.DuckDBPyConnection, path: Path, *, read_only: bool, wait_seconds: float) -> None:
    quoted = str(path).replace("'", "''")
    statement = f"ATTACH '{quoted}' AS catalog (TYPE duckdb{', READ_ONLY' if read_only else ''})"
    deadline = time.monotonic() + wait_seconds
    cause: duckdb.Error
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            engine.execute(statement)
        except duckdb.Error as error:
            held = _lock_holder(str(error))
            if held is None:
                raise _refusal(path, error, read_only=read_only) from error
            holder, cause = held, error
        else:
            return
        if time.monotonic() + pause > deadline:
            raise CatalogLockedError(
                f"the catalog {path} is in use by {holder} (waited {wait_seconds:g} s)",
                hint="wait for that process to end or stop it, then run the same command again",
            ) from cause
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _detached(engine: duckdb.DuckDBPyConnection) -> bool:
    """Give the file back. What a block committed is safe whatever happens here: at worst it is still in the log."""
    try:
        engine.execute("DETACH catalog")
    except duckdb.Error:
        return False
    return True


def _lock_holder(message: str) -> str | None:
    """Who holds the lock, or None when the message is not about a lock."""
    if "already attached" in message:
        return "another thread of this process"
    if "could not set lock" not in message.lower():
        return None
    found = re.search(r"PID (\d+)", message)
    if found is None:
        return "another process"
    pid = found.group(1)
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        command = ""
    return f"process {pid}" + (f" ({command[:120]})" if command else "")


def _refusal(path: Path, error: duckdb.Error, *, read_only: bool) -> CatalogError:
    first_line = str(error).splitlines()[0]
    if not read_only and re.search("permission denied|read-only file system", first_line, re.IGNORECASE):
        return CatalogReadOnlyError(
            f"the catalog {path} is read-only: {first_line}",
            hint="what only reads still works (status, log, sql, tag ls, verify, corpus export, report build); "
            "to write, get the permission or copy the folder",
        )
    return CatalogError(
        f"the catalog {path} cannot be opened: {first_line}",
        hint="if the file is damaged, restore it from a backup; if it was written by a newer DuckDB, upgrade duckdb",
    )

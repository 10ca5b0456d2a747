"""Opening the DuckDB file: bounded waiting for its lock, and errors a person can act on. Knows no tables."""

import re
import time
from pathlib import Path

import duckdb

from provenance.errors import CatalogError, CatalogLockedError

DEFAULT_WAIT_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.2


def connect(path: Path, *, read_only: bool, wait_seconds: float = DEFAULT_WAIT_SECONDS) -> duckdb.DuckDBPyConnection:
    """Open the catalog file, waiting up to `wait_seconds` while another process holds it.

    Raises CatalogLockedError naming the process that holds it, or CatalogError when the file cannot be opened.
    """
    deadline = time.monotonic() + wait_seconds
    cause: duckdb.Error
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            con = duckdb.connect(str(path), read_only=read_only)
            # Timestamps are stored as UTC without a zone; casts must not go through the local one.
            con.execute("SET TimeZone = 'UTC'")
            return con  # noqa: TRY300
        except duckdb.IOException as error:
            held = _lock_holder(str(error))
            if held is None:
                raise _unreadable(path, error) from error
            holder, cause = held, error
        except duckdb.ConnectionException as error:
            # Another thread of this process has the file open in the other mode.
            if "different configuration" not in str(error):
                raise _unreadable(path, error) from error
            holder, cause = "another thread of this process", error
        except duckdb.Error as error:
            raise _unreadable(path, error) from error
        if time.monotonic() + pause > deadline:
            raise CatalogLockedError(
                f"the catalog {path} is in use by {holder} (waited {wait_seconds:g} s)",
                hint="wait for that process to end or stop it, then run the same command again",
            ) from cause
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _lock_holder(message: str) -> str | None:
    """Who holds the lock, or None when the message is not about a lock."""
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


def _unreadable(path: Path, error: duckdb.Error) -> CatalogError:
    first_line = str(error).splitlines()[0]
    return CatalogError(
        f"the catalog {path} cannot be opened: {first_line}",
        hint="if the file is damaged, restore it from a backup; if it was written by a newer DuckDB, upgrade duckdb",
    )

"""The catalog as a folder: one DuckDB file, and beside it shards, detectors, runs and staging. Knows no texts.

A connection lives for one `read()` or `write()` block, milliseconds long, because DuckDB's lock shuts out every other
process while it is held: long work (reading files, scoring, training) happens between blocks.
"""

import hashlib
import os
import shlex
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from provenance.catalog.connect import DEFAULT_WAIT_SECONDS, connected
from provenance.catalog.ledger import ActivityContext, activity
from provenance.catalog.migrate import check_not_newer, migrate, migrations
from provenance.errors import CatalogError, NotFoundError

FOLDER = ".provenance"
DATABASE = "catalog.duckdb"


class Catalog:
    """An open catalog. Holds no connection between blocks, so it can be kept as long as one likes."""

    def __init__(self, root: Path, *, wait_seconds: float = DEFAULT_WAIT_SECONDS) -> None:
        self.root = root
        self.wait_seconds = wait_seconds
        self._lock = threading.RLock()
        self._open: duckdb.DuckDBPyConnection | None = None

    @classmethod
    def init(cls, folder: Path) -> "Catalog":
        """Create `.provenance/` inside `folder`, or open the one that is there. Idempotent."""
        return cls.create(folder / FOLDER)

    @classmethod
    def create(cls, root: Path) -> "Catalog":
        """Make the folder `root` a catalog, or open the one that it is. Idempotent."""
        root.mkdir(parents=True, exist_ok=True)
        catalog = cls(root.resolve())
        catalog._migrate()
        return catalog

    @classmethod
    def open(cls, root: Path, *, wait_seconds: float = DEFAULT_WAIT_SECONDS) -> "Catalog":
        """Open the catalog folder `root` (a `.provenance` folder, or one that holds it), migrating an older schema.

        Raises NotFoundError when there is none, CatalogError when it is newer than this program or damaged.
        """
        if (root / FOLDER / DATABASE).exists():
            root = root / FOLDER
        if not (root / DATABASE).exists():
            raise NotFoundError(
                f"no catalog at {root}", hint=f"run: PROVENANCE_CATALOG={shlex.quote(str(root))} provenance init"
            )
        catalog = cls(root.resolve(), wait_seconds=wait_seconds)
        with catalog.read() as con:
            behind = check_not_newer(con) < migrations()[-1].version
        if behind:
            catalog._migrate()
        return catalog

    @classmethod
    def find(cls, start: Path, *, wait_seconds: float = DEFAULT_WAIT_SECONDS) -> "Catalog":
        """Find `.provenance/` in `start` or the nearest parent, as git finds a repository. Raises NotFoundError."""
        start = start.resolve()
        for folder in (start, *start.parents):
            if (folder / FOLDER / DATABASE).exists():
                return cls.open(folder / FOLDER, wait_seconds=wait_seconds)
        raise NotFoundError(f"no catalog in {start} or any folder above it", hint="run: provenance init")

    def _migrate(self) -> None:
        with connected(self.database, read_only=False, wait_seconds=self.wait_seconds) as con:
            migrate(con)

    @property
    def database(self) -> Path:
        """The DuckDB file."""
        return self.root / DATABASE

    def folder(self, *parts: str) -> Path:
        """A folder of the catalog, made if missing."""
        path = self.root.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def read(self, *, reusable: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection; inside a `write()` block of this object, that block's own connection.

        A block that changes DuckDB's global settings says `reusable=False`; see `connect.connected`.
        """
        with self._lock:
            if self._open is not None:
                yield self._open
                return
            with (
                connected(self.database, read_only=True, wait_seconds=self.wait_seconds, reusable=reusable) as con,
                self._opened(con),
            ):
                yield con

    @contextmanager
    def _opened(self, con: duckdb.DuckDBPyConnection) -> Iterator[None]:
        self._open = con
        try:
            yield
        finally:
            self._open = None

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        with self._lock:
            if self._open is not None:
                raise RuntimeError("write() inside an open block: end the outer block first")
            with connected(self.database, read_only=False, wait_seconds=self.wait_seconds) as con, self._opened(con):
                con.execute("BEGIN")
                try:
                    yield con
                    con.execute("COMMIT")
                except duckdb.Error as error:
                    _rollback(con)
                    raise CatalogError(
                        f"the catalog refused the change: {error}", hint="nothing was changed"
                    ) from error
                except BaseException:
                    _rollback(con)
                    raise

    def activity(self, command: str, params: Mapping[str, Any], *, commits: bool = True) -> ActivityContext:
        """Record a command in the ledger; see `ledger.activity`."""
        return activity(self, command, params, commits=commits)

    @contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """An empty folder for files that are not yet part of the catalog; removed afterwards, whatever happens."""
        path = self.root / "staging" / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def _rollback(con: duckdb.DuckDBPyConnection) -> None:
    try:
        con.execute("ROLLBACK")
    except duckdb.Error:
        # A failed COMMIT has already rolled back; there is nothing left to undo.
        return


def publish(staged: Path, final: Path) -> None:
    """Move a finished folder into place with its bytes on disk: fsync the files, rename, fsync the parent.

    A folder already at `final` was published by a run that died before its catalog row: it is replaced.
    """
    for path in sorted(staged.rglob("*")):
        if path.is_file():
            _fsync(path)
    _fsync(staged)
    if final.exists():
        shutil.rmtree(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    staged.rename(final)
    _fsync(final.parent)


def file_hashes(root: Path, folder: Path) -> dict[str, str]:
    """SHA-256 of every file in `folder`, by its path relative to `root`."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as handle:
                found[path.relative_to(root).as_posix()] = hashlib.file_digest(handle, "sha256").hexdigest()
    return found


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Housekeeping: files the catalog names but lacks, files it has but does not name, commands that never ended."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from provenance.catalog import chain
from provenance.catalog.overview import is_gone
from provenance.catalog.store import Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What `examine` saw."""

    files: int
    missing: list[Path]
    leftovers: list[Path]
    interrupted: list[str]


def examine(catalog: Catalog, *, clean: bool) -> Findings:
    """Look at the catalog's folders; with `clean`, remove leftovers and close ledger rows of dead processes.

    Folders of commands that still run are left alone.
    """
    # Folders first: a command writes its row before its folder, so whoever made one of these is among the rows.
    folders = [folder for pattern in ("staging/*", "corpora/*/*") for folder in sorted(catalog.root.glob(pattern))]
    with catalog.read() as con:
        shards = con.execute(
            "SELECT s.path FROM shard s JOIN corpus c USING (corpus_id) WHERE c.removed_at IS NULL ORDER BY 1"
        ).fetchall()
        rows = con.execute(
            "SELECT activity_id, command, host, pid FROM activity WHERE status = 'running' ORDER BY started_at"
        ).fetchall()
    named = {catalog.root / path for (path,) in shards}
    alive = {str(row[0]) for row in rows if not is_gone(row[2], row[3])}
    dead = [row for row in rows if is_gone(row[2], row[3])]
    leftovers = [
        folder
        for folder in folders
        # One of a command that ended meanwhile is gone.
        if folder.name not in alive and not any(path.is_relative_to(folder) for path in named) and folder.exists()
    ]
    if clean:
        for folder in leftovers:
            shutil.rmtree(folder, ignore_errors=True)
        if dead:
            with catalog.write() as con:
                con.execute(
                    "UPDATE activity SET status = 'failed', ended_at = ?, error = 'interrupted' "
                    "WHERE activity_id IN (SELECT unnest(?::UUID[]))",
                    [datetime.now(UTC), [str(row[0]) for row in dead]],
                )
                # What they had committed before they were killed is sealed now, like that of any ended command.
                for row in dead:
                    chain.append(con, row[0])
                last = chain.head(con)
            chain.write_head_file(catalog.root, last)
    return Findings(
        files=len(named),
        missing=sorted(path for path in named if not path.exists()),
        leftovers=leftovers,
        interrupted=[f"{row[1]} (process {row[3]})" for row in dead],
    )

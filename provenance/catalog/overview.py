"""The catalog at a glance, and its newest activities. Reads only."""

import os
import platform
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from provenance.catalog.corpora import CorpusInfo, list_corpora
from provenance.catalog.store import Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Counts over the newest version of every corpus."""

    corpora: list[CorpusInfo]
    documents_by_origin: dict[str, int]
    tagged: int
    mixes: int
    runs: int
    interrupted: list[tuple[str, datetime, int]]
    """(command, start, pid) of commands whose process is gone without an end."""


def overview(catalog: Catalog) -> Overview:
    """Everything `provenance status` prints."""
    with catalog.read() as con:
        origins = con.execute("SELECT origin, count(*) FROM documents GROUP BY origin ORDER BY 2 DESC").fetchall()
        counts = con.execute(
            "SELECT (SELECT count(tag_origin) FROM document JOIN corpus USING (corpus_id) WHERE latest), "
            "(SELECT count(*) FROM mixes), (SELECT count(*) FROM runs)"
        ).fetchall()[0]
        running = con.execute(
            "SELECT command, started_at, pid, host FROM activity WHERE status = 'running' ORDER BY started_at"
        ).fetchall()
    return Overview(
        corpora=list_corpora(catalog),
        documents_by_origin=dict(origins),
        tagged=counts[0],
        mixes=counts[1],
        runs=counts[2],
        interrupted=[(row[0], row[1], row[2]) for row in running if is_gone(row[3], row[2])],
    )


def is_gone(host: str, pid: int) -> bool:
    """Whether the process of a ledger row has ended. Those of other hosts count as alive: we cannot know."""
    if host != platform.node():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def recent_activities(catalog: Catalog, limit: int) -> list[tuple[Any, ...]]:
    """The newest ledger rows: start, command, status, seconds, inputs, outputs, code version, id."""
    with catalog.read() as con:
        return con.execute(
            """
            SELECT started_at, command, status, round(epoch(ended_at) - epoch(started_at), 3),
                inputs::VARCHAR[], outputs::VARCHAR[], code_version, activity_id
            FROM activity ORDER BY started_at DESC LIMIT ?
            """,
            [limit],
        ).fetchall()

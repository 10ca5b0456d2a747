"""Declarations about a whole corpus, as evidence on each of its documents. Knows rows, no files."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from provenance.types import EvidenceKind, Origin

if TYPE_CHECKING:
    import duckdb

    from provenance.catalog.corpora import CorpusInfo

_SCORE = {Origin.MODEL: 1.0, Origin.MIXED: 0.0, Origin.HUMAN: -1.0}


def declare_corpus(
    con: "duckdb.DuckDBPyConnection",
    info: "CorpusInfo",
    *,
    name: str,
    version: str,
    origin: Origin,
    details: Mapping[str, Any],
    activity_id: Any,
    at: datetime,
) -> int:
    """Add one row of declared evidence per document that has none by this name and version; how many were added.

    Part of the caller's transaction. `origin` is human, model or mixed.
    """
    rows = con.execute(
        """
        INSERT INTO evidence_row
        SELECT doc_id, $kind, $name, $version, $score, NULL, $details::JSON, $activity, $at FROM document d
        WHERE corpus_id = $corpus AND NOT EXISTS (
            SELECT 1 FROM evidence_row e
            WHERE e.doc_id = d.doc_id AND e.kind = $kind AND e.name = $name AND e.version = $version)
        ORDER BY doc_id
        """,
        {
            "kind": EvidenceKind.DECLARED.value,
            "name": name,
            "version": version,
            "score": _SCORE[origin],
            "details": orjson.dumps(details).decode(),
            "activity": activity_id,
            "at": at,
            "corpus": info.corpus_id,
        },
    ).fetchall()
    return int(rows[0][0])

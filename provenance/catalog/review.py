"""What reviewing needs from the catalog: documents not yet judged, and the verdicts given. Knows no ranking."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from provenance.catalog.corpora import CorpusInfo
    from provenance.catalog.store import Catalog


def candidates(catalog: "Catalog", info: "CorpusInfo", disputed: Iterable[UUID]) -> list[dict[str, Any]]:
    """Documents of a corpus that no person has judged, or that are `disputed`, and whose origin is not recorded."""
    names = ("doc_id", "key", "declared_origin", "origin", "p_model", "basis", "n_words")
    with catalog.read() as con:
        rows = con.execute(
            """
            SELECT d.doc_id, d.key, d.declared_origin, coalesce(t.origin, 'unknown'), t.p_model,
                coalesce(t.basis, 'none'), d.n_words
            FROM document d LEFT JOIN tag_current t USING (doc_id)
            WHERE d.corpus_id = ? AND coalesce(t.basis, 'none') NOT IN ('recorded', 'reviewed')
                AND (NOT EXISTS (SELECT 1 FROM evidence_row e WHERE e.doc_id = d.doc_id AND e.kind = 'review')
                    OR d.doc_id IN (SELECT unnest(?::UUID[])))
            """,
            [info.corpus_id, [str(doc_id) for doc_id in disputed]],
        ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]


def verdicts(catalog: "Catalog", info: "CorpusInfo | None") -> list[dict[str, Any]]:
    """The newest verdict of each reviewer on each document, with the detectors' mean log likelihood ratio beside it."""
    names = ("doc_id", "reviewer", "score", "p_detector")
    with catalog.read() as con:
        rows = con.execute(
            """
            WITH judged AS (
                SELECT e.doc_id, e.name, e.score FROM evidence_row e
                WHERE e.kind = 'review' AND (? IS NULL OR e.doc_id IN (SELECT doc_id FROM document WHERE corpus_id = ?))
                QUALIFY row_number() OVER (PARTITION BY e.doc_id, e.name ORDER BY e.recorded_at DESC) = 1)
            SELECT j.doc_id, j.name, j.score,
                (SELECT avg(s.log_lr) FROM evidence_row s
                 WHERE s.doc_id = j.doc_id AND s.kind = 'detector' AND s.log_lr IS NOT NULL)
            FROM judged j ORDER BY j.doc_id, j.name
            """,
            [None if info is None else info.corpus_id, None if info is None else info.corpus_id],
        ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]

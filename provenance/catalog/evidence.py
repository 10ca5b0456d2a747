"""Evidence rows in the catalog: what is scored already, adding scores, reading all that speaks to a corpus."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from provenance import tables
from provenance.catalog.corpora import list_corpora
from provenance.errors import NotFoundError

if TYPE_CHECKING:
    import duckdb

    from provenance.catalog.corpora import CorpusInfo
    from provenance.catalog.store import Catalog

RECORDED_NAME = "lineage"


def unscored(catalog: "Catalog", info: "CorpusInfo", kind: str, name: str, version: str) -> pa.Array:
    """Ids (16 bytes each) of the documents without a row of this kind, name and version."""
    with catalog.read() as con:
        table = con.sql(
            """
            SELECT d.doc_id::BLOB AS doc_id FROM document d
            WHERE d.corpus_id = ? AND NOT EXISTS (
                SELECT 1 FROM evidence_row e
                WHERE e.doc_id = d.doc_id AND e.kind = ? AND e.name = ? AND e.version = ?)
            """,
            params=[info.corpus_id, kind, name, version],
        ).to_arrow_table()
    return table["doc_id"].combine_chunks().cast(pa.binary(16))


def add_evidence(con: "duckdb.DuckDBPyConnection", rows: pa.Table, activity_id: UUID) -> None:
    """Append rows of `tables.EVIDENCE`. Part of the caller's transaction."""
    con.register("new_evidence", rows)
    try:
        con.execute(
            """
            INSERT INTO evidence_row
            SELECT doc_id, kind, name, version, score, log_lr, details::JSON, ?, ? FROM new_evidence
            """,
            [activity_id, datetime.now(UTC)],
        )
    finally:
        con.unregister("new_evidence")


def add_scores(con: "duckdb.DuckDBPyConnection", rows: pa.Table, activity_id: UUID, asked: datetime) -> None:
    """Append a detector's rows, but for those that another process has added since this one asked what is unscored.

    `asked` is the moment before it asked. Part of the caller's transaction.
    """
    con.register("new_scores", rows)
    try:
        # Neither older rows nor this command's own can be among them. DuckDB skips both by the bounds it keeps of each
        # block of rows, for which the moment has to be of the column's own type.
        missing = con.sql(
            """
            SELECT doc_id::BLOB AS doc_id FROM new_scores ANTI JOIN (
                FROM evidence_row WHERE recorded_at >= ?::TIMESTAMP AND activity_id <> ?
            ) USING (doc_id, kind, name, version)
            """,
            params=[asked, activity_id],
        ).to_arrow_table()["doc_id"]
    finally:
        con.unregister("new_scores")
    if len(missing) < rows.num_rows:
        ids = rows["doc_id"].cast(pa.binary(16))
        rows = rows.filter(pc.is_in(ids, value_set=missing.combine_chunks().cast(pa.binary(16))))
    add_evidence(con, rows, activity_id)


def evidence_of(
    catalog: "Catalog",
    info: "CorpusInfo",
    doc_ids: Sequence[UUID] | None = None,
    *,
    between: tuple[UUID, UUID] | None = None,
) -> pa.Table:
    """All that speaks to a corpus: `tables.EVIDENCE`, the newest row per source.

    Of the documents `doc_ids` alone, or of those from the first to the last of `between`.

    A watermark is sought with one key at a time, and another key makes another version, not a newer one: all count.
    Texts we generated ourselves have no evidence row but a recorded tag; it appears here as evidence.
    """
    with catalog.read() as con:
        table = con.sql(
            f"""
            WITH asked AS (
                SELECT doc_id FROM document
                WHERE corpus_id = $corpus AND ($docs IS NULL OR doc_id IN (SELECT unnest($docs::UUID[])))
                    AND ($first IS NULL OR doc_id BETWEEN $first::UUID AND $last::UUID))
            SELECT e.doc_id::BLOB AS doc_id, e.kind, e.name, e.version, e.score, e.log_lr,
                e.details::VARCHAR AS details
            FROM evidence_row e JOIN asked USING (doc_id)
            QUALIFY row_number() OVER (
                PARTITION BY e.doc_id, e.kind, e.name, CASE e.kind WHEN 'watermark' THEN e.version END
                ORDER BY e.recorded_at DESC) = 1
            UNION ALL BY NAME
            SELECT h.doc_id::BLOB AS doc_id, 'recorded' AS kind, '{RECORDED_NAME}' AS name, '1' AS version,
                max(CASE h.origin WHEN 'model' THEN 1.0 WHEN 'human' THEN -1.0 ELSE 0.0 END) AS score
            FROM tag_history_row h JOIN asked USING (doc_id) WHERE h.basis = 'recorded' GROUP BY h.doc_id
            ORDER BY doc_id, kind, name, version
            """,  # noqa: S608
            params={
                "corpus": info.corpus_id,
                "docs": [str(doc_id) for doc_id in doc_ids] if doc_ids is not None else None,
                "first": str(between[0]) if between else None,
                "last": str(between[1]) if between else None,
            },
        ).to_arrow_table()
    return _with_uuids(table.select(tables.EVIDENCE.names)).cast(tables.EVIDENCE)


def document_columns(catalog: "Catalog", info: "CorpusInfo", columns: Sequence[str]) -> pa.Table:
    """`doc_id` and the named columns of a corpus, in doc_id order."""
    known = {field.name for field in tables.DOCUMENT}
    assert set(columns) <= known, f"not document columns: {set(columns) - known}"
    chosen = ", ".join(["doc_id::BLOB AS doc_id", *columns])
    with catalog.read() as con:
        table = con.sql(
            f"SELECT {chosen} FROM document WHERE corpus_id = ? ORDER BY doc_id",  # noqa: S608
            params=[info.corpus_id],
        ).to_arrow_table()
    return _with_uuids(table)


def scores_of(catalog: "Catalog", info: "CorpusInfo", detector: str, version: str) -> pa.Table:
    """source, subgroup, created_at and the score (NULL: abstained) of every scored document, in doc_id order."""
    with catalog.read() as con:
        return con.sql(
            """
            SELECT d.source, d.subgroup, d.created_at, e.score
            FROM document d JOIN evidence_row e USING (doc_id)
            WHERE d.corpus_id = ? AND e.name = ? AND e.version = ?
            QUALIFY row_number() OVER (PARTITION BY d.doc_id ORDER BY e.recorded_at DESC) = 1
            ORDER BY d.doc_id
            """,
            params=[info.corpus_id, detector, version],
        ).to_arrow_table()


def scored_versions(catalog: "Catalog", info: "CorpusInfo", detector: str) -> list[str]:
    """Versions of `detector` that scored documents of this corpus, newest first."""
    with catalog.read() as con:
        rows = con.execute(
            """
            SELECT e.version FROM evidence_row e JOIN document d USING (doc_id)
            WHERE d.corpus_id = ? AND e.name = ? GROUP BY 1 ORDER BY max(e.recorded_at) DESC
            """,
            [info.corpus_id, detector],
        ).fetchall()
    return [row[0] for row in rows]


def _with_uuids(table: pa.Table) -> pa.Table:
    """DuckDB hands a UUID to Arrow as text; asked for as bytes it becomes Arrow's own UUID again."""
    ids = table["doc_id"].combine_chunks().cast(pa.binary(16))
    at = table.schema.get_field_index("doc_id")
    return table.set_column(at, "doc_id", pa.ExtensionArray.from_storage(pa.uuid(), ids))


def add_calibration(con: "duckdb.DuckDBPyConnection", row: dict[str, Any], activity_id: UUID) -> None:
    """Append a local calibration. Part of the caller's transaction."""
    con.execute(
        "INSERT INTO calibration VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            row["corpus"], row["detector"], row["detector_version"], row["human_ref"], row["human_scores"],
            row["labelled_ref"], row["fitted"], activity_id, datetime.now(UTC),
        ],
    )  # fmt: skip


def calibrations_of(catalog: "Catalog", corpus: str) -> list[dict[str, Any]]:
    """The newest local calibration of each detector for a corpus name."""
    with catalog.read() as con:
        rows = con.execute(
            """
            SELECT detector, detector_version, human_ref, human_scores, labelled_ref, fitted::VARCHAR
            FROM calibration WHERE corpus = ?
            QUALIFY row_number() OVER (PARTITION BY detector ORDER BY recorded_at DESC) = 1 ORDER BY detector
            """,
            [corpus],
        ).fetchall()
    names = ("detector", "detector_version", "human_ref", "human_scores", "labelled_ref", "fitted")
    return [dict(zip(names, row, strict=True)) for row in rows]


def corpora_of(catalog: "Catalog", doc_ids: Sequence[UUID]) -> set[int]:
    """The corpus versions that hold any of the documents."""
    with catalog.read() as con:
        rows = con.execute(
            "SELECT DISTINCT corpus_id FROM document WHERE doc_id IN (SELECT unnest(?::UUID[]))",
            [[str(doc_id) for doc_id in doc_ids]],
        ).fetchall()
    return {row[0] for row in rows}


def newest_corpus_of(catalog: "Catalog", doc_id: UUID) -> "CorpusInfo":
    """The newest corpus version that holds a document. Raises NotFoundError when all of them were removed."""
    holding = corpora_of(catalog, [doc_id])
    found = [info for info in list_corpora(catalog, every_version=True) if info.corpus_id in holding]
    if not found:
        raise NotFoundError(f"the corpus of doc:{doc_id} was removed")
    return max(found, key=lambda info: info.version)

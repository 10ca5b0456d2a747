"""Tags in the catalog: appending changed ones, listing, conflicts with what sources declare. Knows no detector."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa

from provenance.catalog.ledger import Activity

if TYPE_CHECKING:
    import duckdb

    from provenance.catalog.corpora import CorpusInfo
    from provenance.catalog.store import Catalog


def write_tags(con: "duckdb.DuckDBPyConnection", tags: pa.Table, activity: Activity) -> int:
    """Append the tags that differ from the current ones; returns how many. Part of the caller's transaction.

    A recorded tag stands: nothing that is inferred later overwrites what we know we generated.
    """
    con.register("new_tags", tags)
    try:
        con.execute(
            """
            CREATE TEMP TABLE changed_tag AS
            SELECT n.* FROM new_tags n LEFT JOIN tag_current t USING (doc_id)
            WHERE (t.doc_id IS NULL AND n.basis <> 'none')
                OR (t.doc_id IS NOT NULL AND t.basis <> 'recorded' AND (
                    t.origin <> n.origin OR t.basis <> n.basis OR t.rule <> n.rule
                    OR t.p_model IS DISTINCT FROM n.p_model))
            """
        )
        stamp = [activity.activity_id, activity.started_at]
        con.execute("DELETE FROM tag_current WHERE doc_id IN (SELECT doc_id FROM changed_tag)")
        for table in ("tag_history_row", "tag_current"):
            con.execute(
                f"INSERT INTO {table} SELECT doc_id, origin, p_model, basis, rule, ?, ? FROM changed_tag "  # noqa: S608
                "ORDER BY doc_id",
                stamp,
            )
        count = con.execute("SELECT count(*) FROM changed_tag").fetchall()[0][0]
        con.execute("DROP TABLE changed_tag")
    finally:
        con.unregister("new_tags")
    return int(count)


def tag_counts(catalog: "Catalog", info: "CorpusInfo | None" = None) -> list[tuple[Any, ...]]:
    """(corpus, origin, basis, documents, mean p_model) per corpus, most documents first.

    A document without a tag has the origin its source declares, as in the view `documents`.
    """
    with catalog.read() as con:
        return con.execute(
            """
            SELECT c.corpus || '@' || c.version, coalesce(t.origin, d.declared_origin, 'unknown'),
                coalesce(t.basis, CASE WHEN d.declared_origin IS NULL THEN 'none' ELSE 'declared' END), count(*),
                avg(t.p_model)
            FROM document d JOIN corpus c USING (corpus_id) LEFT JOIN tag_current t USING (doc_id)
            WHERE c.latest AND (? IS NULL OR c.corpus_id = ?) GROUP BY ALL ORDER BY 1, 4 DESC
            """,
            [None if info is None else info.corpus_id, None if info is None else info.corpus_id],
        ).fetchall()


def current_tag(catalog: "Catalog", doc_id: UUID) -> dict[str, Any] | None:
    """The tag a document has now."""
    with catalog.read() as con:
        row = con.execute(
            "SELECT origin, p_model, basis, rule, recorded_at FROM tag_current WHERE doc_id = ?", [doc_id]
        ).fetchone()
    return dict(zip(("origin", "p_model", "basis", "rule", "at"), row, strict=True)) if row else None


def conflicting_tags(catalog: "Catalog", info: "CorpusInfo | None", limit: int) -> list[tuple[Any, ...]]:
    """Documents declared human that look like a model's, most so first.

    (doc_id, corpus_id, key, declared origin, who declares it, p_model).
    """
    with catalog.read() as con:
        return con.execute(
            """
            SELECT v.doc_id, c.corpus_id, v.key, v.declared_origin, v.declared_by, v.p_model
            FROM conflicts v JOIN corpus c ON c.corpus = v.corpus AND c.latest
            WHERE ? IS NULL OR c.corpus_id = ?
            ORDER BY v.p_model DESC, v.doc_id LIMIT ?
            """,
            [None if info is None else info.corpus_id, None if info is None else info.corpus_id, limit],
        ).fetchall()

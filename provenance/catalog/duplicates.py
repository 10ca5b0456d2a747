"""Near-duplicates in the catalog: index segments, compared pairs, decisions, and the lineage they recover."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa

from provenance import tables
from provenance.catalog.lineage import add_edges
from provenance.types import LineageEdge, Relation

if TYPE_CHECKING:
    import duckdb

    from provenance.catalog.corpora import CorpusInfo
    from provenance.catalog.ledger import Activity
    from provenance.catalog.store import Catalog

EVIDENCE_NAME = "near_duplicate"
EVIDENCE_VERSION = "jaccard-5-words/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """A segment the catalog knows: where it is and how it was made."""

    segment_id: UUID
    corpus: str
    sketch: str
    bands: int
    band_rows: int
    documents: int
    path: str
    """Relative to the catalog's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """A cluster that holds much of one source: a template, more likely than copies."""

    cluster_id: UUID
    corpus: str
    source: str
    documents: int
    share: float
    """Of the source's documents, in (0, 1]."""


def known_segments(catalog: "Catalog", corpus: str, sketch: str, bands: int, band_rows: int) -> list[SegmentRow]:
    """The segments of a corpus name that were made this way and whose file is still there."""
    with catalog.read() as con:
        rows = con.execute(
            """
            SELECT segment_id, corpus, sketch, bands, band_rows, documents, path FROM dedup_segment
            WHERE corpus = ? AND sketch = ? AND bands = ? AND band_rows = ? ORDER BY documents DESC, segment_id
            """,
            [corpus, sketch, bands, band_rows],
        ).fetchall()
    names = list(SegmentRow.__dataclass_fields__)
    found = [SegmentRow(**dict(zip(names, row, strict=True))) for row in rows]
    return [row for row in found if (catalog.root / row.path).exists()]


def joined_segments(catalog: "Catalog", threshold: float) -> set[tuple[UUID, UUID]]:
    """Pairs of segments, in either order, whose near-duplicates at `threshold` are all known."""
    with catalog.read() as con:
        rows = con.execute(
            "SELECT left_segment, right_segment FROM dedup_join WHERE threshold <= ?", [threshold]
        ).fetchall()
    return {pair for left, right in rows for pair in ((left, right), (right, left))}


def known_pairs(catalog: "Catalog") -> pa.Table:
    """Every compared pair: doc_id and other_id (16 bytes each), jaccard."""
    with catalog.read() as con:
        return con.sql(
            "SELECT doc_id::BLOB AS doc_id, other_id::BLOB AS other_id, max(jaccard) AS jaccard "
            "FROM document_pair GROUP BY ALL"
        ).to_arrow_table()


def documents_set_aside(catalog: "Catalog", corpus_ids: Sequence[int]) -> pa.Array:
    """Ids (16 bytes each) of the documents of these corpora that earlier runs set aside."""
    with catalog.read() as con:
        table = con.sql(
            "SELECT DISTINCT n.doc_id::BLOB AS doc_id FROM near_duplicates n JOIN document d USING (doc_id) "
            "WHERE NOT n.kept AND d.corpus_id IN (SELECT unnest(?::INTEGER[]))",
            params=[list(corpus_ids)],
        ).to_arrow_table()
    return table["doc_id"].combine_chunks().cast(pa.binary(16))


def standing_of(catalog: "Catalog", corpus_ids: Sequence[int], asked: pa.Table) -> pa.Table:
    """For `asked` (columns row, doc_id), in row order: row, id_rank, origin, recorded, created_us, n_chars."""
    with catalog.read() as con, _registered(con, asked=asked):
        return con.sql(
            """
            SELECT a.row, row_number() OVER (ORDER BY a.doc_id) AS id_rank,
                coalesce(t.origin, d.declared_origin, 'unknown') AS origin,
                coalesce(t.basis = 'recorded' AND t.origin = 'model', false) AS recorded,
                epoch_us(d.created_at) AS created_us, d.n_chars
            FROM asked a
            JOIN document d ON d.doc_id = a.doc_id AND d.corpus_id IN (SELECT unnest(?::INTEGER[]))
            JOIN corpus c USING (corpus_id)
            LEFT JOIN tag_current t ON t.doc_id = a.doc_id
            QUALIFY row_number() OVER (PARTITION BY a.row ORDER BY c.version DESC) = 1
            ORDER BY a.row
            """,
            params=[list(corpus_ids)],
        ).to_arrow_table()


def keys_of(catalog: "Catalog", doc_ids: Sequence[bytes]) -> dict[bytes, str]:
    """The keys of documents by their 16-byte ids."""
    asked = pa.table({"doc_id": tables.uuids(list(doc_ids))})
    with catalog.read() as con, _registered(con, asked=asked):
        rows = con.execute("SELECT doc_id::BLOB, any_value(key) FROM document JOIN asked USING (doc_id) GROUP BY 1")
        return dict(rows.fetchall())


def crowds(
    catalog: "Catalog", corpora: "Sequence[CorpusInfo]", decided: pa.Table, *, share: float, at_least: int
) -> list[Crowd]:
    """Clusters of `decided` (columns doc_id, cluster_id) with more than `share` of a source, largest share first."""
    with catalog.read() as con, _registered(con, decided=decided):
        rows = con.execute(
            """
            WITH totals AS (
                SELECT c.corpus, d.source, count(DISTINCT d.doc_id) AS documents
                FROM document d JOIN corpus c USING (corpus_id)
                WHERE corpus_id IN (SELECT unnest($ids::INTEGER[])) GROUP BY ALL),
            clustered AS (
                SELECT n.cluster_id, c.corpus, d.source, count(DISTINCT d.doc_id) AS documents
                FROM decided n JOIN document d USING (doc_id) JOIN corpus c USING (corpus_id)
                WHERE corpus_id IN (SELECT unnest($ids::INTEGER[])) GROUP BY ALL)
            SELECT k.cluster_id, k.corpus, k.source, k.documents, k.documents / t.documents AS share
            FROM clustered k JOIN totals t USING (corpus, source)
            WHERE k.documents >= $at_least AND k.documents / t.documents > $share
            ORDER BY share DESC, k.cluster_id
            """,
            {"ids": [info.corpus_id for info in corpora], "at_least": at_least, "share": share},
        ).fetchall()
    names = list(Crowd.__dataclass_fields__)
    return [Crowd(**dict(zip(names, row, strict=True))) for row in rows]


def commit_decisions(
    con: "duckdb.DuckDBPyConnection",
    activity: "Activity",
    corpora: "Sequence[CorpusInfo]",
    *,
    threshold: float,
    segments: Sequence[SegmentRow],
    joined: Sequence[tuple[UUID, UUID]],
    pairs: pa.Table,
    decided: pa.Table,
    recovered: pa.Table,
) -> tuple[int, int]:
    """Write a run's outcome inside the caller's transaction; decisions on `corpora` replace earlier ones.

    Returns how many lineage edges are new, and how many earlier decisions on other corpora lapsed because the document
    they kept is now set aside.
    """
    ids = [info.corpus_id for info in corpora]
    for row in segments:
        con.execute(
            "INSERT INTO dedup_segment VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                row.segment_id, row.corpus, row.sketch, row.bands, row.band_rows, row.documents, row.path,
                activity.activity_id,
            ],
        )  # fmt: skip
    if joined:
        con.executemany("INSERT INTO dedup_join VALUES (?, ?, ?)", [[left, right, threshold] for left, right in joined])
    stamp: Mapping[str, Any] = {"threshold": threshold, "activity": activity.activity_id}
    with _registered(con, pairs=pairs, decided=decided, recovered=recovered):
        con.execute(
            "INSERT INTO document_pair SELECT least(doc_id, other_id), greatest(doc_id, other_id), jaccard, "
            "$threshold, $activity FROM pairs",
            stamp,
        )
        con.execute(
            "DELETE FROM near_duplicate WHERE doc_id IN "
            "(SELECT doc_id FROM document WHERE corpus_id IN (SELECT unnest(?::INTEGER[])))",
            [ids],
        )
        con.execute(
            "INSERT INTO near_duplicate SELECT doc_id, other_id, jaccard, cluster_id, kept, reason, $threshold, "
            "$activity FROM decided ORDER BY cluster_id, doc_id",
            stamp,
        )
        lapsed = con.execute(
            "DELETE FROM near_duplicate WHERE NOT kept AND other_id IN "
            "(SELECT doc_id FROM near_duplicate WHERE NOT kept) RETURNING doc_id"
        ).fetchall()
        con.execute(
            """
            INSERT INTO evidence_row
            SELECT r.doc_id, 'near_duplicate', $name, $version, r.jaccard, NULL,
                json_object('other_id', r.other_id::VARCHAR, 'threshold', $threshold), $activity, $at
            FROM recovered r
            WHERE NOT EXISTS (
                SELECT 1 FROM evidence_row e
                WHERE e.doc_id = r.doc_id AND e.kind = 'near_duplicate' AND e.name = $name AND e.version = $version
                    AND e.details ->> 'other_id' = r.other_id::VARCHAR)
            """,
            {
                "name": EVIDENCE_NAME,
                "version": EVIDENCE_VERSION,
                "threshold": threshold,
                "activity": activity.activity_id,
                "at": activity.started_at,
            },
        )
    edges = [
        LineageEdge(child=f"doc:{child}", parent=f"doc:{parent}", relation=Relation.NEAR_DUPLICATE_OF)
        for child, parent in zip(recovered["doc_id"].to_pylist(), recovered["other_id"].to_pylist(), strict=True)
    ]
    new = add_edges(con, edges, activity_id=activity.activity_id, at=activity.started_at)
    return new, len(lapsed)


@contextmanager
def _registered(con: "duckdb.DuckDBPyConnection", **named: pa.Table) -> Iterator[None]:
    """Let SQL see Arrow tables by name for the length of a block."""
    for name, table in named.items():
        con.register(name, table)
    try:
        yield
    finally:
        for name in named:
            con.unregister(name)

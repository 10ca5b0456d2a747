"""What the catalog knows of one corpus or one document, as an ordered record. Reads only."""

from typing import TYPE_CHECKING, Any

from provenance.catalog.corpora import find_document, get_corpus

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog


def describe_corpus(catalog: "Catalog", ref: str) -> dict[str, Any]:
    """One corpus version: its description, its documents by origin and subgroup, its dates."""
    info = get_corpus(catalog, ref, removed=True)
    with catalog.read() as con:
        totals = con.execute(
            """
            SELECT sum(d.n_words), min(d.created_at), max(d.created_at), count(DISTINCT d.text_sha256),
                any_value(c.activity_id)
            FROM document d JOIN corpus c USING (corpus_id) WHERE corpus_id = ?
            """,
            [info.corpus_id],
        ).fetchall()[0]
        origins = con.execute(
            """
            SELECT coalesce(t.origin, d.declared_origin, 'unknown') AS origin, count(*)
            FROM document d LEFT JOIN tag_current t USING (doc_id) WHERE corpus_id = ? GROUP BY 1 ORDER BY 2 DESC
            """,
            [info.corpus_id],
        ).fetchall()
        subgroups = con.execute(
            """
            SELECT subgroup, count(*) FROM document WHERE corpus_id = ? AND subgroup IS NOT NULL
            GROUP BY 1 ORDER BY 2 DESC LIMIT 12
            """,
            [info.corpus_id],
        ).fetchall()
        generations = con.execute(
            "SELECT generation, count(*) FROM document WHERE corpus_id = ? GROUP BY 1 ORDER BY 1", [info.corpus_id]
        ).fetchall()
    return {
        "corpus": info.ref,
        "created_at": info.created_at,
        **({"removed_at": info.removed_at} if info.removed_at else {}),
        "documents": info.documents,
        "distinct_texts": totals[3],
        "words": int(totals[0] or 0),
        "bytes": info.bytes,
        "dates": f"{totals[1]:%Y-%m-%d} to {totals[2]:%Y-%m-%d}" if totals[1] is not None else None,
        "declared_origin": info.declared_origin,
        "declared_generator": info.declared_generator,
        "origin": dict(origins),
        "generation": {"unknown" if g is None else str(g): n for g, n in generations},
        "subgroups": dict(subgroups),
        "license": info.license,
        "source_uri": info.source_uri,
        "held_out": info.held_out,
        "content_root": info.content_root,
        "activity_id": str(totals[4]) if totals[4] else None,
    }


def describe_document(catalog: "Catalog", ref: str) -> dict[str, Any]:
    """One document: everything but its evidence, which `tag explain` shows, with its text last."""
    from provenance.corpus.texts import texts_by_id

    doc_id = find_document(catalog, ref)
    with catalog.read() as con:
        cursor = con.execute(
            "SELECT * FROM all_documents WHERE doc_id = ? ORDER BY removed_at IS NULL DESC, version DESC LIMIT 1",
            [doc_id],
        )
        names = [column[0] for column in cursor.description or []]
        rows = cursor.fetchall()
    record = dict(zip(names, rows[0], strict=True))
    if record["removed_at"] is None:
        del record["removed_at"]
    else:
        record["removed"] = True
    record["text"] = texts_by_id(catalog, [doc_id]).get(doc_id)
    return record

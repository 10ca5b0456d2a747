"""Counts over the documents of one corpus or mix, for descriptions that leave the catalog. Knows rows, no formats."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from provenance.catalog.corpora import CorpusInfo
from provenance.catalog.mixes import MixInfo

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a set of documents adds up to."""

    documents: int
    n_chars: int
    licenses: dict[str, int]
    """`unknown` where none was recorded."""
    source_uris: list[str]
    languages: dict[str, int]
    origins: dict[str, int]
    bases: dict[str, int]
    """How the origins are known."""
    contradicted: int
    """Documents declared as human that the evidence takes for a model's."""
    generators: dict[str, int]
    generations: dict[int | None, int]
    first_date: datetime | None
    last_date: datetime | None
    activity_id: UUID


_CORPUS = "SELECT d.*, c.license, c.source_uri FROM document d JOIN corpus c USING (corpus_id) WHERE corpus_id = $id"
_MIX = """
SELECT d.*, c.license, c.source_uri
FROM mix_document m JOIN cell USING (cell) JOIN document d ON d.doc_id = m.doc_id AND d.corpus_id = cell.corpus_id
JOIN corpus c ON c.corpus_id = d.corpus_id WHERE m.mix = $mix AND m.version = $version
"""


def corpus_counts(catalog: "Catalog", info: CorpusInfo) -> Counts:
    """The counts of a corpus version."""
    return _counts(catalog, _CORPUS, {"id": info.corpus_id}, "SELECT activity_id FROM corpus WHERE corpus_id = $id")


def mix_counts(catalog: "Catalog", mix: MixInfo) -> Counts:
    """The counts of a mix; a document that comes twice counts twice."""
    params = {"mix": mix.mix, "version": mix.version}
    return _counts(catalog, _MIX, params, "SELECT activity_id FROM mix WHERE mix = $mix AND version = $version")


def file_difference(catalog: "Catalog", of: CorpusInfo | MixInfo, path: Path) -> tuple[int, int] | None:
    """How many rows of a Parquet file with `doc_id` and `text` are not of `of`, and how many of `of` it lacks.

    None if there is no difference; in either a text that was changed under its id counts.
    """
    if isinstance(of, CorpusInfo):
        source, params = _CORPUS, dict[str, Any](id=of.corpus_id)
    else:
        source, params = _MIX, {"mix": of.mix, "version": of.version}
    with catalog.read() as con:
        over, missing = con.execute(
            f"""
            WITH mine AS (
                SELECT doc_id::VARCHAR AS id, lower(hex(text_sha256)) AS text, count(*) AS n
                FROM ({source}) GROUP BY ALL),
            theirs AS (
                SELECT doc_id::VARCHAR AS id, sha256(text) AS text, count(*) AS n
                FROM read_parquet($path) GROUP BY ALL),
            compared AS (
                SELECT coalesce(theirs.n, 0) - coalesce(mine.n, 0) AS over FROM mine FULL JOIN theirs USING (id, text))
            SELECT coalesce(sum(over) FILTER (over > 0), 0)::BIGINT, coalesce(-sum(over) FILTER (over < 0), 0)::BIGINT
            FROM compared
            """,  # noqa: S608
            {**params, "path": str(path)},
        ).fetchall()[0]
    return (over, missing) if over or missing else None


def activity_of(catalog: "Catalog", activity_id: UUID) -> dict[str, Any]:
    """command, params, code_version, started_at and ended_at of an activity."""
    with catalog.read() as con:
        row = con.execute(
            "SELECT command, params::VARCHAR, code_version, started_at, ended_at FROM activity WHERE activity_id = ?",
            [activity_id],
        ).fetchall()[0]
    names = ("command", "params", "code_version", "started_at", "ended_at")
    return {**dict(zip(names, row, strict=True)), "params": orjson.loads(row[1])}


def _counts(catalog: "Catalog", source: str, params: dict[str, Any], activity: str) -> Counts:
    grouped = {
        "languages": "language",
        "origins": "coalesce(tag_origin, declared_origin, 'unknown')",
        "generators": "CASE WHEN coalesce(declared_origin, '') <> 'human' THEN declared_generator END",
        "generations": "generation",
        "licenses": "coalesce(license, 'unknown')",
        "source_uris": "source_uri",
    }
    with catalog.read() as con:
        totals = con.execute(
            f"SELECT count(*), coalesce(sum(n_chars), 0)::BIGINT, min(created_at), max(created_at) FROM ({source})",  # noqa: S608
            params,
        ).fetchall()[0]
        found = {
            name: con.execute(
                f"SELECT {column} AS value, count(*) FROM ({source}) GROUP BY value ORDER BY 2 DESC, 1",  # noqa: S608
                params,
            ).fetchall()
            for name, column in grouped.items()
        }
        # Not tagged yet, a document is what its source declares.
        bases = con.execute(
            f"""
            SELECT coalesce(t.basis, CASE WHEN coalesce(d.declared_origin, 'unknown') = 'unknown' THEN 'none'
                ELSE 'declared' END) AS basis, count(*)
            FROM ({source}) d LEFT JOIN tag_current t USING (doc_id) GROUP BY 1 ORDER BY 2 DESC, 1
            """,  # noqa: S608
            params,
        ).fetchall()
        contradicted = con.execute(
            f"SELECT count(*) FROM ({source}) WHERE doc_id IN (SELECT doc_id FROM conflicts)",  # noqa: S608
            params,
        ).fetchall()[0][0]
        made = con.execute(activity, params).fetchall()[0][0]
    known = {name: {value: n for value, n in rows if value is not None} for name, rows in found.items()}
    return Counts(
        documents=totals[0], n_chars=totals[1], first_date=totals[2], last_date=totals[3],
        licenses=known["licenses"], source_uris=list(known["source_uris"]), languages=known["languages"],
        origins=known["origins"], generators=known["generators"], generations=dict(found["generations"]),
        bases=dict(bases), contradicted=contradicted, activity_id=made,
    )  # fmt: skip

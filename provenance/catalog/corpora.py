"""Corpora and documents in the catalog: committing, naming, listing, finding shards. Knows rows, never texts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from provenance.errors import ConfigError, NotFoundError, UsageError

if TYPE_CHECKING:
    import duckdb

    from provenance.catalog.store import Catalog
    from provenance.corpus.writer import Staged

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusInfo:
    """One version of one corpus."""

    corpus_id: int
    corpus: str
    version: int
    created_at: datetime
    documents: int
    bytes: int
    source_uri: str | None
    license: str | None
    declared_origin: str | None
    declared_generator: str | None
    content_root: str
    held_out: bool
    latest: bool
    removed_at: datetime | None

    @property
    def ref(self) -> str:
        """`name@version`."""
        return f"{self.corpus}@{self.version}"


_COLUMNS = (
    "corpus_id, corpus, version, created_at, documents, bytes, source_uri, license, declared_origin, "
    "declared_generator, content_root, held_out, latest, removed_at"
)


def check_name(name: str) -> str:
    """`name` if it can name a corpus. Raises ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a corpus",
            hint="use lower-case letters, digits, '.', '_' and '-', starting with a letter or digit",
        )
    return name


def list_corpora(catalog: "Catalog", *, every_version: bool = False, removed: bool = False) -> list[CorpusInfo]:
    """Corpora in name order, newest version of each unless every version is asked for, or also those `removed`."""
    where = "true" if removed else "removed_at IS NULL" if every_version else "latest"
    with catalog.read() as con:
        rows = con.execute(f"SELECT {_COLUMNS} FROM corpus WHERE {where} ORDER BY corpus, version").fetchall()  # noqa: S608
    return [_info(row) for row in rows]


def experiment_corpora(catalog: "Catalog") -> set[str]:
    """`name@version` of every corpus that a generation of an experiment wrote."""
    with catalog.read() as con:
        rows = con.execute("SELECT sampled_corpus FROM generation_row WHERE sampled_corpus IS NOT NULL").fetchall()
    return {row[0].removeprefix("corpus:") for row in rows}


def get_corpus(catalog: "Catalog", ref: str, *, removed: bool = False) -> CorpusInfo:
    """The corpus called `name` (newest version) or `name@version`. Raises NotFoundError with a suggestion.

    With `removed`, also one whose texts are gone: for questions that its rows still answer.
    """
    name, at, version = ref.partition("@")
    if at and not version.isdigit():
        raise UsageError(f"{ref!r} is no corpus reference", hint="write name or name@version, for instance books@2")
    known = list_corpora(catalog, every_version=True)
    for info in known:
        if info.corpus == name and (info.version == int(version) if at else info.latest):
            return info
    gone = [
        info
        for info in list_corpora(catalog, removed=True)
        if info.corpus == name and info.removed_at and (not at or info.version == int(version))
    ]
    if gone and removed:
        return gone[-1]
    if gone:
        raise NotFoundError(
            f"corpus {gone[-1].ref} was removed on {gone[-1].removed_at:%Y-%m-%d}",
            hint=f"its texts are gone; what stays: provenance corpus show {gone[-1].ref}, provenance lineage show "
            f"corpus:{gone[-1].ref}, and the view all_documents",
        )
    if at and any(i.corpus == name for i in known):
        versions = ", ".join(str(i.version) for i in known if i.corpus == name)
        raise NotFoundError(f"corpus {name!r} has no version {version}", hint=f"it has {versions}")
    raise NotFoundError.of("corpus", name, {i.corpus for i in known})


def shard_paths(catalog: "Catalog", info: CorpusInfo) -> list[Path]:
    """The text shards of one corpus version, in order."""
    with catalog.read() as con:
        rows = con.execute("SELECT path FROM shard WHERE corpus_id = ? ORDER BY shard", [info.corpus_id]).fetchall()
    return [catalog.root / row[0] for row in rows]


def locate_documents(catalog: "Catalog", doc_ids: Sequence[UUID]) -> dict[Path, list[UUID]]:
    """For each shard that holds some of `doc_ids` (newest version that has them), which; unknown ids are left out."""
    with catalog.read() as con:
        rows = con.execute(
            """
            SELECT s.path, d.doc_id
            FROM document d JOIN corpus c USING (corpus_id) JOIN shard s USING (corpus_id, shard)
            WHERE d.doc_id IN (SELECT unnest(?::UUID[])) AND c.removed_at IS NULL
            QUALIFY row_number() OVER (PARTITION BY d.doc_id ORDER BY c.version DESC) = 1
            """,
            [[str(doc_id) for doc_id in doc_ids]],
        ).fetchall()
    located: dict[Path, list[UUID]] = {}
    for path, doc_id in rows:
        located.setdefault(catalog.root / path, []).append(doc_id)
    return located


def find_document(catalog: "Catalog", prefix: str) -> UUID:
    """The one document whose id starts with `prefix` (with or without `doc:`). Raises NotFoundError, UsageError."""
    wanted = prefix.removeprefix("doc:").lower()
    bare = wanted.replace("-", "")
    if not re.fullmatch(r"[0-9a-f]{4,32}", bare):
        raise UsageError(f"{prefix!r} is no document id", hint="give 4 to 32 hexadecimal digits, as in doc:3f2a91c0")
    low, high = UUID(hex=bare.ljust(32, "0")), UUID(hex=bare.ljust(32, "f"))
    with catalog.read() as con:
        rows = con.execute(
            "SELECT DISTINCT doc_id FROM document WHERE doc_id BETWEEN ? AND ? LIMIT 3", [low, high]
        ).fetchall()
    if not rows:
        raise NotFoundError(
            f"no document whose id starts with {wanted!r}", hint='look it up: provenance sql "from documents"'
        )
    if len(rows) > 1:
        raise UsageError(f"{prefix!r} fits more than one document", hint=f"for instance {rows[0][0]} and {rows[1][0]}")
    found: UUID = rows[0][0]
    return found


def documents_with_text(catalog: "Catalog", text_sha256: bytes) -> list[tuple[UUID, str]]:
    """(doc_id, corpus@version) of the documents that have this very text, each by its newest version; oldest first."""
    with catalog.read() as con:
        rows = con.execute(
            """
            SELECT d.doc_id, concat(c.corpus, '@', max(c.version))
            FROM document d JOIN corpus c USING (corpus_id) WHERE d.text_sha256 = ?
            GROUP BY d.doc_id, c.corpus ORDER BY min(c.created_at), d.doc_id
            """,
            [text_sha256],
        ).fetchall()
    return [(doc_id, ref) for doc_id, ref in rows]


def sample_ids(
    catalog: "Catalog", info: CorpusInfo, *, count: int, seed: int
) -> list[tuple[UUID, str, str, float | None]]:
    """(doc_id, key, origin, p_model) of `count` documents with the smallest keyed hashes: a function of seed and id."""
    with catalog.read() as con:
        return con.execute(
            """
            SELECT d.doc_id, d.key, coalesce(t.origin, d.declared_origin, 'unknown'), t.p_model
            FROM document d LEFT JOIN tag_current t USING (doc_id) WHERE d.corpus_id = ?
            ORDER BY md5(concat(?, ':', d.doc_id)) LIMIT ?
            """,
            [info.corpus_id, str(seed), count],
        ).fetchall()


def documents_by_id(
    catalog: "Catalog", info: CorpusInfo, doc_ids: Sequence[bytes], columns: Sequence[str]
) -> list[tuple[Any, ...]]:
    """`columns` and the id of each document of one corpus version, in the order of `doc_ids` (16 bytes each)."""
    named = {"origin": "coalesce(t.origin, d.declared_origin, 'unknown')", "p_model": "t.p_model", "basis": "t.basis"}
    picked = ", ".join(named.get(name, f"d.{name}") for name in columns)
    with catalog.read() as con:
        rows = con.execute(
            f"""
            SELECT {picked}, d.doc_id FROM document d LEFT JOIN tag_current t USING (doc_id)
            WHERE d.corpus_id = ? AND d.doc_id IN (SELECT unnest(?::UUID[]))
            """,  # noqa: S608
            [info.corpus_id, [str(UUID(bytes=doc_id)) for doc_id in doc_ids]],
        ).fetchall()
    by_id = {row[-1].bytes: row for row in rows}
    return [by_id[doc_id] for doc_id in doc_ids]


def mixes_using(catalog: "Catalog", info: CorpusInfo) -> list[str]:
    """`mix:name@version` of every mix that holds a document of this corpus version."""
    with catalog.read() as con:
        rows = con.execute(
            """
            SELECT DISTINCT m.mix, m.version FROM mix_document m JOIN document d USING (doc_id)
            WHERE d.corpus_id = ? ORDER BY 1, 2
            """,
            [info.corpus_id],
        ).fetchall()
    return [f"mix:{mix}@{version}" for mix, version in rows]


def same_as_latest(catalog: "Catalog", name: str, staged: "Staged", described: Sequence[Any]) -> CorpusInfo | None:
    """The newest version of `name` if it holds these very documents with these very descriptions, else None."""
    with catalog.read() as con:
        row = con.execute(f"SELECT {_COLUMNS} FROM corpus WHERE corpus = ? AND latest", [name]).fetchone()  # noqa: S608
        if row is None:
            return None
        info = _info(row)
        mine = (info.source_uri, info.license, info.declared_origin, info.declared_generator, info.held_out)
        if info.content_root != staged.content_root or mine != tuple(described):
            return None
        different = con.execute(
            f"""
            SELECT count(*) FROM (
                SELECT {_DESCRIBED} FROM read_parquet(?)
                EXCEPT SELECT {_DESCRIBED} FROM document WHERE corpus_id = ?)
            """,  # noqa: S608
            [str(staged.folder / "documents.parquet"), info.corpus_id],
        ).fetchone()
    return info if different is not None and different[0] == 0 else None


# Without the depth columns: they follow from these and the graph, which may have grown since.
_DESCRIBED = "doc_id, key, source, created_at, language, subgroup, declared_origin, declared_generator, meta"


def insert_corpus(
    con: "duckdb.DuckDBPyConnection",
    *,
    name: str,
    staged: "Staged",
    folder: str,
    activity_id: Any,
    at: datetime,
    source_uri: str | None,
    license: str | None,  # noqa: A002
    declared_origin: str | None,
    declared_generator: str | None,
    held_out: bool,
) -> CorpusInfo:
    """Insert a staged corpus as the newest version of `name`. Part of the caller's transaction."""
    version = int(
        con.execute("SELECT coalesce(max(version), 0) + 1 FROM corpus WHERE corpus = ?", [name]).fetchall()[0][0]
    )
    corpus_id = int(con.execute("SELECT coalesce(max(corpus_id), 0) + 1 FROM corpus").fetchall()[0][0])
    con.execute("UPDATE corpus SET latest = false WHERE corpus = ? AND latest", [name])
    con.execute(
        "INSERT INTO corpus VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, true, NULL, ?)",
        [
            corpus_id, name, version, at, staged.documents, staged.text_bytes, source_uri, license, declared_origin,
            declared_generator, staged.content_root, held_out, activity_id,
        ],
    )  # fmt: skip
    for shard in staged.shards:
        con.execute(
            "INSERT INTO shard VALUES (?, ?, ?, ?, ?, ?)",
            [corpus_id, shard.shard, f"{folder}/{shard.file}", shard.documents, shard.bytes, shard.sha256],
        )
    con.execute(
        """
        INSERT INTO document BY NAME
        SELECT * REPLACE (meta::JSON AS meta), ?::INTEGER AS corpus_id
        FROM read_parquet(?) ORDER BY doc_id
        """,
        [corpus_id, str(staged.folder / "documents.parquet")],
    )
    con.execute(
        """
        INSERT INTO cell
        SELECT (SELECT coalesce(max(cell), 0) FROM cell) + row_number() OVER (), corpus_id, declared_generator,
            declared_origin, documents
        FROM (
            SELECT corpus_id, declared_generator, declared_origin, count(*) AS documents
            FROM document WHERE corpus_id = ? GROUP BY ALL ORDER BY ALL)
        """,
        [corpus_id],
    )
    con.execute(
        """
        INSERT INTO evidence_row
        SELECT doc_id, kind, name, version, score, log_lr, details::JSON, ?, ? FROM read_parquet(?)
        """,
        [activity_id, at, str(staged.folder / "evidence.parquet")],
    )
    # All of it fetched: a result left open would keep the caller's transaction from registering tables.
    row = con.execute(f"SELECT {_COLUMNS} FROM corpus WHERE corpus_id = ?", [corpus_id]).fetchall()[0]  # noqa: S608
    return _info(row)


def remove_corpus(con: "duckdb.DuckDBPyConnection", info: CorpusInfo, at: datetime) -> None:
    """Hide one version. Ids, hashes, tags and lineage stay for audit; the caller deletes the texts afterwards."""
    con.execute("UPDATE corpus SET removed_at = ?, latest = false WHERE corpus_id = ?", [at, info.corpus_id])
    con.execute(
        """
        UPDATE corpus SET latest = true WHERE corpus_id = (
            SELECT arg_max(corpus_id, version) FROM corpus WHERE corpus = ? AND removed_at IS NULL)
        """,
        [info.corpus],
    )


def _info(row: tuple[Any, ...]) -> CorpusInfo:
    names = [name.strip() for name in _COLUMNS.split(",")]
    return CorpusInfo(**dict(zip(names, row, strict=True)))

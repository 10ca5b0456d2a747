"""Mixes in the catalog: the pool a static mix is drawn from, recording built mixes, finding them. Knows no texts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa

from provenance.catalog.connect import lossless_arrow
from provenance.catalog.corpora import CorpusInfo, get_corpus, list_corpora
from provenance.errors import ConfigError, NotFoundError, UsageError

if TYPE_CHECKING:
    import duckdb

    from provenance.catalog.store import Catalog

# What a policy may name, and where each column comes from. A mix is drawn from the present, so a document's age counts
# from the generation after the newest one in the pool, as in an experiment.
POOL_COLUMNS = {
    "corpus": "c.corpus",
    "key": "d.key",
    "source": "d.source",
    "subgroup": "d.subgroup",
    "language": "d.language",
    "created_at": "d.created_at",
    "n_chars": "d.n_chars",
    "n_words": "d.n_words",
    "n_tokens": "((d.n_chars + 3) // 4)::BIGINT",
    "origin": "coalesce(d.tag_origin, d.declared_origin, 'unknown')",
    "p_model": "d.tag_p_model",
    "tag": "d.tag_origin",
    "basis": "(SELECT t.basis FROM tag_current t WHERE t.doc_id = d.doc_id)",
    "declared_origin": "d.declared_origin",
    "declared_generator": "d.declared_generator",
    "generation": "d.generation",
    "generation_max": "d.generation_max",
    "human_ancestry": "d.human_ancestry",
    "age": "($newest + 1 - d.generation)",
    "uses": "coalesce(u.uses, 0)",
    "duplicate": "(d.doc_id IN (SELECT doc_id FROM near_duplicate WHERE NOT kept))",
    "meta": "d.meta",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MixInfo:
    """One version of a built mix."""

    mix: str
    version: int
    policy: dict[str, Any]
    seed: int
    lock_sha256: str
    documents: int
    tokens: int
    realised: list[dict[str, Any]]
    pool: list[dict[str, Any]]

    @property
    def ref(self) -> str:
        """`name@version`."""
        return f"{self.mix}@{self.version}"

    @property
    def lock_file(self) -> str:
        """Where the catalog keeps the lock, relative to its folder."""
        return f"mixes/{self.ref}.lock.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class MixPool:
    """The documents a policy draws from."""

    table: pa.Table
    """doc_id, n_tokens and the columns asked for."""
    corpora: list[CorpusInfo]
    held_out: dict[str, int]
    """Documents left out because of held-out text, by reason."""


def pool_corpora(catalog: "Catalog", sources: Sequence[str] | None) -> list[CorpusInfo]:
    """The corpora a policy draws from: those it names, else the newest version of every one that is not held out.

    Raises NotFoundError, and ConfigError when a held-out corpus is named or one corpus is named twice.
    """
    if sources is None:
        return [info for info in list_corpora(catalog) if not info.held_out]
    found = [get_corpus(catalog, ref) for ref in sources]
    for info in found:
        if info.held_out:
            raise ConfigError(
                f"corpus {info.ref} is held out: no mix may draw from it", hint="take it out of the policy's 'from'"
            )
    names = [info.corpus for info in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"'from' names corpus {name!r} more than once", hint="name one version of it")
    return sorted(found, key=lambda info: info.corpus)


def read_pool(
    catalog: "Catalog", corpora: Sequence[CorpusInfo], columns: Iterable[str], *, ordered: bool = False
) -> MixPool:
    """The documents of `corpora` without those that held-out text reaches; in doc_id order if `ordered`."""
    wanted = sorted({"n_tokens", *columns})
    ids = [info.corpus_id for info in corpora]
    picked = ", ".join(f"{POOL_COLUMNS[name]} AS {name}" for name in wanted)
    uses = (
        "LEFT JOIN (SELECT doc_id, count(DISTINCT (mix, version)) AS uses FROM mix_document GROUP BY doc_id) u "
        "ON u.doc_id = d.doc_id"
        if "uses" in wanted
        else ""
    )
    with catalog.read() as con, lossless_arrow(con):
        con.execute("SET python_enable_replacements = false")
        held_out = _guard(con, ids)
        try:
            newest = con.execute(
                "SELECT max(generation) FROM document WHERE list_contains(?, corpus_id)", [ids]
            ).fetchall()[0][0]
            params: dict[str, Any] = {"ids": ids}
            if "age" in wanted:
                params["newest"] = newest
            table = con.sql(
                f"""
                SELECT d.doc_id, {picked}
                FROM document d JOIN corpus c USING (corpus_id) {uses}
                WHERE list_contains($ids, d.corpus_id) AND d.doc_id NOT IN (SELECT doc_id FROM guarded)
                {"ORDER BY d.doc_id" if ordered else ""}
                """,  # noqa: S608
                params=params,
            ).to_arrow_table()
        finally:
            con.execute("DROP TABLE IF EXISTS temp.guarded")
    return MixPool(table=table, corpora=list(corpora), held_out=held_out)


def _guard(con: "duckdb.DuckDBPyConnection", ids: list[int]) -> dict[str, int]:
    """Fill temp table `guarded` with documents of the pool that held-out text reaches; counts by reason."""
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE guarded AS
        WITH RECURSIVE held AS MATERIALIZED (
            SELECT doc_id, text_sha256 FROM document JOIN corpus USING (corpus_id)
            WHERE held_out AND removed_at IS NULL),
        derived(doc_id) USING KEY (doc_id) AS (
            SELECT doc_id FROM held
            UNION
            SELECT e.child_doc FROM derived d JOIN document_edge e ON e.parent_doc = d.doc_id
            WHERE e.relation = 'derived_from' AND e.child_doc IS NOT NULL
                AND e.child_doc NOT IN (SELECT doc_id FROM recurring.derived)),
        reached AS (
            SELECT doc_id, 'same text' AS reason FROM document WHERE text_sha256 IN (SELECT text_sha256 FROM held)
            UNION ALL SELECT doc_id, 'derived' FROM derived
            UNION ALL
            SELECT p.other_id, 'near-duplicate' FROM document_pair p JOIN derived USING (doc_id)
            WHERE p.jaccard >= p.threshold
            UNION ALL
            SELECT p.doc_id, 'near-duplicate' FROM document_pair p JOIN derived d ON d.doc_id = p.other_id
            WHERE p.jaccard >= p.threshold)
        SELECT doc_id, min(reason) AS reason FROM reached GROUP BY doc_id
        """
    )
    rows = con.execute(
        "SELECT reason, count(*) FROM guarded JOIN document USING (doc_id) WHERE list_contains(?, corpus_id) "
        "GROUP BY reason ORDER BY reason",
        [ids],
    ).fetchall()
    return dict(rows)


def never_compared(catalog: "Catalog", corpora: Sequence[CorpusInfo]) -> dict[str, list[str]]:
    """Held-out corpora, each with those of `corpora` in which near-duplicates of it were never looked for."""
    with catalog.read() as con:
        rows = con.execute(
            """
            WITH compared AS (
                SELECT DISTINCT a.corpus AS one, b.corpus AS two FROM dedup_join
                JOIN dedup_segment a ON a.segment_id = left_segment
                JOIN dedup_segment b ON b.segment_id = right_segment)
            SELECT held.corpus, pool.corpus
            FROM (SELECT DISTINCT corpus FROM corpus WHERE held_out AND removed_at IS NULL) held,
                (SELECT unnest(?) AS corpus) pool
            WHERE (held.corpus, pool.corpus) NOT IN (SELECT (one, two) FROM compared)
                AND (pool.corpus, held.corpus) NOT IN (SELECT (one, two) FROM compared)
            ORDER BY ALL
            """,
            [[info.corpus for info in corpora]],
        ).fetchall()
    found: dict[str, list[str]] = {}
    for held, corpus in rows:
        found.setdefault(held, []).append(corpus)
    return found


def list_mixes(catalog: "Catalog") -> list[MixInfo]:
    """Every version of every mix, in name order."""
    with catalog.read() as con:
        rows = con.execute(
            "SELECT mix, version, policy::VARCHAR, seed, lock_sha256, documents, tokens, realised::VARCHAR, "
            "pool::VARCHAR FROM mix ORDER BY mix, version"
        ).fetchall()
    return [
        MixInfo(
            mix=row[0], version=row[1], policy=orjson.loads(row[2]), seed=row[3], lock_sha256=row[4], documents=row[5],
            tokens=row[6], realised=orjson.loads(row[7]), pool=orjson.loads(row[8] or "[]"),
        )
        for row in rows
    ]  # fmt: skip


def get_mix(catalog: "Catalog", ref: str) -> MixInfo:
    """The mix called `name` (newest version) or `name@version`, with or without `mix:`. Raises NotFoundError."""
    name, at, version = ref.removeprefix("mix:").partition("@")
    if at and not version.isdigit():
        raise UsageError(f"{ref!r} is no mix reference", hint="write name or name@version, for instance human-first@2")
    known = list_mixes(catalog)
    found = [info for info in known if info.mix == name and (not at or info.version == int(version))]
    if not found:
        raise NotFoundError.of("mix", ref.removeprefix("mix:"), {i.ref for i in known} | {i.mix for i in known})
    return found[-1]


def insert_mix(
    con: "duckdb.DuckDBPyConnection",
    *,
    name: str,
    policy: dict[str, Any],
    seed: int,
    lock_sha256: str,
    tokens: int,
    realised: list[dict[str, Any]],
    pool: list[dict[str, Any]],
    rows: pa.Table,
    activity_id: Any,
) -> MixInfo:
    """Insert a mix as the newest version of `name`; `rows` holds position, doc_id, corpus, weight, share in order.

    Part of the caller's transaction.
    """
    version = int(con.execute("SELECT coalesce(max(version), 0) + 1 FROM mix WHERE mix = ?", [name]).fetchall()[0][0])
    dump = [orjson.dumps(value).decode() for value in (policy, realised, pool)]
    con.execute(
        "INSERT INTO mix BY NAME SELECT ? AS mix, ? AS version, ?::JSON AS policy, ? AS seed, ? AS lock_sha256, "
        "? AS documents, ? AS tokens, ?::JSON AS realised, ?::JSON AS pool, ? AS activity_id",
        [name, version, dump[0], seed, lock_sha256, rows.num_rows, tokens, dump[1], dump[2], activity_id],
    )
    con.register("mix_rows", rows)
    con.register("mix_pool", pa.table({
        "corpus": [part["corpus"] for part in pool], "version": [part["version"] for part in pool]}))  # fmt: skip
    try:
        con.execute(
            """
            INSERT INTO mix_document BY NAME
            SELECT ? AS mix, ? AS version, r.position, r.doc_id, r.weight, r.share, cell.cell
            FROM mix_rows r JOIN mix_pool p USING (corpus)
            JOIN corpus c ON c.corpus = p.corpus AND c.version = p.version
            JOIN document d ON d.doc_id = r.doc_id AND d.corpus_id = c.corpus_id
            JOIN cell ON cell.corpus_id = d.corpus_id AND cell.generator IS NOT DISTINCT FROM d.declared_generator
                AND cell.origin IS NOT DISTINCT FROM d.declared_origin
            ORDER BY r.position
            """,
            [name, version],
        )
    finally:
        con.unregister("mix_rows")
        con.unregister("mix_pool")
    return MixInfo(
        mix=name, version=version, policy=policy, seed=seed, lock_sha256=lock_sha256, documents=rows.num_rows,
        tokens=tokens, realised=realised, pool=pool,
    )  # fmt: skip


def locate(catalog: "Catalog", corpora: Sequence[CorpusInfo], doc_ids: pa.Array) -> pa.Table:
    """doc_id, corpus, key, text_sha256, n_tokens and shard path of those of `doc_ids` that are in `corpora`."""
    with catalog.read() as con, lossless_arrow(con):
        con.execute("SET python_enable_replacements = false")
        con.register("wanted", pa.table({"doc_id": doc_ids}))
        return con.sql(
            f"""
            SELECT d.doc_id, c.corpus, d.key, d.text_sha256, {POOL_COLUMNS["n_tokens"]} AS n_tokens, s.path
            FROM document d JOIN (SELECT DISTINCT doc_id FROM wanted) USING (doc_id)
            JOIN corpus c USING (corpus_id) JOIN shard s ON s.corpus_id = d.corpus_id AND s.shard = d.shard
            WHERE list_contains(?, d.corpus_id) ORDER BY d.doc_id
            """,  # noqa: S608
            params=[[info.corpus_id for info in corpora]],
        ).to_arrow_table()


def mix_rows(catalog: "Catalog", mix: MixInfo) -> pa.Table:
    """position, doc_id, weight and share of a mix's documents, in order."""
    with catalog.read() as con, lossless_arrow(con):
        con.execute("SET python_enable_replacements = false")
        return con.sql(
            "SELECT position, doc_id, weight, share FROM mix_document WHERE mix = ? AND version = ? ORDER BY position",
            params=[mix.mix, mix.version],
        ).to_arrow_table()

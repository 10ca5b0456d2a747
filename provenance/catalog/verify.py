"""Rechecks what rows say about each other: the ledger's chain, the seals, tags, depths. Knows no texts and no files."""

import hashlib
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from provenance.catalog import chain
from provenance.catalog.connect import lossless_arrow
from provenance.catalog.depth import graph_depths
from provenance.catalog.derived import check_derived
from provenance.catalog.finding import Finding
from provenance.errors import DataError

if TYPE_CHECKING:
    import duckdb

    from provenance.catalog.corpora import CorpusInfo
    from provenance.catalog.store import Catalog

NAMED = 5
"""Rows named per finding."""


def check_rows(catalog: "Catalog") -> Iterator[Finding]:
    """Everything that can be checked without reading a file."""
    with catalog.read() as con:
        broken = list(_chain(con))
        yield from broken
        yield from _head(con, catalog)
        sealed = list(_seals(con))
        yield from sealed
        yield from _tags(con)
        yield from check_derived(con)
        if not broken and not sealed:
            # The graph of a tampered catalog may have cycles, and what follows from it says nothing.
            yield from _depths(con)


def _chain(con: "duckdb.DuckDBPyConnection") -> Iterator[Finding]:
    previous, expected = chain.GENESIS, 1
    for seq, activity_id, linked, sha256 in con.execute(
        "SELECT seq, activity_id, previous, sha256 FROM ledger_entry ORDER BY seq"
    ).fetchall():
        entry = f"ledger entry {seq}"
        if seq != expected:
            yield Finding(check="chain", where=f"ledger entry {expected}", what=f"is missing; entry {seq} follows")
        if linked != previous:
            yield Finding(check="chain", where=entry, what="does not link to the entry before it")
        elif chain.entry_sha256(con, seq, linked, activity_id) != sha256:
            command = con.execute("SELECT command FROM activity WHERE activity_id = ?", [activity_id]).fetchall()
            named = f" ({command[0][0]})" if command else ""
            what = "its activity or one of its seals was changed" if command else "its activity is missing"
            yield Finding(check="chain", where=entry + named, what=what)
        previous, expected = sha256, seq + 1
    for activity_id, command in con.execute(
        "SELECT activity_id, command FROM activity WHERE status <> 'running' "
        "AND activity_id NOT IN (SELECT activity_id FROM ledger_entry) ORDER BY ended_at"
    ).fetchall():
        yield Finding(
            check="chain", where=f"activity {activity_id} ({command})", what="has ended and is in no ledger entry"
        )


def _head(con: "duckdb.DuckDBPyConnection", catalog: "Catalog") -> Iterator[Finding]:
    try:
        noted = chain.read_head_file(catalog.root)
    except DataError as error:
        yield Finding(check="chain", where=chain.HEAD_FILE, what=error.message.removeprefix(f"{chain.HEAD_FILE} "))
        return
    last = chain.head(con)
    if noted is None:
        if last.seq:
            yield Finding(check="chain", where=chain.HEAD_FILE, what="is missing")
        return
    rows = con.execute("SELECT sha256 FROM ledger_entry WHERE seq = ?", [noted.seq]).fetchall()
    if noted.seq > last.seq:
        yield Finding(
            check="chain",
            where=f"ledger entry {last.seq + 1}",
            what=f"is missing: the ledger ends at {last.seq}, {chain.HEAD_FILE} has seen {noted.seq}",
        )
    elif not rows or rows[0][0] != noted.sha256:
        yield Finding(
            check="chain", where=f"ledger entry {noted.seq}", what=f"is not the one {chain.HEAD_FILE} has seen"
        )


def _seals(con: "duckdb.DuckDBPyConnection") -> Iterator[Finding]:
    """Rows that changed, appeared or went since the activity that wrote them ended."""
    covers = dict(con.execute("SELECT activity_id, rows FROM seal WHERE table_name = ?", [chain.COVERS]).fetchall())
    for number, (table, sealed) in enumerate(chain.SEALED.items()):
        known: dict[UUID, tuple[int, str]] = {
            row[0]: (row[1], row[2])
            for row in con.execute(
                "SELECT activity_id, rows, sha256 FROM seal WHERE table_name = ?", [table]
            ).fetchall()
        }
        for activity_id, rows, sha256 in list(_sealed_anew(con, table)):
            older = activity_id not in known and number >= covers.get(activity_id, chain.SEALED_FIRST)
            if known.pop(activity_id, None) != (rows, sha256) and not older:
                yield from _changed_rows(con, table, activity_id)
        for activity_id, (rows, _) in known.items():
            if _may_lack_rows(con, sealed, activity_id):
                continue
            yield Finding(
                check="seal", where=f"{table} of activity {activity_id}", what=f"all its {rows} rows are missing"
            )
        for (activity_id,) in con.execute(
            f"SELECT DISTINCT {sealed.activity} FROM {sealed.source} "  # noqa: S608
            f"WHERE {sealed.activity} NOT IN (SELECT activity_id FROM activity)"
        ).fetchall():
            yield Finding(check="seal", where=f"{table} of activity {activity_id}", what="no such activity")


def not_sealed(catalog: "Catalog") -> Iterator[str]:
    """Which rows are older than the seal of their table, so that a change to them would not be found."""
    with catalog.read() as con:
        for number, (table, sealed) in enumerate(chain.SEALED.items()):
            if number < chain.SEALED_FIRST:
                continue
            rows = con.execute(
                f"""
                SELECT count(*) FROM {sealed.source} WHERE {sealed.activity} IN (
                    SELECT activity_id FROM ledger_entry
                    EXCEPT SELECT activity_id FROM seal WHERE table_name = ? AND rows > ?)
                """,  # noqa: S608
                [chain.COVERS, number],
            ).fetchall()[0][0]
            if rows:
                yield f"{table}: {rows} rows are older than its seal"


def _sealed_anew(con: "duckdb.DuckDBPyConnection", table: str) -> Iterator[tuple[UUID, int, str]]:
    """(activity, rows, seal) of every ended activity with rows in `table`, from the rows as they are now."""
    sealed = chain.SEALED[table]
    reader: Any = con.sql(
        f"""
        SELECT activity_id::VARCHAR AS activity, h FROM (
            SELECT {sealed.activity} AS activity_id, {chain.row_hash_sql(table)} AS h FROM {sealed.source})
        WHERE activity_id IN (SELECT activity_id FROM ledger_entry) ORDER BY activity, h
        """  # noqa: S608
    ).to_arrow_reader(100_000)
    current, rows, digest = "", 0, hashlib.sha256()
    for batch in reader:
        names = batch["activity"].to_numpy(zero_copy_only=False)
        hashes = b"".join(batch["h"].to_pylist())
        starts = np.flatnonzero(names[1:] != names[:-1]) + 1
        bounds = [0, *starts.tolist(), len(names)]
        for start, stop in pairwise(bounds):
            if start == stop:
                continue
            if names[start] != current:
                if current:
                    yield UUID(current), rows, digest.hexdigest()
                current, rows, digest = str(names[start]), 0, hashlib.sha256()
            rows += stop - start
            digest.update(hashes[start * 32 : stop * 32])
    if current:
        yield UUID(current), rows, digest.hexdigest()


def _may_lack_rows(con: "duckdb.DuckDBPyConnection", sealed: chain.Sealed, activity_id: UUID) -> bool:
    """Whether a later command may have replaced rows of this one."""
    later = con.execute(
        "SELECT count(*) FROM ledger_entry JOIN activity USING (activity_id) WHERE command = ? AND seq > "
        "(SELECT seq FROM ledger_entry WHERE activity_id = ?)",
        [sealed.replaced_by, activity_id],
    ).fetchall()
    return bool(later[0][0])


def _changed_rows(con: "duckdb.DuckDBPyConnection", table: str, activity_id: UUID) -> Iterator[Finding]:
    sealed = chain.SEALED[table]
    rows = con.execute(
        "SELECT digests FROM seal WHERE activity_id = ? AND table_name = ?", [activity_id, table]
    ).fetchall()
    where = f"{table} of activity {activity_id}"
    # In the machine's own byte order: for some ranges of values numpy's set operations refuse any other.
    stored = np.frombuffer(rows[0][0] if rows else b"", dtype=">u8").astype(np.uint64)
    now = chain.digests(chain.row_hashes(con, table, activity_id)).astype(np.uint64)
    foreign = np.setdiff1d(now, stored)
    if len(foreign) == 0:
        if not _may_lack_rows(con, sealed, activity_id):
            yield Finding(check="seal", where=where, what=f"{len(stored)} rows were sealed, {len(now)} are there")
        return
    names = con.execute(
        f"""
        SELECT {sealed.name} FROM {sealed.source} WHERE {sealed.activity} = $id
            AND list_contains($foreign, ('0x' || left(hex({chain.row_hash_sql(table)}), 16))::UBIGINT)
        ORDER BY 1 LIMIT {NAMED}
        """,  # noqa: S608
        {"id": activity_id, "foreign": [int(value) for value in foreign]},
    ).fetchall()
    missing = len(np.setdiff1d(stored, now))
    verb = "was changed or added" if len(foreign) == 1 else f"and {len(foreign) - 1} more were changed or added"
    what = f"{names[0][0]} {verb}" + (f"; {missing} sealed rows are no longer there" if missing else "")
    yield Finding(check="seal", where=where, what=what)


def _tags(con: "duckdb.DuckDBPyConnection") -> Iterator[Finding]:
    """Current tags that are not the newest of the history, and documents that do not show their current tag."""
    rows = con.execute(
        f"""
        WITH newest AS (
            SELECT doc_id, max_by({{'o': origin, 'p': p_model, 'b': basis, 'r': rule}}, (h.recorded_at, a.started_at))
                AS tag
            FROM tag_history_row h JOIN activity a USING (activity_id) GROUP BY doc_id)
        SELECT coalesce(n.doc_id, t.doc_id) FROM newest n FULL JOIN tag_current t USING (doc_id)
        WHERE n.tag IS DISTINCT FROM {{'o': t.origin, 'p': t.p_model, 'b': t.basis, 'r': t.rule}}
        ORDER BY 1 LIMIT {NAMED}
        """  # noqa: S608
    ).fetchall()
    for (doc_id,) in rows:
        yield Finding(check="tag", where=f"doc:{doc_id}", what="its current tag is not the newest of its history")
    rows = con.execute(
        f"""
        SELECT DISTINCT d.doc_id FROM document d LEFT JOIN tag_current t USING (doc_id)
        WHERE (d.tag_origin, d.tag_p_model) IS DISTINCT FROM (t.origin, t.p_model) ORDER BY 1 LIMIT {NAMED}
        """  # noqa: S608
    ).fetchall()
    for (doc_id,) in rows:
        yield Finding(check="tag", where=f"doc:{doc_id}", what="the origin it is listed with is not that of its tag")


def _depths(con: "duckdb.DuckDBPyConnection") -> Iterator[Finding]:
    """Documents whose stored generation or human ancestry does not follow from the graph."""
    with graph_depths(con):
        rows = con.execute(
            f"""
            SELECT d.doc_id, d.generation, coalesce(o.low, p.low), d.generation_max, coalesce(o.high, p.high)
            FROM document d
            JOIN cell c ON c.corpus_id = d.corpus_id AND c.generator IS NOT DISTINCT FROM d.declared_generator
                AND c.origin IS NOT DISTINCT FROM d.declared_origin
            JOIN graph_depth p ON p.node = cell_key(c.cell)
            LEFT JOIN graph_depth o ON o.node = d.doc_id
            WHERE coalesce(d.declared_generator, '') NOT IN (SELECT model_id FROM model)
                AND (d.generation, d.generation_max, round(d.human_ancestry, 9)) IS DISTINCT FROM CASE
                    WHEN o.node IS NOT NULL THEN (o.low, o.high, round(o.human, 9))
                    ELSE (p.low, p.high, round(p.human, 9)) END
            ORDER BY 1 LIMIT {NAMED}
            """  # noqa: S608
        ).fetchall()
    for doc_id, stored, computed, stored_max, computed_max in rows:
        yield Finding(
            check="depth",
            where=f"doc:{doc_id}",
            what=f"is listed as generation {stored} to {stored_max}; its lineage says {computed} to {computed_max}",
        )


def corpus_leaves(catalog: "Catalog", info: "CorpusInfo") -> Any:
    """doc_id, key, text_sha256 and shard of every document of a corpus version, in doc_id order (Arrow)."""
    with catalog.read() as con, lossless_arrow(con):
        con.execute("SET python_enable_replacements = false")
        return con.sql(
            "SELECT doc_id, key, text_sha256, shard FROM document WHERE corpus_id = ? ORDER BY doc_id",
            params=[info.corpus_id],
        ).to_arrow_table()


def shard_rows(catalog: "Catalog", info: "CorpusInfo") -> list[tuple[int, str, int, str]]:
    """(number, path, documents, sha256) of each shard of a corpus version."""
    with catalog.read() as con:
        return con.execute(
            "SELECT shard, path, documents, sha256 FROM shard WHERE corpus_id = ? ORDER BY shard", [info.corpus_id]
        ).fetchall()

"""Tamper evidence: a seal over the rows each activity wrote, and a hash chain over activities. Knows no texts.

A row's hash is SHA-256 over the JSON list of its values; a seal is SHA-256 over the sorted row hashes, so row order
does not matter. The first eight bytes of each hash are kept too: they show which row was changed. The last entry is
also written to `ledger.head` beside the catalog, so that a chain cut short at its end is noticed.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from provenance.errors import DataError
from provenance.ids import canonical_json

if TYPE_CHECKING:
    import duckdb

GENESIS = "0" * 64
HEAD_FILE = "ledger.head"
DIGEST_BYTES = 8
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A table whose rows belong to the activity that wrote them."""

    source: str
    """FROM clause; rows are those whose `activity` equals the activity's id."""
    activity: str
    name: str
    """What to call a row when it was changed."""
    columns: str
    """Everything in the row that may never change."""
    replaced_by: str | None = None
    """The command that may take rows away again: none may be changed or added, but some may be missing after it."""


_CORPUS = "JOIN corpus c USING (corpus_id)"
# Depth columns follow the graph as it grows, except on texts this program recorded as it made them.
_RECORDED = "CASE WHEN d.declared_generator IN (SELECT model_id FROM model) THEN d.{}::VARCHAR END"
SEALED = {
    "corpus": Sealed(
        source="corpus r",
        activity="r.activity_id",
        name="corpus || '@' || version",
        columns="corpus, version::VARCHAR, documents::VARCHAR, bytes::VARCHAR, source_uri, license, declared_origin, "
        "declared_generator, content_root, held_out::VARCHAR",
    ),
    "shard": Sealed(
        source=f"shard s {_CORPUS}",
        activity="c.activity_id",
        name="s.path",
        columns="c.corpus, c.version::VARCHAR, s.shard::VARCHAR, s.path, s.documents::VARCHAR, s.bytes::VARCHAR, "
        "s.sha256",
    ),
    "document": Sealed(
        source=f"document d {_CORPUS}",
        activity="c.activity_id",
        name="'doc:' || d.doc_id",
        columns="d.doc_id::VARCHAR, c.corpus, c.version::VARCHAR, d.key, d.source, hex(d.text_sha256), "
        "d.n_chars::VARCHAR, d.n_words::VARCHAR, d.created_at::VARCHAR, d.language, d.subgroup, d.declared_origin, "
        "d.declared_generator, d.meta::VARCHAR, d.shard::VARCHAR, "
        + ", ".join(_RECORDED.format(name) for name in ("generation", "generation_max", "human_ancestry")),
    ),
    "evidence_row": Sealed(
        source="evidence_row r",
        activity="r.activity_id",
        name="kind || ':' || name || ' of doc:' || doc_id",
        columns="doc_id::VARCHAR, kind, name, version, score::VARCHAR, log_lr::VARCHAR, details::VARCHAR, "
        "recorded_at::VARCHAR",
    ),
    "tag_history_row": Sealed(
        source="tag_history_row r",
        activity="r.activity_id",
        name="'doc:' || doc_id",
        columns="doc_id::VARCHAR, origin, p_model::VARCHAR, basis, rule, recorded_at::VARCHAR",
    ),
    "lineage_edge": Sealed(
        source="lineage_edge r",
        activity="r.activity_id",
        name="child || ' ' || relation || ' ' || parent",
        columns="child, parent, relation, recorded_at::VARCHAR",
    ),
    "document_edge": Sealed(
        source="document_edge r",
        activity="r.activity_id",
        name="coalesce(child, 'doc:' || child_doc) || ' ' || relation || ' ' || coalesce(parent, 'doc:' || parent_doc)",
        columns="child, child_doc::VARCHAR, child_cell::VARCHAR, parent, parent_doc::VARCHAR, parent_cell::VARCHAR, "
        "relation, recorded_at::VARCHAR",
    ),
    "document_pair": Sealed(
        source="document_pair r",
        activity="r.activity_id",
        name="'doc:' || doc_id || ' and doc:' || other_id",
        columns="doc_id::VARCHAR, other_id::VARCHAR, jaccard::VARCHAR, threshold::VARCHAR",
    ),
    "near_duplicate": Sealed(
        source="near_duplicate r",
        activity="r.activity_id",
        name="'doc:' || doc_id",
        columns="doc_id::VARCHAR, other_id::VARCHAR, jaccard::VARCHAR, cluster_id::VARCHAR, kept::VARCHAR, reason, "
        "threshold::VARCHAR",
        replaced_by="corpus dedup",
    ),
    "mix": Sealed(
        source="mix r",
        activity="r.activity_id",
        name="mix || '@' || version",
        columns="mix, version::VARCHAR, policy::VARCHAR, seed::VARCHAR, lock_sha256, documents::VARCHAR, "
        "tokens::VARCHAR, realised::VARCHAR, pool::VARCHAR",
    ),
    "mix_document": Sealed(
        source="mix_document d JOIN mix m USING (mix, version)",
        activity="m.activity_id",
        name="'position ' || position || ' of ' || mix || '@' || version",
        columns="mix, version::VARCHAR, position::VARCHAR, d.doc_id::VARCHAR, weight::VARCHAR, share::VARCHAR, "
        "cell::VARCHAR",
    ),
    "snapshot": Sealed(
        source="snapshot r",
        activity="r.activity_id",
        name="snapshot",
        columns="snapshot, created_at::VARCHAR, note, corpora::VARCHAR, ledger_seq::VARCHAR, ledger_sha256, root",
    ),
    # From here on sealed later than the rest; see SEALED_FIRST.
    "calibration": Sealed(
        source="calibration r",
        activity="r.activity_id",
        name="detector || ' for ' || corpus",
        columns="corpus, detector, detector_version, human_ref, human_scores::VARCHAR, labelled_ref, fitted::VARCHAR, "
        "recorded_at::VARCHAR",
    ),
    "corpus_created_at": Sealed(
        source="corpus r",
        activity="r.activity_id",
        name="corpus || '@' || version",
        columns="corpus, version::VARCHAR, created_at::VARCHAR",
    ),
    "dedup_segment": Sealed(
        source="dedup_segment r",
        activity="r.activity_id",
        name="path",
        columns="segment_id::VARCHAR, corpus, sketch, bands::VARCHAR, band_rows::VARCHAR, documents::VARCHAR, path",
    ),
}
"""New entries go to the end and none is ever changed: a seal is only good against the rows it was made of."""

SEALED_FIRST = 12
"""How many of SEALED an activity sealed before activities said how many they seal."""
COVERS = "*"
"""The seal that says it: `rows` is their number. It is in the entry's hash, so it cannot be taken away unnoticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest ledger entry."""

    seq: int
    sha256: str


def row_hash_sql(table: str) -> str:
    """The SQL expression of a row's hash, as 32 bytes."""
    return f"unhex(sha256(to_json([{SEALED[table].columns}]::VARCHAR[])::VARCHAR))"


def row_hashes(con: "duckdb.DuckDBPyConnection", table: str, activity_id: UUID) -> bytes:
    """The sorted hashes of the rows `activity_id` wrote into `table`, packed."""
    sealed = SEALED[table]
    found = con.sql(
        f"SELECT {row_hash_sql(table)} AS h FROM {sealed.source} WHERE {sealed.activity} = ? ORDER BY h",  # noqa: S608
        params=[activity_id],
    ).to_arrow_table()["h"]
    # Every value has 32 bytes, so the data buffer of the column is the packed list.
    packed = []
    for chunk in found.chunks:
        data = chunk.buffers()[2]
        start = chunk.offset * _HASH_BYTES
        packed.append(memoryview(data)[start : start + len(chunk) * _HASH_BYTES] if data is not None else b"")
    return b"".join(packed)


def digests(packed: bytes) -> NDArray[np.uint64]:
    """The first eight bytes of each packed hash."""
    return np.frombuffer(packed, dtype=">u8").reshape(-1, _HASH_BYTES // DIGEST_BYTES)[:, 0]


def seal(con: "duckdb.DuckDBPyConnection", activity_id: UUID) -> None:
    """Seal every row the activity wrote. Part of the caller's transaction."""
    for table in tables_written(con, activity_id):
        packed = row_hashes(con, table, activity_id)
        con.execute(
            "INSERT INTO seal VALUES (?, ?, ?, ?, ?)",
            [
                activity_id, table, len(packed) // _HASH_BYTES, hashlib.sha256(packed).hexdigest(),
                digests(packed).tobytes(),
            ],
        )  # fmt: skip
    names = hashlib.sha256(" ".join(SEALED).encode()).hexdigest()
    con.execute("INSERT INTO seal VALUES (?, ?, ?, ?, ?)", [activity_id, COVERS, len(SEALED), names, b""])


def tables_written(con: "duckdb.DuckDBPyConnection", activity_id: UUID) -> list[str]:
    """The sealed tables that hold rows of the activity."""
    probes = " UNION ALL ".join(
        f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {sealed.source} WHERE {sealed.activity} = $id)"  # noqa: S608
        for table, sealed in SEALED.items()
    )
    return [row[0] for row in con.execute(probes, {"id": activity_id}).fetchall()]


def entry_sha256(con: "duckdb.DuckDBPyConnection", seq: int, previous: str, activity_id: UUID) -> str:
    """The hash of a ledger entry: over the activity's row, its seals, its number and the entry before."""
    rows = con.execute(
        "SELECT command, params::VARCHAR, code_version, host, pid, started_at, ended_at, status, inputs::VARCHAR, "
        "outputs::VARCHAR, error FROM activity WHERE activity_id = ?",
        [activity_id],
    ).fetchall()
    if not rows:
        return ""
    seals = con.execute(
        "SELECT table_name, rows, sha256 FROM seal WHERE activity_id = ? ORDER BY table_name", [activity_id]
    ).fetchall()
    names = ("command", "params", "code_version", "host", "pid", "started_at", "ended_at", "status", "inputs",
             "outputs", "error")  # fmt: skip
    value: dict[str, Any] = {
        "activity": {"activity_id": str(activity_id), **dict(zip(names, map(_stable, rows[0]), strict=True))},
        "previous": previous,
        "seals": {table: {"rows": rows, "sha256": sha256} for table, rows, sha256 in seals},
        "seq": seq,
    }
    return hashlib.sha256(canonical_json(value)).hexdigest()


def head(con: "duckdb.DuckDBPyConnection") -> Head:
    """The newest entry; number 0 with the genesis hash for an empty ledger."""
    rows = con.execute("SELECT seq, sha256 FROM ledger_entry ORDER BY seq DESC LIMIT 1").fetchall()
    return Head(seq=rows[0][0], sha256=rows[0][1]) if rows else Head(seq=0, sha256=GENESIS)


def append(con: "duckdb.DuckDBPyConnection", activity_id: UUID) -> None:
    """Seal an ended activity and link it to the chain. Part of the transaction that ends it."""
    seal(con, activity_id)
    last = head(con)
    sha256 = entry_sha256(con, last.seq + 1, last.sha256, activity_id)
    con.execute("INSERT INTO ledger_entry VALUES (?, ?, ?, ?)", [last.seq + 1, activity_id, last.sha256, sha256])


def follow_tags(con: "duckdb.DuckDBPyConnection", activity_id: UUID) -> None:
    """Bring the documents' copy of their tag up to date with what the activity tagged or added."""
    con.execute(
        """
        UPDATE document SET tag_origin = t.origin, tag_p_model = t.p_model FROM tag_current t
        WHERE t.doc_id = document.doc_id AND (t.activity_id = $id
            OR document.corpus_id IN (SELECT corpus_id FROM corpus WHERE activity_id = $id))
            AND (document.tag_origin, document.tag_p_model) IS DISTINCT FROM (t.origin, t.p_model)
        """,
        {"id": activity_id},
    )


def write_head_file(root: Path, last: Head) -> None:
    """Note the newest entry outside the database."""
    staged = root / f"{HEAD_FILE}.part"
    staged.write_text(f"{last.seq} {last.sha256}\n", encoding="ascii")
    staged.replace(root / HEAD_FILE)


def read_head_file(root: Path) -> Head | None:
    """What `write_head_file` noted, or None where there is no such file. Raises DataError when it is no head."""
    try:
        seq, sha256 = (root / HEAD_FILE).read_text(encoding="ascii").split()
        return Head(seq=int(seq), sha256=sha256)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise DataError(f"{HEAD_FILE} does not hold a ledger entry's number and hash: {error}") from error


def _stable(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value

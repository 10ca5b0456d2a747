"""Named states of the catalog: which version of each corpus, and how far the ledger had come. Knows no texts."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa

from provenance.catalog import chain
from provenance.catalog.corpora import CorpusInfo, list_corpora
from provenance.errors import ConfigError, NotFoundError
from provenance.ids import canonical_json

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog

SCHEMA = "provenance.snapshot/1"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotInfo:
    """One snapshot."""

    name: str
    created_at: datetime
    note: str
    corpora: list[dict[str, Any]]
    """corpus, version, content_root, documents of each corpus, in name order."""
    ledger_seq: int
    """Ledger entries up to this one belong to it; tags of a later one do not."""
    ledger_sha256: str
    root: str
    """SHA-256 over all of the above but name, time and note."""


def snapshot_root(corpora: Sequence[dict[str, Any]], ledger_seq: int, ledger_sha256: str) -> str:
    """The one hash that stands for a state of the catalog."""
    value = {"corpora": list(corpora), "ledger": {"seq": ledger_seq, "sha256": ledger_sha256}, "schema": SCHEMA}
    return hashlib.sha256(canonical_json(value)).hexdigest()


def create_snapshot(catalog: "Catalog", name: str, *, note: str = "", dry_run: bool = False) -> SnapshotInfo:
    """Name the present state. Raises ConfigError when the name is taken or no name."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name a snapshot", hint="use lower-case letters, digits, '.', '_' and '-'")
    if any(info.name == name for info in list_snapshots(catalog)):
        raise ConfigError(f"there is a snapshot {name!r} already", hint="snapshots never change: choose another name")
    # Both in one block: between two, a command may end, and the snapshot would be of no state there ever was.
    with catalog.read() as con:
        head = chain.head(con)
        found = list_corpora(catalog)
    corpora = [
        {"corpus": c.corpus, "version": c.version, "content_root": c.content_root, "documents": c.documents}
        for c in found
    ]
    root = snapshot_root(corpora, head.seq, head.sha256)
    if not dry_run:
        with catalog.activity("snapshot create", {"name": name, "note": note}) as activity:
            activity.inputs.extend(f"corpus:{c['corpus']}@{c['version']}" for c in corpora)
            activity.outputs.append(f"snapshot:{name}")
            with activity.commit() as con:
                con.execute(
                    "INSERT INTO snapshot VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        name, activity.started_at, note, orjson.dumps(corpora).decode(), head.seq, head.sha256, root,
                        activity.activity_id,
                    ],
                )  # fmt: skip
        return get_snapshot(catalog, name)
    return SnapshotInfo(
        name=name, created_at=datetime.now().astimezone(), note=note, corpora=corpora, ledger_seq=head.seq,
        ledger_sha256=head.sha256, root=root,
    )  # fmt: skip


def list_snapshots(catalog: "Catalog") -> list[SnapshotInfo]:
    """All snapshots, oldest first."""
    with catalog.read() as con:
        rows = con.execute(
            "SELECT snapshot, created_at, note, corpora::VARCHAR, ledger_seq, ledger_sha256, root FROM snapshot "
            "ORDER BY created_at, snapshot"
        ).fetchall()
    return [
        SnapshotInfo(
            name=row[0], created_at=row[1], note=row[2], corpora=orjson.loads(row[3]), ledger_seq=row[4],
            ledger_sha256=row[5], root=row[6],
        )
        for row in rows
    ]  # fmt: skip


def get_snapshot(catalog: "Catalog", ref: str) -> SnapshotInfo:
    """The snapshot called `name`, with or without `snapshot:`. Raises NotFoundError."""
    name = ref.removeprefix("snapshot:")
    known = {info.name: info for info in list_snapshots(catalog)}
    if name not in known:
        raise NotFoundError.of("snapshot", name, known)
    return known[name]


def snapshot_in_ledger(catalog: "Catalog", snapshot: SnapshotInfo) -> bool:
    """Whether the ledger entry a snapshot was made at is still the one it was."""
    with catalog.read() as con:
        rows = con.execute("SELECT sha256 FROM ledger_entry WHERE seq = ?", [snapshot.ledger_seq]).fetchall()
    found = rows[0][0] if rows else chain.GENESIS if snapshot.ledger_seq == 0 else None
    return found == snapshot.ledger_sha256


def documents_as_of(catalog: "Catalog", info: CorpusInfo, doc_ids: pa.Array, ledger_seq: int) -> pa.Table:
    """What was known of documents of a corpus version after a ledger entry, in the order of `doc_ids`."""
    with catalog.read() as con:
        con.execute("SET python_enable_replacements = false")
        con.register("asked", pa.table({"doc_id": doc_ids, "place": pa.array(range(len(doc_ids)))}))
        return con.sql(
            """
            WITH tagged AS (
                SELECT doc_id, max_by({'origin': origin, 'p_model': p_model, 'basis': basis}, seq) AS tag
                FROM tag_history_row JOIN asked USING (doc_id) JOIN ledger_entry USING (activity_id)
                WHERE seq <= $seq GROUP BY doc_id)
            SELECT d.doc_id::VARCHAR AS doc_id, d.key, d.source,
                coalesce(t.tag.origin, d.declared_origin, 'unknown') AS origin, t.tag.p_model AS p_model,
                coalesce(t.tag.basis, CASE WHEN d.declared_origin IS NULL THEN 'none' ELSE 'declared' END) AS basis,
                d.declared_origin, d.declared_generator
            FROM asked JOIN document d USING (doc_id) LEFT JOIN tagged t USING (doc_id)
            WHERE d.corpus_id = $corpus ORDER BY asked.place
            """,
            params={"seq": ledger_seq, "corpus": info.corpus_id},
        ).to_arrow_table()

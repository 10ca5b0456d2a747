"""Documents to staged files: text shards, the document table, evidence of stripped characters. Knows no catalog.

Texts are gathered to one shard's worth (16 MB, which caches hold), sorted by doc_id and written as zstd Parquet, so
memory holds one shard whatever the corpus's size, and a text is found by doc_id through row-group statistics.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from provenance import tables
from provenance.corpus.prepare import Prepared, Reject, count_words
from provenance.lineage.merkle import merkle_root

SHARD_BYTES = 16 * 1024 * 1024
_ROW_GROUP_BYTES = 4 * 1024 * 1024

HYGIENE_NAME = "invisible_characters"
HYGIENE_VERSION = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One written text file."""

    shard: int
    file: str
    documents: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What every document of a corpus inherits where its own origin does not say otherwise."""

    origin: str | None = None
    generator: str | None = None
    generation: int | None = None
    generation_max: int | None = None
    human_ancestry: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A corpus on disk, complete, not yet in the catalog."""

    folder: Path
    shards: list[Shard]
    documents: int
    text_bytes: int
    content_root: str
    rejects: list[Reject]
    stripped_documents: int


class CorpusWriter:
    """Gathers prepared batches into `folder`; `finish()` gives the whole. Use as a context manager."""

    def __init__(self, folder: Path, lineage: Lineage) -> None:
        self._folder = folder
        self._lineage = lineage
        self._pending: list[Prepared] = []
        self._pending_bytes = 0
        self._shards: list[Shard] = []
        self._rejects: list[Reject] = []
        self._hashes: list[np.ndarray[Any, Any]] = []
        self._seen = _Seen()
        self._text_bytes = 0
        self._stripped = 0
        self._documents = pq.ParquetWriter(folder / "documents.parquet", tables.DOCUMENT, compression="lz4")
        self._evidence = pq.ParquetWriter(folder / "evidence.parquet", tables.EVIDENCE, compression="lz4")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._documents.close()
        self._evidence.close()

    @property
    def documents(self) -> int:
        """Documents taken so far."""
        return sum(s.documents for s in self._shards) + sum(len(p.doc_id) for p in self._pending)

    @property
    def rejected(self) -> int:
        """Rows left out so far."""
        return len(self._rejects) + sum(len(p.rejects) for p in self._pending)

    def add(self, batch: Prepared) -> None:
        """Take one batch; writes a shard when enough has gathered."""
        self._pending.append(batch)
        self._pending_bytes += sum(map(len, batch.text))
        if self._pending_bytes >= SHARD_BYTES:
            self._flush()

    def finish(self) -> Staged:
        """Write what is left and close. The content root is the Merkle root over text hashes in doc_id order."""
        self._flush()
        self._documents.close()
        self._evidence.close()
        rows = np.concatenate(self._hashes) if self._hashes else np.zeros((0, 48), dtype=np.uint8)
        words = np.ascontiguousarray(rows[:, :16]).view(">u8")
        order = np.lexsort((words[:, 1], words[:, 0]))
        root = merkle_root(rows[order, 16:].tobytes())
        return Staged(
            folder=self._folder,
            shards=self._shards,
            documents=sum(s.documents for s in self._shards),
            text_bytes=self._text_bytes,
            content_root="rfc6962-sha256:" + root.hex(),
            rejects=self._rejects,
            stripped_documents=self._stripped,
        )

    def _flush(self) -> None:
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        for batch in pending:
            self._rejects.extend(batch.rejects)
        ids = [doc_id for batch in pending for doc_id in batch.doc_id]
        if not ids:
            return
        keep, duplicates = self._seen.split(ids)
        shard = len(self._shards)
        text = pa.array([t for b in pending for t in b.text], pa.binary()).view(pa.string())
        table = self._document_table(pending, ids, shard)
        for i in duplicates:
            file, key = table["source"][i].as_py(), table["key"][i].as_py()
            line = key.rpartition(":")[2]
            self._rejects.append(
                Reject(
                    file=file,
                    line=int(line) if line.isdigit() else 0,
                    reason=f"duplicate: key {key!r:.80} and text occur twice",
                )
            )
        # Byte order of the ids is doc_id order everywhere: here, in shards, in the content root and in the catalog.
        order = pc.sort_indices(pa.array(ids, pa.binary()))
        if duplicates:
            order = order.filter(pa.array(keep).take(order))
        table, text = table.take(order), text.take(order)
        self._documents.write_table(table)
        self._write_evidence([row for b in pending for row in b.stripped])
        self._hashes.append(
            np.concatenate([_bytes_matrix(table["doc_id"], 16), _bytes_matrix(table["text_sha256"], 32)], axis=1)
        )
        self._shards.append(self._write_shard(shard, table["doc_id"].combine_chunks(), text))

    def _document_table(self, pending: list[Prepared], ids: list[bytes], shard: int) -> pa.Table:
        n = len(ids)
        inherited = self._lineage
        origins = [o or inherited.origin for b in pending for o in b.declared_origin]
        depth = [_depth(o, inherited) for o in origins]
        columns: dict[str, Any] = {
            "doc_id": ids,
            "key": [v for b in pending for v in b.key],
            "source": [v for b in pending for v in b.source],
            "text_sha256": [v for b in pending for v in b.text_sha256],
            "n_chars": [v for b in pending for v in b.n_chars],
            "n_words": np.concatenate([count_words(b.text) for b in pending]),
            "created_at": [v for b in pending for v in b.created_at],
            "language": [v for b in pending for v in b.language],
            "subgroup": [v for b in pending for v in b.subgroup],
            "declared_origin": origins,
            "declared_generator": [v or inherited.generator for b in pending for v in b.declared_generator],
            "meta": [v for b in pending for v in b.meta],
            "generation": [d[0] for d in depth],
            "generation_max": [d[1] for d in depth],
            "human_ancestry": [d[2] for d in depth],
            "shard": np.full(n, shard, dtype=np.int32),
        }
        doc_id = tables.uuids(columns.pop("doc_id"))
        rest = [pa.array(columns[f.name], f.type) for f in tables.DOCUMENT if f.name != "doc_id"]
        return pa.Table.from_arrays([doc_id, *rest], schema=tables.DOCUMENT)

    def _write_evidence(self, stripped: list[tuple[bytes, int, str]]) -> None:
        self._stripped += len(stripped)
        if stripped:
            n = len(stripped)
            columns = [
                ["hygiene"] * n,
                [HYGIENE_NAME] * n,
                [HYGIENE_VERSION] * n,
                [float(row[1]) for row in stripped],
                [None] * n,
                [row[2] for row in stripped],
            ]
            doc_ids = tables.uuids([row[0] for row in stripped])
            rest = [pa.array(c, f.type) for c, f in zip(columns, list(tables.EVIDENCE)[1:], strict=True)]
            self._evidence.write_table(pa.Table.from_arrays([doc_ids, *rest], schema=tables.EVIDENCE))

    def _write_shard(self, shard: int, doc_ids: pa.Array, text: pa.Array) -> Shard:
        file = f"shard-{shard:05d}.parquet"
        path = self._folder / file
        n_bytes = int(pc.sum(pc.binary_length(text)).as_py() or 0)
        self._text_bytes += n_bytes
        write_shard(path, pa.Table.from_arrays([doc_ids, text], schema=tables.SHARD))
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        return Shard(shard=shard, file=file, documents=len(text), bytes=n_bytes, sha256=digest)


def write_shard(path: Path, table: pa.Table) -> None:
    """Write one text shard: zstd, row groups of about 4 MB, statistics on doc_id alone."""
    mean_bytes = max(1, table.nbytes // max(1, table.num_rows))
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        write_statistics=["doc_id"],
        row_group_size=max(1, _ROW_GROUP_BYTES // mean_bytes),
        store_schema=False,
    )


def _depth(origin: str | None, inherited: Lineage) -> tuple[int | None, int | None, float | None]:
    """Generation (min, max) and share of human ancestry that an origin alone implies."""
    if inherited.generation is not None:
        return inherited.generation, inherited.generation_max, inherited.human_ancestry
    if origin == "human":
        return 0, 0, 1.0
    if origin == "model":
        # At least one model stands between it and human text; how many more is not known.
        return 1, None, None
    return None, None, None


def _bytes_matrix(column: pa.ChunkedArray, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    array = column.combine_chunks()
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    start = array.offset * width
    return np.frombuffer(array.buffers()[1], dtype=np.uint8)[start : start + len(array) * width].reshape(-1, width)


class _Seen:
    """Which ids were taken already, at 16 bytes each: sorted arrays per shard, searched by their first 8 bytes."""

    def __init__(self) -> None:
        self._taken: list[np.ndarray[Any, Any]] = []

    def split(self, ids: list[bytes]) -> tuple[list[bool], list[int]]:
        """For each id whether it is new, and the positions of those that are not; remembers the new ones."""
        both = np.frombuffer(b"".join(ids), dtype=np.uint8).reshape(-1, 16)
        words = np.ascontiguousarray(both).view(">u8").astype(np.uint64)
        order = np.lexsort((words[:, 1], words[:, 0]))
        ordered = words[order]
        repeated = np.zeros(len(ids), dtype=bool)
        # lexsort is stable, so within equal ids the first to come is kept.
        repeated[order[1:]] = (ordered[1:] == ordered[:-1]).all(axis=1)
        for taken in self._taken:
            at = np.searchsorted(taken[:, 0], words[:, 0])
            suspects = np.flatnonzero(taken[np.minimum(at, len(taken) - 1), 0] == words[:, 0])
            for i in suspects:
                j = int(at[i])
                while j < len(taken) and taken[j, 0] == words[i, 0]:
                    if taken[j, 1] == words[i, 1]:
                        repeated[i] = True
                    j += 1
        self._taken.append(ordered)
        return (~repeated).tolist(), np.flatnonzero(repeated).tolist()

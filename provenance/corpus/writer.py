"""Documents to staged files: text shards, the document table, evidence of stripped characters. Knows no catalog.

Texts are gathered to one shard's worth (16 MB, which caches hold), sorted by doc_id and written as zstd Parquet, so
memory holds one shard whatever the corpus's size, and a text is found by doc_id through row-group statistics.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

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
        self._pending = Prepared()
        self._pending_bytes = 0
        self._pending_words: list[NDArray[np.int32]] = []
        self._shards: list[Shard] = []
        self._rejects: list[Reject] = []
        self._hashes: list[np.ndarray[Any, Any]] = []
        self._seen = _Seen()
        self._text_bytes = 0
        self._stripped = 0
        # Read once, whole, by the catalog: neither statistics nor dictionaries would be used.
        self._documents = pq.ParquetWriter(
            folder / "documents.parquet",
            tables.DOCUMENT,
            compression="lz4",
            use_dictionary=False,
            write_statistics=False,
        )
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
        return sum(s.documents for s in self._shards) + len(self._pending.doc_id)

    @property
    def rejected(self) -> int:
        """Rows left out so far."""
        return len(self._rejects) + len(self._pending.rejects)

    def add(self, batch: Prepared) -> None:
        """Take one batch; writes a shard when enough has gathered."""
        self._pending.extend(batch)
        self._pending_bytes += sum(map(len, batch.text))
        # Counted batch by batch: what is needed for it fits caches.
        self._pending_words.append(count_words(batch.text))
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
        pending, words = self._pending, self._pending_words
        self._pending, self._pending_words, self._pending_bytes = Prepared(), [], 0
        self._rejects.extend(pending.rejects)
        if not pending.doc_id:
            return
        ids = np.frombuffer(b"".join(pending.doc_id), dtype=np.uint8).reshape(-1, 16)
        # Byte order of the ids is doc_id order everywhere: here, in shards, in the content root and in the catalog.
        order, repeated = self._seen.split(ids)
        for i in repeated:
            reason = f"duplicate: key {pending.key[i]!r:.80} and text occur twice"
            self._rejects.append(Reject(file=pending.source[i], line=pending.line[i], reason=reason))
        text = _text_array([pending.text[i] for i in order.tolist()])
        table = self._document_table(pending, np.concatenate(words), order)
        self._documents.write_table(table)
        found = [(i, what) for i, what in enumerate(pending.stripped) if what is not None]
        left_out = set(repeated.tolist())
        self._write_evidence([(pending.doc_id[i], *what) for i, what in found if i not in left_out])
        self._hashes.append(np.concatenate([ids[order], _bytes_matrix(table["text_sha256"], 32)], axis=1))
        self._shards.append(self._write_shard(len(self._shards), table["doc_id"].combine_chunks(), text))

    def _document_table(self, pending: Prepared, n_words: NDArray[np.int32], order: NDArray[np.intp]) -> pa.Table:
        inherited = self._lineage
        nothing = [None] * len(pending.doc_id)
        origins = _or_inherited(pending.declared_origin or nothing, inherited.origin)
        generators = _or_inherited(pending.declared_generator or nothing, inherited.generator)
        # Documents say the same few things: depths are found once for each and taken by its number.
        said = origins.dictionary_encode("encode")
        pairs = [(origin, named) for origin in said.dictionary.to_pylist() for named in (False, True)]
        number = 2 * said.indices.to_numpy() + generators.is_valid().to_numpy(zero_copy_only=False)
        generation, generation_max, human_ancestry = (
            pa.array(depths).take(pa.array(number))
            for depths in zip(*(_depth(*pair, inherited) for pair in pairs), strict=True)
        )
        columns: dict[str, Any] = {
            "key": pending.key,
            "source": pending.source,
            "text_sha256": pending.text_sha256,
            "n_chars": pending.n_chars,
            "n_words": n_words,
            "created_at": pending.created_at or nothing,
            "language": pending.language or nothing,
            "subgroup": pending.subgroup or nothing,
            "declared_origin": origins,
            "declared_generator": generators,
            "meta": pending.meta or nothing,
            "generation": generation,
            "generation_max": generation_max,
            "human_ancestry": human_ancestry,
        }
        in_order = {f.name: pa.array(columns[f.name], f.type).take(order) for f in tables.DOCUMENT if f.name in columns}
        in_order["doc_id"] = tables.uuids(pending.doc_id).take(order)
        in_order["shard"] = pa.array(np.full(len(order), len(self._shards), dtype=np.int32))
        return pa.Table.from_arrays([in_order[f.name] for f in tables.DOCUMENT], schema=tables.DOCUMENT)

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


def _text_array(texts: list[bytes]) -> pa.Array:
    """UTF-8 texts as an Arrow string array, in one block of just their size: a builder would grow and copy."""
    offsets = np.zeros(len(texts) + 1, dtype=np.int32)
    np.cumsum(np.fromiter(map(len, texts), dtype=np.int32, count=len(texts)), out=offsets[1:])
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(b"".join(texts)))


def _or_inherited(values: Sequence[str | None], inherited: str | None) -> pa.Array:
    array = pa.array(values, pa.string())
    return array if inherited is None else array.fill_null(inherited)


def _depth(origin: str | None, has_generator: bool, inherited: Lineage) -> tuple[int | None, int | None, float | None]:
    """Generation (min, max) and share of human ancestry that a document's labels alone imply, as in the graph."""
    if inherited.generation is not None:
        return inherited.generation, inherited.generation_max, inherited.human_ancestry
    if origin == "human":
        return 0, 0, 1.0
    if origin == "model" or has_generator:
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
    """Which ids were taken already, at 16 bytes each: a few arrays of two words, sorted by the first word."""

    def __init__(self) -> None:
        self._taken: list[NDArray[np.uint64]] = []

    def split(self, ids: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The rows of ids (uint8[n, 16]) not seen before, in id order, and the other rows; remembers them all."""
        words = np.ascontiguousarray(ids.view(">u8").astype(np.uint64).T)
        order = np.lexsort((words[1], words[0]))
        words = words[:, order]
        # lexsort is stable, so within equal ids the first to come is kept.
        repeated = np.zeros(len(ids), dtype=bool)
        repeated[1:] = (words[:, 1:] == words[:, :-1]).all(axis=0)
        for taken in self._taken:
            at = np.searchsorted(taken[0], words[0])
            suspects = np.flatnonzero(taken[0, np.minimum(at, taken.shape[1] - 1)] == words[0])
            for i in suspects:
                j = int(at[i])
                while j < taken.shape[1] and taken[0, j] == words[0, i]:
                    if taken[1, j] == words[1, i]:
                        repeated[i] = True
                    j += 1
        self._remember(words)
        return order[~repeated], np.sort(order[repeated])

    def _remember(self, words: NDArray[np.uint64]) -> None:
        # Arrays of like size are merged, so their number grows with the logarithm of the corpus.
        while self._taken and self._taken[-1].shape[1] < 2 * words.shape[1]:
            words = np.concatenate([self._taken.pop(), words], axis=1)
            words = words[:, np.argsort(words[0], kind="stable")]
        self._taken.append(words)

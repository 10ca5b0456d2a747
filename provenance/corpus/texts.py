"""Texts of a corpus back from its shards, streamed or by id. Knows shards; decides nothing."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from provenance.catalog.corpora import CorpusInfo, locate_documents, shard_paths
from provenance.catalog.store import Catalog
from provenance.errors import DataError

ROWS_PER_BATCH = 4096


def iter_texts(
    catalog: Catalog, info: CorpusInfo, *, batch_size: int = ROWS_PER_BATCH, wanted: pa.Array | None = None
) -> Iterator[pa.RecordBatch]:
    """Batches with columns doc_id (UUID) and text, in shard order and doc_id order within a shard.

    Of the `wanted` ids (16 bytes each) alone, where they are given; batches without one are left out. Raises DataError
    naming the shard when one is missing or damaged.
    """
    # Sorted once: an Arrow value set would be hashed anew for every batch.
    sought = None if wanted is None else np.sort(_raw_ids(wanted))
    for path in shard_paths(catalog, info):
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=batch_size, columns=["doc_id", "text"]):
                    chosen = batch if sought is None else batch.filter(_among(batch["doc_id"].storage, sought))
                    if chosen.num_rows:
                        yield chosen
        except (OSError, pa.ArrowInvalid) as error:
            raise _damaged(path, error) from error


def _among(ids: pa.Array, sought: NDArray[np.bytes_]) -> pa.Array:
    """Which of `ids` are among the sorted ids `sought`."""
    if not len(sought):
        return pa.array(np.zeros(len(ids), dtype=np.bool_))
    raw = _raw_ids(ids)
    at = np.minimum(np.searchsorted(sought, raw), len(sought) - 1)
    return pa.array(sought[at] == raw)


def _raw_ids(ids: pa.Array) -> NDArray[np.bytes_]:
    """Ids of 16 bytes each, as they lie in memory."""
    data = ids.buffers()[1]
    return np.frombuffer(data or b"", dtype="S16")[ids.offset : ids.offset + len(ids)]


def read_texts(catalog: Catalog, info: CorpusInfo) -> tuple[list[bytes], list[str]]:
    """All ids (16 bytes each) and texts of a corpus, in doc_id order. For corpora that fit in memory."""
    rows: list[tuple[bytes, str]] = []
    for batch in iter_texts(catalog, info):
        rows.extend(zip(batch["doc_id"].storage.to_pylist(), batch["text"].to_pylist(), strict=True))
    rows.sort(key=lambda row: row[0])
    return [row[0] for row in rows], [row[1] for row in rows]


def texts_by_id(catalog: Catalog, doc_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The texts of the given documents; ids whose text is gone or never was are left out."""
    found: dict[UUID, str] = {}
    for path, wanted in locate_documents(catalog, list(doc_ids)).items():
        keys = pa.array([doc_id.bytes for doc_id in wanted], pa.binary(16))
        try:
            with pq.ParquetFile(path) as file:
                for group in _groups_with(file, wanted):
                    table = file.read_row_group(group, columns=["doc_id", "text"])
                    ids = table["doc_id"].combine_chunks().storage
                    hits = pc.indices_nonzero(pc.is_in(ids, value_set=keys))
                    for raw, text in zip(ids.take(hits).to_pylist(), table["text"].take(hits).to_pylist(), strict=True):
                        found[UUID(bytes=raw)] = text
        except (OSError, pa.ArrowInvalid) as error:
            raise _damaged(path, error) from error
    return found


def _groups_with(file: pq.ParquetFile, wanted: list[UUID]) -> list[int]:
    """Row groups whose doc_id range can hold one of `wanted`."""
    raw = [doc_id.bytes for doc_id in wanted]
    groups = []
    for group in range(file.num_row_groups):
        statistics = file.metadata.row_group(group).column(0).statistics
        unknown = statistics is None or not statistics.has_min_max
        if unknown or any(bytes(statistics.min) <= doc_id <= bytes(statistics.max) for doc_id in raw):
            groups.append(group)
    return groups


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"shard {path.name} cannot be read: {str(error).splitlines()[0]}",
        hint="run: provenance verify; then add the corpus again from its source",
    )

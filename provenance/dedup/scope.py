"""The documents a run is about, under one numbering: their index segments, text files and ids.

Documents that earlier runs indexed come with their segments; the rest are sketched here. Knows the catalog's corpora
and files, not what will be compared or kept.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from provenance import ids
from provenance.catalog.corpora import CorpusInfo, shard_paths
from provenance.catalog.duplicates import SegmentRow, known_segments
from provenance.catalog.store import Catalog
from provenance.dedup.bands import Banding, Segment, read_segment, write_segment
from provenance.dedup.minhash import Sketch
from provenance.dedup.near import index_files
from provenance.dedup.textfiles import TextFile
from provenance.errors import DataError

FOLDER = "dedup"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scope:
    """Rows are numbered segment after segment; `files` number their texts the same way."""

    segments: list[Segment]
    segment_rows: list[SegmentRow]
    fresh: list[bool]
    """Per segment, whether it was made just now."""
    files: list[TextFile]
    doc_ids: pa.Array
    """fixed_size_binary[16], one per row."""
    live: NDArray[np.bool_]
    """Rows that belong to the corpora asked about; segments also hold documents of their older versions."""

    @property
    def segment_of(self) -> NDArray[np.int64]:
        """The segment of each row."""
        sizes = np.array([len(s) for s in self.segments], dtype=np.int64)
        return np.repeat(np.arange(len(sizes)), sizes)

    def rows_of(self, doc_ids: pa.Array) -> NDArray[np.int64]:
        """The rows of documents; -1 for those that have none."""
        return _find(self.doc_ids, doc_ids)


def open_scope(catalog: Catalog, corpora: Sequence[CorpusInfo], sketch: Sketch, banding: Banding) -> Scope:
    """Load the segments of `corpora` and sketch the documents that have none."""
    segments: list[Segment] = []
    segment_rows: list[SegmentRow] = []
    fresh: list[bool] = []
    files: list[TextFile] = []
    total = 0
    by_name = sorted(corpora, key=lambda info: (info.corpus, -info.version))
    for name, versions in groupby(by_name, key=lambda info: info.corpus):
        known = known_segments(catalog, name, _said(sketch), banding.bands, banding.rows)
        stored = {row.segment_id for row in known}
        own = [read_segment(catalog.root / row.path) for row in known]
        shards = [path for info in versions for path in shard_paths(catalog, info)]
        shard_ids = [_ids_in(path) for path in shards]
        indexed = pa.concat_arrays([_no_ids(), *(segment.doc_ids for segment in own)])
        rows = _first_uses([_find(indexed, doc_ids) for doc_ids in shard_ids], shard_ids, len(indexed))
        unseen = [np.where(r >= len(indexed), r - len(indexed), -1) for r in rows]
        if any((r >= 0).any() for r in unseen):
            new_ids = pa.concat_arrays([i.filter(pa.array(r >= 0)) for i, r in zip(shard_ids, unseen, strict=True)])
            new_files = [TextFile(path=p, rows=r) for p, r in zip(shards, unseen, strict=True)]
            segment = index_files(new_files, new_ids, sketch, banding)
            own.append(segment)
            known.append(_new_row(name, segment))
        segments += own
        segment_rows += known
        fresh += [row.segment_id not in stored for row in known]
        files += [TextFile(path=p, rows=np.where(r >= 0, r + total, -1)) for p, r in zip(shards, rows, strict=True)]
        total += sum(len(s) for s in own)
    live = np.zeros(total, dtype=np.bool_)
    for file in files:
        live[file.rows[file.rows >= 0]] = True
    return Scope(
        segments=segments,
        segment_rows=segment_rows,
        fresh=fresh,
        files=files,
        doc_ids=pa.concat_arrays([_no_ids(), *(segment.doc_ids for segment in segments)]),
        live=live,
    )


def corpus_files(catalog: Catalog, info: CorpusInfo) -> tuple[list[TextFile], pa.Array]:
    """The text files of one corpus version with rows numbered from 0, and the ids (16 bytes each) by row."""
    paths = shard_paths(catalog, info)
    shard_ids = [_ids_in(path) for path in paths]
    ends = np.cumsum([len(i) for i in shard_ids]).tolist()
    files = [
        TextFile(path=path, rows=np.arange(end - len(i), end))
        for path, i, end in zip(paths, shard_ids, ends, strict=True)
    ]
    return files, pa.concat_arrays([_no_ids(), *shard_ids])


def store_fresh_segments(catalog: Catalog, scope: Scope, staging: Path) -> list[SegmentRow]:
    """Write the segments made just now into the catalog's folder, whole or not at all; returns their rows."""
    stored = []
    catalog.folder(FOLDER)
    for segment, row, fresh in zip(scope.segments, scope.segment_rows, scope.fresh, strict=True):
        if fresh:
            staged = staging / f"{row.segment_id}.parquet"
            write_segment(segment, staged)
            with staged.open("rb") as handle:
                os.fsync(handle.fileno())
            staged.replace(catalog.root / row.path)
            stored.append(row)
    return stored


def _said(sketch: Sketch) -> str:
    return ids.canonical_json(asdict(sketch)).decode()


def _new_row(corpus: str, segment: Segment) -> SegmentRow:
    segment_id = uuid4()
    return SegmentRow(
        segment_id=segment_id,
        corpus=corpus,
        sketch=_said(segment.sketch),
        bands=segment.banding.bands,
        band_rows=segment.banding.rows,
        documents=len(segment),
        path=f"{FOLDER}/{segment_id}.parquet",
    )


def _no_ids() -> pa.Array:
    return pa.array([], pa.binary(16))


def _ids_in(path: Path) -> pa.Array:
    try:
        column = pq.read_table(path, columns=["doc_id"], use_threads=False)["doc_id"]
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"shard {path.name} cannot be read: {(str(error).splitlines() or ['no reason given'])[0]}",
            hint="run: provenance verify; then add the corpus again from its source",
        ) from error
    found = column.combine_chunks()
    return found.storage if isinstance(found, pa.ExtensionArray) else found


def _raw(doc_ids: pa.Array) -> NDArray[np.bytes_]:
    """Ids as NumPy bytes. NumPy drops trailing zero bytes when it compares; ids of one length stay distinct."""
    if not len(doc_ids):
        return np.empty(0, dtype="S16")
    return np.frombuffer(doc_ids.buffers()[1], dtype="S16")[doc_ids.offset : doc_ids.offset + len(doc_ids)]


def _find(among: pa.Array, doc_ids: pa.Array) -> NDArray[np.int64]:
    """Where each id stands in `among`, the first place if it stands there twice; -1 where it does not."""
    pool, wanted = _raw(among), _raw(doc_ids)
    if not len(pool):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(pool, kind="stable")
    at = np.minimum(np.searchsorted(pool[order], wanted), len(pool) - 1)
    return np.where(pool[order[at]] == wanted, order[at], -1)


def _first_uses(found: list[NDArray[np.int64]], doc_ids: list[pa.Array], known: int) -> list[NDArray[np.int64]]:
    """Per file the row of each document: known rows as found, new ones numbered from `known` in reading order.

    A document that several versions of a corpus share is read from the first file that has it; -1 in the others.
    """
    lengths = [len(f) for f in found]
    rows = np.concatenate([np.empty(0, dtype=np.int64), *found])
    every_id = np.concatenate([np.empty(0, dtype="S16"), *(_raw(i) for i in doc_ids)])
    _, first = np.unique(every_id, return_index=True)
    repeated = np.ones(len(rows), dtype=np.bool_)
    repeated[first] = False
    new = (rows < 0) & ~repeated
    rows[new] = known + np.arange(np.count_nonzero(new))
    rows[repeated] = -1
    return np.split(rows, np.cumsum(lengths)[:-1])

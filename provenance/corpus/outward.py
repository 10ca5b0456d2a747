"""A corpus to a file other tools read: its texts beside what the catalog knows of each document. Streams."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from provenance.catalog.corpora import CorpusInfo, documents_by_id, get_corpus
from provenance.catalog.store import Catalog
from provenance.corpus.export import Written, export, format_of
from provenance.corpus.texts import iter_texts

SCHEMA = pa.schema(
    [
        ("doc_id", pa.string()),
        ("text", pa.string()),
        ("key", pa.string()),
        ("source", pa.string()),
        ("origin", pa.string()),
        ("p_model", pa.float64()),
        ("basis", pa.string()),
        ("declared_origin", pa.string()),
        ("declared_generator", pa.string()),
        ("generation", pa.int32()),
        ("generation_max", pa.int32()),
        ("human_ancestry", pa.float64()),
        ("created_at", pa.timestamp("us")),
        ("language", pa.string()),
        ("subgroup", pa.string()),
        ("meta", pa.string()),
    ]
)


def export_corpus(
    catalog: Catalog,
    ref: str,
    path: Path,
    *,
    format: str | None = None,  # noqa: A002
    dry_run: bool = False,
) -> Written:
    """Write corpus `ref` to `path`, in shard order, which is the same for the same version. Raises ConfigError."""
    info = get_corpus(catalog, ref)
    chosen = format_of(path, format)
    if dry_run:
        return Written(path=path, format=chosen, rows=info.documents, files={})
    with catalog.activity("corpus export", {"ref": info.ref, "format": chosen}, commits=False) as activity:
        activity.inputs.append(f"corpus:{info.ref}")
        written = export(path, _rows(catalog, info), SCHEMA, format=chosen)
        activity.outputs.append(f"{path.name} sha256:{written.sha256}")
    return written


def _rows(catalog: Catalog, info: CorpusInfo) -> Iterator[pa.RecordBatch]:
    known = [name for name in SCHEMA.names if name not in {"doc_id", "text"}]
    for batch in iter_texts(catalog, info):
        raw = batch["doc_id"].storage.to_pylist()
        rows = documents_by_id(catalog, info, raw, known)
        columns = {name: [row[i] for row in rows] for i, name in enumerate(known)}
        columns["doc_id"] = [str(row[-1]) for row in rows]
        columns["text"] = batch["text"].to_pylist()
        yield pa.RecordBatch.from_arrays([pa.array(columns[f.name], f.type) for f in SCHEMA], schema=SCHEMA)

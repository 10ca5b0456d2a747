"""A snapshot written out: its corpora as Parquet with the tags of that moment, and a manifest. Streams."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow as pa

from provenance.catalog.corpora import CorpusInfo, get_corpus
from provenance.catalog.snapshots import documents_as_of, get_snapshot
from provenance.catalog.store import Catalog
from provenance.corpus.export import export
from provenance.corpus.texts import iter_texts
from provenance.errors import ConfigError

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
    ]
)


def checkout(catalog: Catalog, name: str, folder: Path, *, dry_run: bool = False) -> list[tuple[str, int, str]]:
    """Write snapshot `name` to a new `folder`; gives (file, documents, SHA-256) of each.

    Raises ConfigError when the folder is there, NotFoundError when a corpus version was removed since.
    """
    snapshot = get_snapshot(catalog, name)
    corpora = [get_corpus(catalog, f"{part['corpus']}@{part['version']}") for part in snapshot.corpora]
    if folder.exists():
        raise ConfigError(f"{folder} exists already", hint="choose another folder, or remove it first")
    if dry_run:
        return [(f"{info.ref}.parquet", info.documents, "") for info in corpora]
    staged = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        written = []
        for info in corpora:
            done = export(staged / f"{info.ref}.parquet", _rows(catalog, info, snapshot.ledger_seq), SCHEMA)
            written.append((done.path.name, done.rows, done.sha256))
        manifest = {
            "schema": "provenance.checkout/1",
            "snapshot": snapshot.name,
            "root": snapshot.root,
            "corpora": snapshot.corpora,
            "ledger": {"seq": snapshot.ledger_seq, "sha256": snapshot.ledger_sha256},
            "files": [{"file": file, "documents": rows, "sha256": sha256} for file, rows, sha256 in written],
        }
        # The manifest comes last: a folder that has one is complete.
        (staged / "manifest.json").write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n")
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return written


def _rows(catalog: Catalog, info: CorpusInfo, ledger_seq: int) -> Iterator[pa.RecordBatch]:
    for batch in iter_texts(catalog, info):
        known = documents_as_of(catalog, info, batch["doc_id"], ledger_seq)
        columns = {"doc_id": known["doc_id"], "text": pa.chunked_array([batch["text"]])}
        columns |= {name: known[name] for name in SCHEMA.names if name not in columns}
        yield from pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA).to_batches()

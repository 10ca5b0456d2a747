"""Batches of rows to a file or folder other tools read: Parquet, JSONL, HF `save_to_disk`, MDS and WebDataset shards.

Rows come as Arrow batches and are written as they come, so memory does not grow with their number. The same rows give
the same bytes. Nothing appears under the final name until it is complete. Knows no catalog.
"""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from provenance.errors import ConfigError

FORMATS = ("parquet", "jsonl", "hf", "mds", "webdataset")
ROWS_PER_GROUP = 8192
SHARD_BYTES = 64 * 1024 * 1024
_SUFFIXES = {".parquet": "parquet", ".jsonl": "jsonl", ".jsonl.gz": "jsonl", ".jsonl.zst": "jsonl"}

Write = Callable[[pa.RecordBatch], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A finished export."""

    path: Path
    format: str
    rows: int
    files: dict[str, str]
    """SHA-256 of each file, by its path inside the export."""

    @property
    def sha256(self) -> str:
        """Of the file; of a folder, over its files' names and hashes."""
        if len(self.files) == 1 and self.path.is_file():
            return next(iter(self.files.values()))
        listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(self.files.items()))
        return hashlib.sha256(listing.encode()).hexdigest()


def format_of(path: Path, asked: str | None) -> str:
    """The format asked for, else the one the file's ending says. Raises ConfigError."""
    if asked is not None:
        return asked
    for suffix, name in _SUFFIXES.items():
        if path.name.endswith(suffix):
            return name
    raise ConfigError(
        f"no format for {path.name!r}",
        hint="end it in .parquet, .jsonl, .jsonl.gz or .jsonl.zst, or name one: " + ", ".join(FORMATS),
    )


def export(path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, format: str | None = None) -> Written:  # noqa: A002
    """Write `batches` to `path`. A file already there is replaced when the new one is complete; a folder is refused.

    Raises ConfigError for a name without a format, or a folder that is there.
    """
    chosen = format_of(path, format)
    if path.is_dir():
        raise ConfigError(f"{path} is a folder that already exists", hint="choose another name, or remove it first")
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.part")
    _remove(staged)
    rows = 0
    try:
        with _WRITERS[chosen](staged, schema, path.name) as write:
            for batch in batches:
                if batch.num_rows:
                    write(batch)
                    rows += batch.num_rows
        files = {str(f.relative_to(staged)) if f != staged else path.name: _sha256(f) for f in _files(staged)}
        staged.replace(path)
    finally:
        _remove(staged)
    return Written(path=path, format=chosen, rows=rows, files=files)


@contextmanager
def _parquet(path: Path, schema: pa.Schema, _: str) -> Iterator[Write]:
    with pq.ParquetWriter(
        path, schema, compression="zstd", compression_level=3, write_statistics=True, store_schema=False
    ) as writer:
        # Row groups of one size whatever the batches' sizes: the bytes depend on the rows alone.
        pending: list[pa.RecordBatch] = []

        def flush(limit: int) -> None:
            table = pa.Table.from_batches(pending, schema=schema)
            pending.clear()
            start = 0
            while table.num_rows - start >= limit > 0:
                writer.write_table(table.slice(start, ROWS_PER_GROUP), row_group_size=ROWS_PER_GROUP)
                start += ROWS_PER_GROUP
            if start < table.num_rows:
                pending.extend(table.slice(start).to_batches())

        def write(batch: pa.RecordBatch) -> None:
            pending.append(batch)
            if sum(b.num_rows for b in pending) >= ROWS_PER_GROUP:
                flush(ROWS_PER_GROUP)

        yield write
        flush(1)


@contextmanager
def _jsonl(path: Path, _: pa.Schema, name: str) -> Iterator[Write]:
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("wb"))
        out: Any = raw
        if name.endswith(".gz"):
            # No name and no time in the header: the same rows give the same bytes.
            out = stack.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0))
        elif name.endswith(".zst"):
            out = stack.enter_context(pa.CompressedOutputStream(raw, "zstd"))

        def write(batch: pa.RecordBatch) -> None:
            out.write(b"".join(orjson.dumps(row) + b"\n" for row in batch.to_pylist()))

        yield write


@contextmanager
def _hf(path: Path, schema: pa.Schema, _: str) -> Iterator[Write]:
    """A `datasets` folder: Arrow streams of about 64 MB with the two JSON files `load_from_disk` reads."""
    path.mkdir()
    sizes: list[int] = []
    sink: IO[bytes] | None = None
    stream: Any = None

    def close() -> None:
        if stream is not None and sink is not None:
            stream.close()
            sink.close()

    def write(batch: pa.RecordBatch) -> None:
        nonlocal sink, stream
        if not sizes or sizes[-1] + batch.nbytes > SHARD_BYTES:
            close()
            sink = (path / f"part-{len(sizes):05d}").open("wb")
            stream = pa.ipc.new_stream(sink, schema)
            sizes.append(0)
        stream.write_batch(batch)
        sizes[-1] += batch.nbytes

    try:
        yield write
        if not sizes:
            write(pa.RecordBatch.from_pylist([], schema=schema))
    finally:
        close()
    names = [f"data-{i:05d}-of-{len(sizes):05d}.arrow" for i in range(len(sizes))]
    for i, name in enumerate(names):
        (path / f"part-{i:05d}").rename(path / name)
    features = {field.name: {"dtype": _hf_type(field.type), "_type": "Value"} for field in schema}
    info = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    digest = hashlib.sha256("".join(_sha256(path / name) for name in names).encode()).hexdigest()
    state: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": digest[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    (path / "dataset_info.json").write_text(json.dumps(info, indent=2, sort_keys=True))
    (path / "state.json").write_text(json.dumps(state, indent=2, sort_keys=True))


def _hf_type(kind: pa.DataType) -> str:
    return "timestamp[us]" if pa.types.is_timestamp(kind) else str(kind)


@contextmanager
def _mds(path: Path, schema: pa.Schema, _: str) -> Iterator[Write]:
    """MosaicML streaming shards, format version 2: sample count, offsets, column description, samples."""
    path.mkdir()
    columns = sorted((field.name, _MDS_TYPES[_plain_type(field.type)]) for field in schema)
    names, encodings = [c[0] for c in columns], [c[1] for c in columns]
    described = {
        "column_encodings": encodings,
        "column_names": names,
        "column_sizes": [8 if encoding in {"int", "float64"} else None for encoding in encodings],
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": SHARD_BYTES,
        "version": 2,
    }
    header = json.dumps(described, sort_keys=True).encode()
    samples: list[bytes] = []
    size = 0
    shards: list[dict[str, Any]] = []

    def flush() -> None:
        nonlocal size
        offsets = np.cumsum([0, *map(len, samples)]).astype(np.uint32)
        offsets += np.uint32(4 + 4 * len(offsets) + len(header))
        name = f"shard.{len(shards):05d}.mds"
        data = np.uint32(len(samples)).tobytes() + offsets.tobytes() + header + b"".join(samples)
        (path / name).write_bytes(data)
        raw = {"basename": name, "bytes": len(data), "hashes": {}}
        shards.append({**described, "raw_data": raw, "samples": len(samples), "zip_data": None})
        samples.clear()
        size = 0

    def write(batch: pa.RecordBatch) -> None:
        nonlocal size
        for row in batch.select(names).to_pylist():
            values = [_mds_value(encoding, row[name]) for name, encoding in columns]
            # Values of fixed size are stored without their length.
            sizes = np.array([len(v) for v, (_, e) in zip(values, columns, strict=True) if e == "str"], dtype=np.uint32)
            sample = sizes.tobytes() + b"".join(values)
            if samples and size + len(sample) > SHARD_BYTES:
                flush()
            samples.append(sample)
            size += len(sample) + 4

    yield write
    if samples or not shards:
        flush()
    (path / "index.json").write_text(json.dumps({"version": 2, "shards": shards}, sort_keys=True))


_MDS_TYPES = {"string": "str", "int": "int", "float": "float64"}


def _plain_type(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "int"
    return "float" if pa.types.is_floating(kind) else "string"


def _mds_value(encoding: str, value: Any) -> bytes:
    if encoding == "int":
        # The format has no null; -1 is no number of model generations.
        return np.int64(-1 if value is None else value).tobytes()
    if encoding == "float64":
        return np.float64(np.nan if value is None else value).tobytes()
    return ("" if value is None else str(value)).encode()


@contextmanager
def _webdataset(path: Path, _: pa.Schema, __: str) -> Iterator[Write]:
    """Tar shards of about 64 MB: `DOC_ID.txt` with the text and `DOC_ID.json` with everything else."""
    path.mkdir()
    tar: tarfile.TarFile | None = None
    number, size = 0, 0
    seen = 0

    def add(name: str, data: bytes) -> None:
        nonlocal size
        member = tarfile.TarInfo(name)  # time, owner and group stay 0: the same rows give the same bytes
        member.size = len(data)
        assert tar is not None
        tar.addfile(member, io.BytesIO(data))
        size += len(data) + 1024

    def write(batch: pa.RecordBatch) -> None:
        nonlocal tar, number, size, seen
        for row in batch.to_pylist():
            if tar is None or size > SHARD_BYTES:
                if tar is not None:
                    tar.close()
                tar = tarfile.open(path / f"{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
                number, size = number + 1, 0
            text = row.pop("text")
            # An upsampled document comes again; samples of one shard need names of their own.
            name = f"{seen:09d}-{row['doc_id']}"
            add(f"{name}.json", orjson.dumps(row, option=orjson.OPT_SORT_KEYS))
            add(f"{name}.txt", text.encode())
            seen += 1

    try:
        yield write
    finally:
        if tar is not None:
            tar.close()


_WRITERS = {"parquet": _parquet, "jsonl": _jsonl, "hf": _hf, "mds": _mds, "webdataset": _webdataset}


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

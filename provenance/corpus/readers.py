"""Files to rows: JSON, Parquet, CSV, text files, Hugging Face datasets. Knows formats; nothing of texts or catalogs.

Every reader yields lists of rows of bounded size, so memory stays flat, and reports the bytes it has consumed. A bad
row becomes a `Row` with a reason; only a file that cannot be read at all raises.
"""

import csv
import io
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from provenance.corpus import json_rows
from provenance.corpus.rows import BLOCK_BYTES, MAX_TEXT_BYTES, ROWS_PER_BATCH, Row
from provenance.errors import DataError, MissingExtraError, NotFoundError, UsageError

_DECODED_BYTES = 16 * 1024 * 1024
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".lz4": "lz4"}
_TEXT_SUFFIXES = {".txt", ".text", ".md"}

Consumed = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One thing to read: its format, its path (or hub name), its size if known."""

    kind: str
    """jsonl, json, parquet, csv, text, stdin, hf or hf_disk."""
    location: str
    name: str
    """What documents carry as their source: a file's path inside the folder that was given, a hub name, or `stdin`."""
    n_bytes: int | None


def discover(paths: list[str]) -> list[Source]:
    """Turn command-line paths into sources, folders walked in sorted order.

    A file of a folder is named by its path inside that folder, with `/` between the parts, and a file given itself by
    its bare name. Where two files would have one name, each takes on the folders before it in the path that was given,
    as few as tell them apart: `a/x.csv b/x.csv` keep those names, whatever folder `a` lies in.

    Raises NotFoundError for a missing path and UsageError for a format that is not read.
    """
    sources: list[Source] = []
    for path in paths:
        if path == "-":
            sources.append(Source(kind="stdin", location="-", name="stdin", n_bytes=None))
        elif path.startswith("hf:") and (saved := _saved_by_datasets(path.removeprefix("hf:"))) is not None:
            sources.extend(_discover_path(saved))
        elif path.startswith("hf:"):
            sources.append(Source(kind="hf", location=path, name=path.removeprefix("hf:"), n_bytes=None))
        else:
            sources.extend(_discover_path(Path(path)))
    return _told_apart(sources)


def _told_apart(sources: list[Source]) -> list[Source]:
    # A file that was given twice, however its path was spelled, has one name: its documents are seen to occur twice.
    first = {_place(source): source for source in reversed(sources)}
    names = {place: source.name for place, source in first.items()}
    while True:
        shared = Counter(names.values())
        longer = {
            place: Path(*Path(first[place].location).parts[-name.count("/") - 2 :]).as_posix()
            for place, name in names.items()
            if shared[name] > 1
        }
        if all(names[place] == name for place, name in longer.items()):
            return [replace(source, name=names[_place(source)]) for source in sources]
        names |= longer


def _place(source: Source) -> str:
    return source.location if source.kind in {"stdin", "hf"} else os.path.realpath(source.location)


def _saved_by_datasets(name: str) -> Path | None:
    """The `save_to_disk` folder that `hf:` was put before, or its split; None for a name on the hub."""
    repo, _, split = _hf_parts(name)
    if (Path(repo) / "dataset_dict.json").exists():
        return Path(repo) / split
    return Path(repo) if (Path(repo) / "dataset_info.json").exists() else None


def _discover_path(path: Path) -> list[Source]:
    if not path.exists():
        raise NotFoundError(
            f"no file or folder {str(path)!r}", hint="check the path; hub datasets are hf:repo:config:split"
        )
    if path.is_file():
        return [_file_source(path, path.name)]
    if (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists():
        return [Source(kind="hf_disk", location=str(path), name=path.name, n_bytes=None)]
    known = [p for p in sorted(path.rglob("*")) if p.is_file() and _kind(p) is not None]
    if not known:
        raise DataError(
            f"no readable file in folder {str(path)!r}",
            hint="read are .jsonl .json .ndjson (.gz .zst), .parquet, .csv .tsv, .txt .md and save_to_disk folders",
        )
    return [_file_source(p, p.relative_to(path).as_posix()) for p in known]


def _kind(path: Path) -> str | None:
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    last = suffixes[-1] if suffixes else ""
    if last in {".jsonl", ".ndjson"}:
        return "jsonl"
    if last in {".json", ".parquet"}:
        return last[1:]
    if last in {".csv", ".tsv"}:
        return "csv"
    return "text" if last in _TEXT_SUFFIXES else None


def _file_source(path: Path, name: str) -> Source:
    kind = _kind(path)
    if kind is None:
        raise UsageError(
            f"cannot read {path.name!r}: unknown format",
            hint="read are .jsonl .json .ndjson (.gz .zst), .parquet, .csv .tsv, .txt .md and save_to_disk folders",
        )
    return Source(kind=kind, location=str(path), name=name, n_bytes=path.stat().st_size)


def read(source: Source, consumed: Consumed) -> Iterator[list[Row]]:
    """All rows of one source, in order. Raises DataError when the file as a whole cannot be read."""
    try:
        match source.kind:
            case "jsonl" | "json":
                read_json = json_rows.read_lines if source.kind == "jsonl" else json_rows.read_whole
                with Path(source.location).open("rb") as raw:
                    # Held here: let go of, it would close `raw`, which is asked where it stands to the last.
                    stream = _decompressed(raw, source)
                    yield from read_json(stream, source.name, lambda: consumed(raw.tell()))
            case "stdin":
                yield from json_rows.read_lines(sys.stdin.buffer, source.name, lambda: None)
            case "csv":
                with Path(source.location).open("rb") as raw:
                    yield from _read_csv(_decompressed(raw, source), source.name, lambda: consumed(raw.tell()))
            case "text":
                yield from _read_text(Path(source.location), source.name)
            case "parquet":
                yield from _read_parquet(source, consumed)
            case "hf" | "hf_disk":
                yield from _read_hf(source)
            case _:
                raise UsageError(f"cannot read {source.kind!r}")
    except (pa.ArrowInvalid, pa.ArrowIOError, EOFError) as error:
        raise DataError(
            f"{source.name}: {str(error).splitlines()[0]}",
            hint="the file is damaged or not of this format; nothing was added",
        ) from error
    except OSError as error:
        raise DataError(f"{source.name}: {error}", hint="nothing was added") from error


def _decompressed(raw: BinaryIO, source: Source) -> BinaryIO:
    compression = _COMPRESSIONS.get(Path(source.location).suffix.lower())
    if compression is None:
        return raw
    stream: BinaryIO = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), compression)
    return stream


def _read_csv(stream: BinaryIO, name: str, report: Callable[[], None]) -> Iterator[list[Row]]:
    """Rows by the first one's fields. Raises DataError where a quote is never closed: what follows cannot be told."""
    # Bytes that are not UTF-8 come through as lone surrogates, so one bad row is one reject.
    text = io.TextIOWrapper(io.BufferedReader(_Raw(stream)), encoding="utf-8-sig", errors="surrogateescape", newline="")
    csv.field_size_limit(MAX_TEXT_BYTES)
    records = _Records(text, name, "\t" if ".tsv" in Path(name).suffixes else ",")
    header: list[str] = []
    rows: list[Row] = []
    n_chars = 0
    while True:
        values, problem = records.next()
        if values is None:
            break
        if not values and not problem:
            continue
        if header and not problem and len(values) != len(header):
            problem = f"{len(values)} fields, the header has {len(header)}"
        if problem:
            first, last = records.first_line, records.last_line
            where = f", lines {first} to {last}" if last > first else ""
            problem = problem if problem.startswith("over ") else f"broken CSV{where}: {problem}"
            if not header:
                raise DataError(f"{name}: the header is {problem}", hint="nothing was added")
            rows.append(Row(name, first, None, problem))
        elif not header:
            header = values
        else:
            rows.append(Row(name, records.first_line, dict(zip(header, values, strict=True))))
            n_chars += sum(map(len, values))
        if len(rows) >= ROWS_PER_BATCH or n_chars >= BLOCK_BYTES:
            report()
            yield rows
            rows, n_chars = [], 0
    if rows:
        yield rows


class _Records:
    """The records of a CSV file, one after the other, and the lines each takes."""

    def __init__(self, text: Iterable[str], name: str, delimiter: str) -> None:
        self._name = name
        self._delimiter = delimiter
        self._record: list[str] = []
        self._lines = self._kept(text)
        # Not strict, a stray quote takes all rows up to the next one, or to the end of the file, into one text.
        self._reader = csv.reader(self._lines, delimiter=delimiter, strict=True)
        self.first_line = 1

    @property
    def last_line(self) -> int:
        """The last line of the record that was read last."""
        return self.first_line + len(self._record) - 1

    def next(self) -> tuple[list[str] | None, str]:
        """The next record (None at the end) and what is wrong with it. Raises DataError where a quote stays open."""
        self.first_line += len(self._record)
        self._record.clear()
        try:
            try:
                return next(self._reader, None), ""
            except csv.Error as error:
                if "expected after" not in str(error):
                    raise
                # Again from its first line, where no quote is open; later lines are taken as they are needed.
                lines = _without_blanks(chain(self._record.copy(), self._lines), self._delimiter)
                return next(csv.reader(lines, delimiter=self._delimiter, strict=True)), ""
        except csv.Error as error:
            too_long = "field larger" in str(error)
            if "end of data" in str(error) or (too_long and self.last_line > self.first_line):
                raise DataError(
                    f"{self._name}: a quote opened in the row of line {self.first_line} is still open in line "
                    f"{self.last_line}",
                    hint="close it, or double it if it belongs to the text; nothing was added",
                ) from error
            return [], f"over {MAX_TEXT_BYTES >> 20} MiB" if too_long else str(error)

    def _kept(self, text: Iterable[str]) -> Iterator[str]:
        for line in text:
            self._record.append(line)
            yield line


def _without_blanks(lines: Iterable[str], delimiter: str) -> Iterator[str]:
    """The lines of one record without the blanks between a closing quote and the delimiter or the end of the line."""
    quoted = re.compile(rf'((?:^|{delimiter})"(?:[^"]++|"")*+)(?:(")[^\S{delimiter}\r\n]*(?=[{delimiter}\r\n]|\Z))?')
    # A line that goes on inside a field is read with the quote that the field began with.
    opened = ""
    for line in lines:
        whole = opened + line
        fields = list(quoted.finditer(whole))
        yield quoted.sub(r"\1\2", whole)[len(opened) :]
        opened = '"' if fields and fields[-1].end() == len(whole) and not fields[-1][2] else ""


class _Raw(io.RawIOBase):
    """A raw stream over anything with `read`, for the text layer of the csv module."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _read_text(path: Path, name: str) -> Iterator[list[Row]]:
    if path.stat().st_size > MAX_TEXT_BYTES:
        yield [Row(name, 1, None, f"over {MAX_TEXT_BYTES >> 20} MiB")]
        return
    try:
        yield [Row(name, 1, {"text": path.read_text(encoding="utf-8-sig")})]
    except UnicodeDecodeError:
        yield [Row(name, 1, None, "not UTF-8")]


def _read_parquet(source: Source, consumed: Consumed) -> Iterator[list[Row]]:
    import pyarrow.parquet as pq

    row_number = 0
    with pq.ParquetFile(source.location) as file:
        total = max(file.metadata.num_rows, 1)
        for group in range(file.metadata.num_row_groups):
            for batch in file.iter_batches(_rows_to_decode(file.metadata.row_group(group)), [group]):
                for rows in _batch_rows(batch, source.name, row_number):
                    row_number += len(rows)
                    consumed(int((source.n_bytes or 0) * row_number / total))
                    yield rows


def _rows_to_decode(group: Any) -> int:
    """How many rows of a Parquet row group may be decoded at once: books are a thousand times longer than posts."""
    return int(min(ROWS_PER_BATCH, max(1, group.num_rows * _DECODED_BYTES // max(1, group.total_byte_size))))


def _batch_rows(batch: pa.RecordBatch, name: str, offset: int) -> Iterator[list[Row]]:
    rows_per_block = max(1, batch.num_rows * BLOCK_BYTES // max(1, batch.nbytes))
    for start in range(0, batch.num_rows, rows_per_block):
        yield _block_rows(batch.slice(start, rows_per_block), name, offset + start)


def _block_rows(batch: pa.RecordBatch, name: str, offset: int) -> list[Row]:
    try:
        return [Row(name, offset + i + 1, record) for i, record in enumerate(batch.to_pylist())]
    except UnicodeDecodeError:
        rows = []
        for i in range(batch.num_rows):
            try:
                rows.append(Row(name, offset + i + 1, batch.slice(i, 1).to_pylist()[0]))
            except UnicodeDecodeError:
                rows.append(Row(name, offset + i + 1, None, "not UTF-8"))
        return rows


def _read_hf(source: Source) -> Iterator[list[Row]]:
    try:
        import datasets
    except ImportError as error:  # pragma: no cover - a core dependency
        raise MissingExtraError.of("reading Hugging Face datasets", "dev") from error

    if source.kind == "hf_disk":
        loaded = datasets.load_from_disk(source.location)
        if isinstance(loaded, datasets.DatasetDict):
            raise UsageError(
                f"{source.name!r} holds several splits: {', '.join(loaded)}",
                hint=f"name one, for instance {source.location}/{next(iter(loaded))}",
            )
    else:
        repo, config, split = _hf_parts(source.name)
        try:
            loaded = datasets.load_dataset(repo, config, split=split, streaming=True)
        except (OSError, ValueError) as error:
            raise DataError(
                f"hub dataset {repo!r}: {str(error).splitlines()[0]}", hint="check the name and the network"
            ) from error
    offset = 0
    for batch in loaded.with_format("arrow").iter(batch_size=ROWS_PER_BATCH):
        for record_batch in batch.to_batches():
            for rows in _batch_rows(record_batch, source.name, offset):
                offset += len(rows)
                yield rows


def _hf_parts(name: str) -> tuple[str, str | None, str]:
    parts = name.split(":")
    if len(parts) > 3 or not parts[0]:
        raise UsageError(
            f"hf:{name} is not a hub dataset name", hint="write hf:repo, hf:repo:config or hf:repo:config:split"
        )
    config = parts[1] if len(parts) > 1 and parts[1] else None
    return parts[0], config, parts[2] if len(parts) > 2 else "train"

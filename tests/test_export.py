"""Every export format is read back by the reader it is for, and the same rows give the same bytes."""

import gzip
import io
import json
import tarfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from provenance.corpus.export import FORMATS, Written, export, format_of
from provenance.errors import ConfigError

SCHEMA = pa.schema(
    [("doc_id", pa.string()), ("text", pa.string()), ("generation", pa.int32()), ("weight", pa.float64())]
)
ROWS = [
    {"doc_id": f"id-{i}", "text": f"text {i} ü\n" * (i % 7), "generation": i % 3 or None, "weight": i / 8}
    for i in range(100)
]


def batches(sizes=(100,)):
    start = 0
    for size in sizes:
        yield pa.RecordBatch.from_pylist(ROWS[start : start + size], schema=SCHEMA)
        start += size


def name_of(kind: str) -> str:
    return {"parquet": "x.parquet", "jsonl": "x.jsonl"}.get(kind, "x")


@pytest.mark.parametrize("kind", FORMATS)
def test_the_bytes_depend_on_the_rows_and_not_on_their_batches(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("provenance.corpus.export.ROWS_PER_GROUP", 16)
    found = []
    for i, sizes in enumerate([(100,), (1, 30, 50, 19), (7,) * 14 + (2,)]):
        if kind == "hf" and i:
            continue  # an Arrow stream keeps the batches it was given; its readers do not see them
        found.append(export(tmp_path / str(i) / name_of(kind), batches(sizes), SCHEMA, format=kind))
    assert len({w.sha256 for w in found}) == 1
    assert found[0].rows == 100


def test_parquet_and_jsonl_hold_the_rows(tmp_path):
    export(tmp_path / "x.parquet", batches(), SCHEMA)
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == ROWS
    for name, opened in (("x.jsonl", open), ("x.jsonl.gz", gzip.open)):
        export(tmp_path / name, batches(), SCHEMA)
        with opened(tmp_path / name, "rt") as lines:
            assert [json.loads(line) for line in lines] == ROWS
    export(tmp_path / "x.jsonl.zst", batches(), SCHEMA)
    with pa.CompressedInputStream(pa.OSFile(str(tmp_path / "x.jsonl.zst")), "zstd") as stream:
        assert [json.loads(line) for line in io.TextIOWrapper(stream)] == ROWS


def test_a_hf_folder_is_loaded_by_datasets(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr("provenance.corpus.export.SHARD_BYTES", 2000)
    written = export(tmp_path / "x", batches((30, 30, 40)), SCHEMA, format="hf")
    assert len([name for name in written.files if name.endswith(".arrow")]) == 3
    loaded = datasets.load_from_disk(str(tmp_path / "x"))
    assert loaded.to_list() == ROWS
    export(tmp_path / "empty", iter(()), SCHEMA, format="hf")
    assert len(datasets.load_from_disk(str(tmp_path / "empty"))) == 0


def read_mds(folder: Path) -> list[dict]:
    """The format as MosaicML's reader parses it: offsets, then per sample the sizes of its variable columns."""
    rows = []
    for shard in json.loads((folder / "index.json").read_text())["shards"]:
        data = (folder / shard["raw_data"]["basename"]).read_bytes()
        assert len(data) == shard["raw_data"]["bytes"]
        count = int(np.frombuffer(data, np.uint32, 1)[0])
        offsets = np.frombuffer(data, np.uint32, count + 1, 4)
        assert count == shard["samples"]
        for start, stop in pairwise(offsets):
            sample = data[start:stop]
            variable = sum(size is None for size in shard["column_sizes"])
            sizes = list(np.frombuffer(sample, np.uint32, variable))
            at, row = 4 * variable, {}
            for name, encoding, fixed in zip(
                shard["column_names"], shard["column_encodings"], shard["column_sizes"], strict=True
            ):
                size = int(fixed or sizes.pop(0))
                raw = sample[at : at + size]
                at += size
                row[name] = (
                    raw.decode()
                    if encoding == "str"
                    else np.frombuffer(raw, {"int": "i8", "float64": "f8"}[encoding])[0]
                )
            assert at == len(sample)
            rows.append(row)
    return rows


def test_mds_shards_parse_by_their_specification(tmp_path, monkeypatch):
    monkeypatch.setattr("provenance.corpus.export.SHARD_BYTES", 2000)
    written = export(tmp_path / "x", batches(), SCHEMA, format="mds")
    assert len(written.files) > 2
    expected = [row | {"generation": -1 if row["generation"] is None else row["generation"]} for row in ROWS]
    assert read_mds(tmp_path / "x") == expected


def test_webdataset_shards_hold_a_text_and_its_facts_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr("provenance.corpus.export.SHARD_BYTES", 50_000)
    written = export(tmp_path / "x", batches(), SCHEMA, format="webdataset")
    assert len(written.files) > 1
    found = []
    for path in sorted((tmp_path / "x").glob("*.tar")):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            assert {m.mtime for m in members} == {0}
            for facts, text in zip(members[::2], members[1::2], strict=True):
                assert Path(facts.name).stem == Path(text.name).stem
                found.append(json.load(tar.extractfile(facts)) | {"text": tar.extractfile(text).read().decode()})
    assert found == [dict(sorted(row.items())) for row in ROWS]


def test_a_failed_export_leaves_nothing_and_keeps_what_was_there(tmp_path):
    def broken():
        yield next(batches((10,)))
        raise OSError("disk full")

    (tmp_path / "x.jsonl").write_text("old")
    for name, kind in (("x.jsonl", None), ("x.parquet", None), ("y", "hf"), ("z", "mds"), ("w", "webdataset")):
        with pytest.raises(OSError, match="disk full"):
            export(tmp_path / name, broken(), SCHEMA, format=kind)
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]
    assert (tmp_path / "x.jsonl").read_text() == "old"


def test_names_without_a_format_and_folders_that_are_there_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no format for 'x"):
        format_of(Path("x.txt"), None)
    assert format_of(Path("x.txt"), "jsonl") == "jsonl"
    (tmp_path / "x").mkdir()
    with pytest.raises(ConfigError, match="already exists"):
        export(tmp_path / "x", batches(), SCHEMA, format="hf")


def test_a_folder_is_named_by_the_hashes_of_its_files():
    one = Written(path=Path("x"), format="mds", rows=1, files={"a": "1", "b": "2"})
    two = Written(path=Path("y"), format="mds", rows=1, files={"b": "2", "a": "1"})
    assert one.sha256 == two.sha256

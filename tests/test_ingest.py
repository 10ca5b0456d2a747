"""Adding corpora: every format, bad rows, versions, and what a kill leaves behind."""

import csv
import gzip
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from provenance import ids
from provenance.catalog.corpora import get_corpus
from provenance.catalog.query import run_query
from provenance.catalog.store import Catalog
from provenance.corpus import json_rows, readers
from provenance.corpus.hygiene import clean
from provenance.corpus.ingest import add_corpus
from provenance.corpus.prepare import Fields, Prepared, count_words, prepare
from provenance.corpus.readers import discover, read
from provenance.corpus.rows import Row
from provenance.corpus.texts import iter_texts, read_texts, texts_by_id
from provenance.corpus.writer import _Seen
from provenance.errors import DataError, UsageError
from provenance.lineage.merkle import merkle_root
from provenance.types import Origin

RECORDS = [
    {"id": "a", "text": "The cat sat.", "year": 1900, "who": "north"},
    {"id": "b", "text": "A dog ran\r\nfar.", "year": "1901-05-02", "who": "south"},
    {"id": "c", "text": "Birds fly.", "year": None, "who": ""},
]
FIELDS = Fields(key="id", date="year", subgroup="who")


def query(catalog: Catalog, sql: str) -> list[tuple[Any, ...]]:
    return run_query(catalog, sql).rows


def rejects_of(catalog: Catalog, name: str) -> list[tuple[str, int, str]]:
    """(file, line, reason) of each row that was left out of the newest version."""
    lines = (catalog.root / "rejects" / f"{name}.jsonl").read_text().splitlines()
    return [(r["file"], r["line"], r["reason"]) for r in map(json.loads, lines)]


def write_all_formats(folder: Path) -> dict[str, Path]:
    lines = "".join(json.dumps(r) + "\n" for r in RECORDS)
    paths = {kind: folder / f"data.{kind}" for kind in ("jsonl", "jsonl.gz", "jsonl.zst", "parquet", "csv")}
    paths["jsonl"].write_text(lines)
    paths["jsonl.gz"].write_bytes(gzip.compress(lines.encode()))
    with pa.CompressedOutputStream(str(paths["jsonl.zst"]), "zstd") as out:
        out.write(lines.encode())
    columns = {name: [None if r[name] is None else str(r[name]) for r in RECORDS] for name in RECORDS[0]}
    pq.write_table(pa.table(columns), paths["parquet"])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(RECORDS[0]))
    writer.writeheader()
    writer.writerows(RECORDS)
    paths["csv"].write_bytes(text.getvalue().encode())
    paths["hf"] = folder / "saved"
    datasets.Dataset.from_dict(columns).save_to_disk(str(paths["hf"]))
    return paths


def test_every_format_gives_the_same_documents(catalog: Catalog, tmp_path: Path) -> None:
    roots = set()
    for kind, path in write_all_formats(tmp_path).items():
        # One name: ids depend on it, so equal roots and "unchanged" mean equal documents.
        result = add_corpus(catalog, "c", [str(path)], FIELDS)
        assert result.documents == 3, kind
        assert result.corpus is not None
        roots.add(result.corpus.content_root)
    assert len(roots) == 1
    dates = query(catalog, "select key, created_at::DATE::VARCHAR, subgroup from documents order by key")
    assert dates == [("a", "1900-01-01", "north"), ("b", "1901-05-02", "south"), ("c", None, None)]


def test_a_folder_of_text_files_is_one_document_per_file(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "one.txt").write_text("First text.")
    (tmp_path / "texts" / "two.md").write_text("Second text.")
    (tmp_path / "texts" / "ignored.bin").write_bytes(b"\0\1")
    add_corpus(catalog, "t", [str(tmp_path / "texts")], Fields())
    assert query(catalog, "select key from documents order by key") == [("one.txt:1",), ("two.md:1",)]


def fill(folder: Path, *names: str, text: str = "as ever") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"text": text}) + "\nbroken\n")


def test_files_of_one_name_in_two_subfolders_are_two_files(catalog: Catalog, tmp_path: Path) -> None:
    fill(tmp_path / "f", "train/part-0.jsonl", "test/part-0.jsonl", "part-0.jsonl")
    add_corpus(catalog, "c", [str(tmp_path / "f")], Fields())
    named = ["part-0.jsonl", "test/part-0.jsonl", "train/part-0.jsonl"]
    assert query(catalog, "select key, source from documents order by key") == [(f"{n}:1", n) for n in named]
    assert [(file, line) for file, line, _ in rejects_of(catalog, "c")] == [(n, 2) for n in named]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["a/x.jsonl"], ["x.jsonl"]),
        (["a/x.jsonl", "b/y.jsonl"], ["x.jsonl", "y.jsonl"]),
        (["a/x.jsonl", "b/x.jsonl", "b/y.jsonl"], ["a/x.jsonl", "b/x.jsonl", "y.jsonl"]),
        (["x.jsonl", "a/x.jsonl"], ["x.jsonl", "a/x.jsonl"]),
        (["a", "b"], ["a/x.jsonl", "b/x.jsonl", "y.jsonl"]),
        (["c/1", "c/2"], ["1/s/x.jsonl", "2/s/x.jsonl"]),
        (["c/1", "c/2/s", "a"], ["1/s/x.jsonl", "2/s/x.jsonl", "a/x.jsonl"]),
        # The same file twice is no other file.
        (["a/x.jsonl", "a"], ["x.jsonl", "x.jsonl"]),
        (["c/1/s", "c/1"], ["x.jsonl", "x.jsonl"]),
    ],
)
def test_files_that_share_a_name_take_on_as_few_folders_as_tell_them_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], names: list[str]
) -> None:
    fill(tmp_path, "x.jsonl", "a/x.jsonl", "b/x.jsonl", "b/y.jsonl", "c/1/s/x.jsonl", "c/2/s/x.jsonl")
    monkeypatch.chdir(tmp_path)
    assert [source.name for source in discover(given)] == names
    absolute = [source.name for source in discover([str(tmp_path / path) for path in given])]
    # A file that lies in the working folder has no folder before it unless the whole path is given.
    assert absolute == names if given[0] != "x.jsonl" else absolute[1:] == names[1:]


def test_a_file_under_two_spellings_of_its_path_is_one_file(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "f/train/0.jsonl")
    (tmp_path / "link").symlink_to("f")
    monkeypatch.chdir(tmp_path)
    spelled = ["f", str(tmp_path / "f/train/0.jsonl"), "f/../f/train/0.jsonl", "link/train"]
    assert [source.name for source in discover(spelled)] == ["train/0.jsonl"] * 4
    assert add_corpus(catalog, "c", spelled, Fields()).documents == 1


def test_standard_input_is_read_as_jsonl(run: Callable[..., Result]) -> None:
    result = run("corpus", "add", "piped", "-", "--json", stdin='{"text":"one two"}\n{"text":"three"}\n')
    assert json.loads(result.stdout)["documents"] == 2


def test_the_content_root_is_the_merkle_root_in_id_order(catalog: Catalog, write_jsonl: Any) -> None:
    result = add_corpus(catalog, "c", [str(write_jsonl("a.jsonl", RECORDS))], FIELDS)
    hashes = {r["id"]: ids.sha256_text(str(r["text"]).replace("\r\n", "\n")) for r in RECORDS}
    ordered = [hashes[key] for key in sorted(hashes, key=lambda k: ids.document_id_bytes("c", k, hashes[k]))]
    assert result.corpus is not None
    assert result.corpus.content_root == "rfc6962-sha256:" + merkle_root(ordered).hex()


def test_bad_rows_are_counted_listed_and_do_not_stop_the_run(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(
        b'{"text": "good"}\n{"text": \n["list"]\n{"text": 5}\n{"other": 1}\n'
        b'{"text": null}\n{"text": "  "}\n\xff\xfe\n\n'
        b'{"text": "good too"}'
    )
    result = add_corpus(catalog, "c", [str(path)], Fields())
    assert (result.documents, result.rejected) == (2, 7)
    assert result.rejects_file is not None
    rejects = [json.loads(line) for line in result.rejects_file.read_text().splitlines()]
    assert [(r["line"], r["reason"].split(":")[0]) for r in rejects] == [
        (2, "broken JSON"),
        (3, "wrong type"),
        (4, "wrong type"),
        (5, "no text"),
        (6, "no text"),
        (7, "no text"),
        (8, "not UTF-8"),
    ]
    # The last good row is on line 10: blank lines count.
    assert ("bad.jsonl:10",) in query(catalog, "select key from documents")


def test_a_byte_order_mark_costs_no_row(catalog: Catalog, tmp_path: Path) -> None:
    lines = "".join(json.dumps(r) + "\n" for r in RECORDS)
    table = "id,text,year,who\n" + "".join(
        ",".join(str(v or "").strip() for v in r.values()) + "\n" for r in RECORDS[:1]
    )
    for name, text in (("a.jsonl", lines), ("b.json", lines), ("c.json", json.dumps(RECORDS)), ("d.csv", table)):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        result = add_corpus(catalog, "c", [str(tmp_path / name)], FIELDS)
        assert (result.documents, result.rejected) == (1 if "csv" in name else 3, 0), name


@pytest.mark.parametrize("layout", [{}, {"indent": 2}], ids=["lines", "array"])
def test_numbers_that_json_lacks_are_read_as_null(catalog: Catalog, tmp_path: Path, layout: Any) -> None:
    values = [float("nan"), float("inf"), -float("inf")]
    rows = [{"text": f"t{i}", "m": value, "who": value} for i, value in enumerate(values)] + [{"text": values[0]}]
    path = tmp_path / ("a.json" if layout else "a.jsonl")
    path.write_text(json.dumps(rows, **layout) if layout else "".join(json.dumps(row) + "\n" for row in rows))
    add_corpus(catalog, "c", [str(path)], Fields(meta=("m",), subgroup="who"))
    assert (
        query(catalog, "select meta->>'m', meta::VARCHAR, subgroup from documents") == [(None, '{"m":null}', None)] * 3
    )
    assert rejects_of(catalog, "c") == [(path.name, 4, "no text: null")]


def test_a_whole_number_of_any_length_is_read_alike_from_lines_and_from_an_array(
    catalog: Catalog, tmp_path: Path
) -> None:
    numbers = ["0", "-5", str(2**64 - 1), str(-(2**63)), str(2**64), str(-(2**63) - 1), "1" + 30 * "0", "7" * 5000]
    rows = [f'{{"text": "t", "id": "{i}", "n": {number}}}' for i, number in enumerate(numbers)]
    kept = []
    # With a lone surrogate in it a line is read as an array is.
    for name, text in (
        ("a.jsonl", "\n".join(rows)),
        ("b.jsonl", "\n".join(rows).replace('"n"', '"o": "\\ud800", "n"')),
        ("c.json", f"[{','.join(rows)}]"),
    ):
        (tmp_path / name).write_text(text)
        assert add_corpus(catalog, name[0], [str(tmp_path / name)], Fields(key="id", meta=("n",))).rejected == 0
        kept.append(query(catalog, f"select meta::VARCHAR from documents where corpus = '{name[0]}' order by key"))
    whole = [f'{{"n":{number}}}' for number in numbers[:4]]
    floats = ['{"n":1.8446744073709552e19}', '{"n":-9.223372036854775808e18}', '{"n":1e30}', '{"n":null}']
    assert kept[0] == kept[1] == kept[2]
    assert [row[0] for row in kept[0][:4]] == whole
    assert [json.loads(row[0]) for row in kept[0][4:]] == [json.loads(text) for text in floats]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=4) + "\n",
        "\n [\n" + ",\n".join(map(json.dumps, RECORDS)) + "\n]\n\n",
        "".join(json.dumps(r) + "\n" for r in RECORDS),
        "\n\n".join(json.dumps(r) for r in RECORDS),
        "\n".join(json.dumps(r, indent=1) for r in RECORDS),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_json_file_holds_an_array_or_objects_in_any_layout(
    catalog: Catalog, tmp_path: Path, text: str, packed: bool
) -> None:
    path = tmp_path / ("a.json.gz" if packed else "a.json")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert add_corpus(catalog, "c", [str(path)], FIELDS).rejected == 0
    assert query(catalog, "select key from documents order by key") == [("a",), ("b",), ("c",)]


_JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(_JSON, max_size=6), st.sampled_from([None, 0, 3]), st.integers(1, 40), st.booleans())
def test_an_array_is_read_whatever_its_blocks(values: list[Any], indent: int | None, size: int, plain: bool) -> None:
    data = json.dumps(values, indent=indent, ensure_ascii=plain).encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "BLOCK_BYTES", size)
        rows = [row for block in json_rows.read_whole(io.BytesIO(data), "a.json", lambda: None) for row in block]
    assert [row.line for row in rows] == list(range(1, len(values) + 1))
    assert [row.record for row in rows] == [value if isinstance(value, dict) else None for value in values]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[{"text": "a"}, {"text": "b"]', "after 1 whole elements: Expecting ',' delimiter"),
        ('[{"text": "a"}, {"text": "b', "after 1 whole elements: Unterminated string"),
        ('[{"text": "a"} {"text": "b"}]', "after 1 whole elements: '{' where the array goes on or ends"),
        ('[{"text": "a"}', "after 1 whole elements: the array does not end"),
        ('[{"text": "a"},', "after 1 whole elements: Expecting value"),
        ('[{"text": "a"}]\n{"text": "b"}', "after 1 whole elements: '{' after the end of the array"),
        ('{\n  "text": "a",\n  "b": tru\n}', "after 0 whole elements: Expecting value"),
        ("[" * 100_000, "after 0 whole elements"),
    ],
)
def test_a_broken_json_array_is_one_error_that_says_how_far_it_was_whole(
    run: Callable[..., Result], tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "a.json").write_text(text)
    result = run("corpus", "add", "c", tmp_path / "a.json")
    assert result.exit_code == 3
    assert result.stderr.startswith(f"error: a.json: broken JSON {says}")


def test_a_json_file_of_lines_may_have_broken_ones(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"text": \n{"text": "whole"}\n\n["list"]\n{"text": "\\ud800"}\n')
    assert add_corpus(catalog, "c", [str(tmp_path / "a.json")], Fields()).documents == 1
    assert [(line, reason.split(":")[0]) for _, line, reason in rejects_of(catalog, "c")] == [
        (1, "broken JSON"), (4, "wrong type"), (5, "not UTF-8"),
    ]  # fmt: skip


def test_bad_bytes_in_csv_are_one_reject_each(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(b"id,text\n1,fine\n2,\xff\xff\n3,a,b\n4,also fine\n")
    result = add_corpus(catalog, "c", [str(path)], Fields(key="id"))
    assert (result.documents, result.rejected) == (2, 2)


@pytest.mark.parametrize("strict", [[], ["--strict"]])
def test_a_csv_whose_quote_is_never_closed_is_refused_and_the_row_named(
    run: Callable[..., Result], tmp_path: Path, strict: list[str]
) -> None:
    path = tmp_path / "open.csv"
    rows = [f"{i},text {i}" for i in range(300)]
    rows[99] = '99,"5 inches'
    path.write_text("\n".join(["id,text", *rows]) + "\n")
    result = run("corpus", "add", "c", path, *strict)
    assert result.exit_code == 3
    assert result.stderr.startswith(
        "error: open.csv: a quote opened in the row of line 101 is still open in line 301\n"
    )
    assert run("corpus", "ls", "--format", "quiet").stdout == ""


def test_a_quoted_field_of_many_lines_over_the_size_bound_is_a_quote_never_closed(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MAX_TEXT_BYTES", 1000)
    (tmp_path / "a.csv").write_text('id,text\n1,"open\n' + "2,next row\n" * 200 + '3,"x"\n')
    with pytest.raises(DataError, match=r"a\.csv: a quote opened in the row of line 2 is still open in line 9\d"):
        add_corpus(catalog, "c", [str(tmp_path / "a.csv")], Fields(key="id"))
    (tmp_path / "b.csv").write_text(f'id,text\n1,"{"x" * 2000}"\n2,next row\n')
    add_corpus(catalog, "c", [str(tmp_path / "b.csv")], Fields(key="id"))
    assert rejects_of(catalog, "c") == [("b.csv", 2, "over 0 MiB")]


def test_a_broken_csv_row_of_several_lines_says_which(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        'id,text\n1,"two\nlines, and a ""quoted"" word"\n2,"5 inches\n3,taken along\n4,"7 inches\n5,"one\ntwo",three\n'
        '6,"said "so" once"\n\n7,"fine"'
    )
    add_corpus(catalog, "c", [str(path)], Fields(key="id"))
    texts = dict(zip(*read_texts(catalog, get_corpus(catalog, "c")), strict=True))
    found = {key: texts[doc_id.bytes] for key, doc_id in query(catalog, "select key, doc_id from documents")}
    assert found == {"1": 'two\nlines, and a "quoted" word', "7": "fine"}
    assert rejects_of(catalog, "c") == [
        ("a.csv", 4, "broken CSV, lines 4 to 6: ',' expected after '\"'"),
        ("a.csv", 7, "broken CSV, lines 7 to 8: 3 fields, the header has 2"),
        ("a.csv", 9, "broken CSV: ',' expected after '\"'"),
    ]


@given(
    st.lists(st.tuples(*[st.tuples(st.text('",\t\r\n ab'), st.booleans(), st.sampled_from(["", " ", "  "]))] * 2)),
    st.sampled_from(["a.csv", "a.tsv"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_blanks_after_a_closing_quote_of_a_csv_are_no_part_of_the_field(
    rows: list[tuple[tuple[str, bool, str], ...]], name: str, end: str
) -> None:
    def written(text: str, quoted: bool, blanks: str) -> str:
        bare = not quoted and text and not set(text) & set('",\t\r\n')
        return text if bare else f'"{text.replace(chr(34), 2 * chr(34))}"{blanks}'

    delimiter = "\t" if name == "a.tsv" else ","
    lines = [f'"id" {delimiter}"text" ', *(delimiter.join(written(*field) for field in row) for row in rows)]
    found = readers._read_csv(io.BytesIO(end.join(lines).encode()), name, lambda: None)
    records = [row.record for block in found for row in block]
    assert records == [{"id": row[0][0], "text": row[1][0]} for row in rows]


def test_a_row_with_more_than_blanks_after_a_quote_is_refused_and_takes_no_other_row_along(
    catalog: Catalog, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        'id,text\n1,"a" b\n2,"x" ,"y" z,"\n3,"two\nlines" \n4,"5 inches\n5,"7 inches" \n6,"said ""so"" , once" '
    )
    add_corpus(catalog, "c", [str(path)], Fields(key="id"))
    texts = dict(zip(*read_texts(catalog, get_corpus(catalog, "c")), strict=True))
    found = {key: texts[doc_id.bytes] for key, doc_id in query(catalog, "select key, doc_id from documents")}
    assert found == {"3": "two\nlines", "6": 'said "so" , once'}
    assert rejects_of(catalog, "c") == [
        ("a.csv", 2, "broken CSV: ',' expected after '\"'"),
        ("a.csv", 3, "broken CSV: ',' expected after '\"'"),
        ("a.csv", 6, "broken CSV, lines 6 to 7: ',' expected after '\"'"),
    ]


def test_a_csv_header_that_cannot_be_read_is_one_error(run: Callable[..., Result], tmp_path: Path) -> None:
    for name, text in (("a.csv", 'id,"text\n1,x\n'), ("b.csv", 'id,"te"xt\n1,x\n')):
        (tmp_path / name).write_text(text)
        result = run("corpus", "add", "c", tmp_path / name)
        assert result.exit_code == 3
        assert result.stderr.startswith(f"error: {name}: ")


def test_a_row_over_the_size_bound_is_rejected_without_being_held(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    with path.open("wb") as out:
        out.write(b'{"text":"short"}\n{"text":"')
        for _ in range(66):
            out.write(b"x" * (1 << 20))
        out.write(b'"}\n{"text":"after"}\n')
    result = add_corpus(catalog, "c", [str(path)], Fields())
    assert (result.documents, result.rejected) == (2, 1)


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv", "hf"])
def test_long_texts_come_a_few_at_a_time_whatever_the_format(tmp_path: Path, kind: str) -> None:
    texts = [f"{i} " + "long " * 20_000 for i in range(60)]  # 100 kB each: by rows alone they would all come at once
    path = tmp_path / f"books.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    elif kind == "parquet":
        pq.write_table(pa.table({"text": texts}), path, row_group_size=50)
    elif kind == "csv":
        path.write_text("text\n" + "\n".join(texts) + "\n")
    else:
        datasets.Dataset.from_dict({"text": texts}).save_to_disk(str(path))
    [source] = discover([str(path)])
    blocks = list(read(source, lambda n_bytes: None))
    first_line = 2 if kind == "csv" else 1
    rows = [row for block in blocks for row in block]
    assert [(row.line - first_line, row.record and row.record["text"]) for row in rows] == list(enumerate(texts))
    assert max(len(block) for block in blocks) <= 4


@pytest.mark.parametrize("named", ["{}", "hf:{}", "{}/held", "hf:{}::held", "hf:{}:default:held"])
def test_a_saved_dataset_is_read_with_and_without_its_prefix(tmp_path: Path, named: str) -> None:
    rows = datasets.Dataset.from_dict({"text": ["one", "two"]})
    held = datasets.DatasetDict({"train": rows, "held": rows.select([1])}) if "held" in named else rows
    held.save_to_disk(str(tmp_path / "saved"))
    [source] = discover([named.format(tmp_path / "saved")])
    texts = [row.record and row.record["text"] for rows in read(source, lambda n_bytes: None) for row in rows]
    assert texts == (["two"] if "held" in named else ["one", "two"])
    assert "/" not in source.name


def test_a_field_that_no_row_has_is_pointed_out(run: Callable[..., Result], write_jsonl: Any) -> None:
    path = write_jsonl("a.jsonl", [{"text": "one"}, {"text": "two", "who": "north", "label": None}])
    added = run("corpus", "add", "c", path, "--subgroup-field", "wo", "--meta-fields", "labl,who,label")
    assert added.exit_code == 0
    assert added.stderr == "no row has the field 'wo' or 'labl': check the spelling\n"


def test_lines_of_any_length_come_whole_or_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "BLOCK_BYTES", 16)
    monkeypatch.setattr(json_rows, "MAX_TEXT_BYTES", 2**20)
    lengths = [0, 5, 15, 16, 17, 40, 2**20, 2**21, 3, 200]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": "x" * n}) for n in lengths))
    [source] = discover([str(path)])
    rows = [row for block in read(source, lambda n_bytes: None) for row in block]
    read_back = [None if row.record is None else len(row.record["text"]) for row in rows]
    assert read_back == [None if n >= 2**20 else n for n in lengths]


def test_the_same_key_and_text_twice_is_kept_once_and_said(catalog: Catalog, write_jsonl: Any) -> None:
    path = write_jsonl("a.jsonl", [*RECORDS, RECORDS[0]])
    result = add_corpus(catalog, "c", [str(path)], FIELDS)
    assert (result.documents, result.rejected) == (3, 1)


def test_strict_refuses_any_bad_row_and_changes_nothing(run: Callable[..., Result], write_jsonl: Any) -> None:
    path = write_jsonl("a.jsonl", [{"text": "ok"}, {"text": 1}])
    result = run("corpus", "add", "c", path, "--strict")
    assert result.exit_code == 3
    assert "1 bad rows" in result.stderr
    assert run("corpus", "ls", "--format", "quiet").stdout == ""


def test_adding_the_same_data_again_is_a_no_op_that_says_so(run: Callable[..., Result], write_jsonl: Any) -> None:
    path = write_jsonl("a.jsonl", RECORDS)
    first = run("corpus", "add", "c", path, "--key-field", "id")
    again = run("corpus", "add", "c", path, "--key-field", "id")
    assert first.stdout.startswith("added c@1")
    assert again.stdout.startswith("unchanged: c@1")
    changed = run("corpus", "add", "c", path, "--key-field", "id", "--origin", "human")
    assert changed.stdout.startswith("added c@2")


def test_other_data_is_a_new_version_and_the_old_one_stays_readable(catalog: Catalog, write_jsonl: Any) -> None:
    add_corpus(catalog, "c", [str(write_jsonl("a.jsonl", RECORDS))], FIELDS)
    add_corpus(catalog, "c", [str(write_jsonl("b.jsonl", RECORDS[:1]))], FIELDS)
    assert query(catalog, "select corpus, version, documents from corpora order by version") == [
        ("c", 1, 3),
        ("c", 2, 1),
    ]
    assert query(catalog, "select count(*) from documents") == [(1,)]
    assert len(read_texts(catalog, get_corpus(catalog, "c@1"))[1]) == 3
    assert read_texts(catalog, get_corpus(catalog, "c"))[1] == ["The cat sat."]


def test_declared_origins_set_the_generation_where_it_is_known(catalog: Catalog, write_jsonl: Any) -> None:
    rows = [
        {"text": "h", "label": 0},
        {"text": "m", "label": 1},
        {"text": "u", "label": None},
        {"text": "x", "label": 7},
    ]
    fields = Fields(origin="label", origin_map={"0": Origin.HUMAN, "1": Origin.MODEL})
    result = add_corpus(catalog, "c", [str(write_jsonl("a.jsonl", rows))], fields)
    assert result.rejected == 1
    found = query(catalog, "select origin, generation, generation_max, human_ancestry from documents order by key")
    assert found == [("human", 0, 0, 1.0), ("model", 1, None, None), ("unknown", None, None, None)]


def test_a_document_is_as_deep_as_its_own_origin_and_generator_say(catalog: Catalog, write_jsonl: Any) -> None:
    said = [(o, g) for o in ("human", "model", "mixed", None) for g in ("m", None)]
    rows = [{"id": f"{o} {g} {i}", "text": "t", "o": o, "g": g} for i in range(3) for o, g in said]
    fields = Fields(key="id", origin="o", generator="g")
    add_corpus(catalog, "c", [str(write_jsonl("a.jsonl", rows))], fields)
    found = query(catalog, "select key, generation, generation_max, human_ancestry from documents")
    depths = {("human", "m"): (0, 0, 1.0), ("human", None): (0, 0, 1.0), ("mixed", None): (None, None, None)}
    depths[None, None] = (None, None, None)
    expected = {f"{o} {g} {i}": depths.get((o, g), (1, None, None)) for i in range(3) for o, g in said}
    assert {key: depth for key, *depth in found} == {key: list(depth) for key, depth in expected.items()}


def test_stripped_characters_become_evidence(catalog: Catalog, write_jsonl: Any) -> None:
    path = write_jsonl("a.jsonl", [{"text": "wa\u200bter"}, {"text": "plain"}])
    result = add_corpus(catalog, "c", [str(path)], Fields())
    assert result.stripped_documents == 1
    rows = query(catalog, "select kind, name, score, details->>'zero_width' from evidence")
    assert rows == [("hygiene", "invisible_characters", 1.0, "1")]


@pytest.mark.parametrize("key", [10, "ten"])
def test_a_duplicate_is_named_by_its_line_and_leaves_no_evidence(catalog: Catalog, write_jsonl: Any, key: Any) -> None:
    rows = [{"id": 1, "text": "first"}, {"id": key, "text": "sec\u200bond"}, {"id": key, "text": "s\u200bec\u200bond"}]
    result = add_corpus(catalog, "c", [str(write_jsonl("a.jsonl", rows))], FIELDS)
    assert rejects_of(catalog, "c") == [("a.jsonl", 3, f"duplicate: key '{key}' and text occur twice")]
    assert query(catalog, "select kind, score from evidence") == [("hygiene", 1.0)]
    assert result.stripped_documents == 1


def test_a_corrupt_parquet_file_is_one_error_and_adds_nothing(run: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1 this is not parquet PAR1")
    result = run("corpus", "add", "c", path)
    assert result.exit_code == 3
    assert result.stderr.startswith("error: broken.parquet")
    assert "hint:" in result.stderr
    assert run("corpus", "ls", "--format", "quiet").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["c", "missing.jsonl"], 2, "missing.jsonl"),
        (["Bad Name", "{path}"], 2, "Bad Name"),
        (["c", "{path}", "--text-field", "body"], 3, "body"),
        (["c", "{path}", "--origin-map", "1=robot"], 2, "1=robot"),
        (["c", "{path}", "--origin", "robot"], 2, "robot"),
        (["c", "{empty}"], 3, "no rows"),
        (["c", "{binary}"], 2, "data.bin"),
    ],
)
def test_bad_input_is_one_error_with_a_hint(
    run: Callable[..., Result], tmp_path: Path, arguments: list[str], exit_code: int, says: str
) -> None:
    paths = {name: tmp_path / f"data.{suffix}" for name, suffix in (("path", "jsonl"), ("binary", "bin"))}
    paths["empty"] = tmp_path / "empty.jsonl"
    for path in paths.values():
        path.write_text('{"text":"x"}\n' if "empty" not in path.name else "")
    result = run("corpus", "add", *(a.format(**paths) for a in arguments))
    assert result.exit_code == exit_code
    assert says in result.stderr
    assert "hint:" in result.stderr
    assert run("corpus", "ls", "--format", "quiet").stdout == ""


def test_a_dry_run_reads_everything_and_writes_nothing(run: Callable[..., Result], write_jsonl: Any) -> None:
    result = run("corpus", "add", "c", write_jsonl("a.jsonl", RECORDS), "--dry-run")
    assert result.stdout.startswith("would add c: 3 documents")
    assert run("log", "--format", "quiet").stdout == ""


def test_texts_are_found_by_id_across_shards(
    catalog: Catalog, write_jsonl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provenance.corpus.writer.SHARD_BYTES", 40_000)
    monkeypatch.setattr("provenance.corpus.json_rows.BLOCK_BYTES", 10_000)
    rows = [{"id": i, "text": f"document number {i} " * 40} for i in range(400)]
    add_corpus(catalog, "c", [str(write_jsonl("a.jsonl", rows))], Fields(key="id"))
    assert query(catalog, "select count(*) from texts") == [(400,)]
    assert len(list((catalog.root / "corpora").rglob("*.parquet"))) > 3
    wanted = dict(query(catalog, "select doc_id, key from documents order by hash(doc_id) limit 25"))
    found = texts_by_id(catalog, wanted)
    assert {i: t.split()[2] for i, t in found.items()} == wanted
    info = get_corpus(catalog, "c")
    total = sum(batch.num_rows for batch in iter_texts(catalog, info, batch_size=64))
    assert total == 400
    unknown = [bytes(16), bytes([255]) * 16]
    for some in ([], unknown, [i.bytes for i in wanted] + unknown):
        batches = list(iter_texts(catalog, info, batch_size=64, wanted=pa.array(some, pa.binary(16))))
        ids = [doc_id for batch in batches for doc_id in batch["doc_id"].to_pylist()]
        assert sorted(ids) == sorted(i for i in wanted if i.bytes in some)
        assert all(batch.num_rows for batch in batches)


def test_a_corpus_is_described_by_its_origins_groups_and_dates(run: Callable[..., Result], write_jsonl: Any) -> None:
    rows = [
        {"text": f"text {i}", "who": "model" if i % 3 else "human", "y": 2000 + i, "g": "ab"[i % 2]} for i in range(6)
    ]
    fields = ["--origin-field", "who", "--date-field", "y", "--subgroup-field", "g"]
    assert run("corpus", "add", "c", write_jsonl("c.jsonl", rows), *fields).exit_code == 0
    shown = json.loads(run("corpus", "show", "c", "--json").stdout)
    assert shown["corpus"] == "c@1"
    assert (shown["documents"], shown["distinct_texts"], shown["words"]) == (6, 6, 12)
    assert shown["origin"] == {"model": 4, "human": 2}
    assert shown["subgroups"] == {"a": 3, "b": 3}
    assert shown["dates"] == "2000-01-01 to 2005-01-01"
    assert run("corpus", "show", "c").stdout.splitlines()[0].split() == ["corpus", "c@1"]


def test_removing_a_corpus_deletes_texts_and_keeps_hashes(
    run: Callable[..., Result], catalog: Catalog, write_jsonl: Any
) -> None:
    add_corpus(catalog, "c", [str(write_jsonl("a.jsonl", RECORDS))], FIELDS)
    doc_id = query(catalog, "select doc_id from documents limit 1")[0][0]
    assert run("corpus", "rm", "c").exit_code == 0
    assert list((catalog.root / "corpora").rglob("*.parquet")) == []
    assert query(catalog, "select count(*) from documents") == [(0,)]
    shown = json.loads(run("corpus", "show", f"doc:{doc_id}", "--json").stdout)
    assert shown["removed"] is True


@given(st.lists(st.text(alphabet=st.sampled_from("ab \n\té")).map(str.encode), max_size=8))
def test_words_are_counted_as_splitting_on_ascii_space_does(texts: list[bytes]) -> None:
    assert count_words(texts).tolist() == [len(text.split()) for text in texts]
    assert count_words(texts).dtype == np.int32


_LETTERS = ["a", "é", "e", "\u0301", "\u2019", " ", "\r", "\n", "\0", "\u200b", "\ufe0f", "م"]
_VALUES = st.one_of(
    st.text(alphabet=st.sampled_from(_LETTERS)),
    st.sampled_from([None, 0, 7, 1.5, True, ["list"], {"a": 1}, "human", "model", "\ud800", "2001-02"]),
)
_ROWS = st.lists(
    st.dictionaries(st.sampled_from(["text", "id", "when", "who", "label", "extra"]), _VALUES), max_size=12
)
_EVERY_FIELD = Fields(
    key="id", date="when", subgroup="who", language="extra", origin="label", generator="who", meta=("extra",)
)


@given(_ROWS, st.sampled_from([Fields(), Fields(key="id"), FIELDS, _EVERY_FIELD]))
def test_what_becomes_of_a_row_does_not_hang_on_the_rows_around_it(records: list[Any], fields: Fields) -> None:
    rows = [Row("f.jsonl", line, record) for line, record in enumerate(records, 1)]
    together, apart = prepare("c", rows, fields), Prepared()
    for row in rows:
        apart.extend(prepare("c", [row], fields))
    assert together == apart
    # The plain way, step by step and without the quick look that spares most texts the careful cleaning.
    plain = []
    for row in rows:
        assert row.record is not None
        text = row.record.get("text")
        if isinstance(text, str) and f"f.jsonl:{row.line}" not in {f"{r.file}:{r.line}" for r in together.rejects}:
            key = f"f.jsonl:{row.line}" if fields.key is None else str(row.record["id"]).replace("\0", "")
            kept, found = clean(text)
            digest = ids.sha256_text(kept)
            doc_id = ids.document_id("c", key, digest).bytes
            plain.append((doc_id, key, kept.encode(), digest, len(kept), None if found is None else found.total))
    stripped = dict(zip(together.doc_id, (what and what[0] for what in together.stripped), strict=True))
    columns = (together.doc_id, together.key, together.text, together.text_sha256, together.n_chars)
    assert [(*row, stripped.get(row[0])) for row in zip(*columns, strict=True)] == plain
    for column in (together.created_at, together.language, together.subgroup, together.meta, together.declared_origin):
        assert len(column) in {0, len(plain)}


@given(st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=30), max_size=12))
def test_an_id_is_new_once_whichever_batch_it_came_in(batches: list[list[int]]) -> None:
    seen, known = _Seen(), set[int]()
    for batch in batches:
        # Ids that share their first eight bytes too, which sorted arrays alone would not tell apart.
        raw = np.frombuffer(b"".join((n // 3).to_bytes(8) + n.to_bytes(8) for n in batch), np.uint8).reshape(-1, 16)
        new = [i for i, n in enumerate(batch) if n not in known and n not in batch[:i]]
        order, repeated = seen.split(raw)
        assert order.tolist() == sorted(new, key=lambda i: batch[i])
        assert repeated.tolist() == [i for i in range(len(batch)) if i not in new]
        known.update(batch)


def test_a_field_of_the_wrong_type_is_one_reject_and_the_other_rows_stay(catalog: Catalog, write_jsonl: Any) -> None:
    rows = [{"text": "a", "who": ["list"]}, {"text": "b", "who": "north"}, {"text": "c", "who": None}]
    result = add_corpus(catalog, "c", [str(write_jsonl("a.jsonl", rows))], Fields(subgroup="who"))
    assert (result.documents, result.rejected) == (2, 1)
    assert query(catalog, "select subgroup from documents order by key") == [("north",), (None,)]


KILLED = """
import os, signal, sys
from pathlib import Path
from provenance.catalog.store import Catalog
from provenance.corpus import ingest, writer
from provenance.corpus.prepare import Fields
from provenance.catalog import corpora
point, root, data = sys.argv[1:]
def die(*a, **k): os.kill(os.getpid(), signal.SIGKILL)
def after(f):
    def g(*a, **k):
        f(*a, **k)
        die()
    return g
if point == "reading": ingest.prepare = die
elif point == "shard": writer.CorpusWriter._write_shard = after(writer.CorpusWriter._write_shard)
elif point == "published": ingest.publish = after(ingest.publish)
elif point == "rows": ingest.insert_corpus = after(ingest.insert_corpus)
ingest.add_corpus(Catalog.open(Path(root)), "c", [data], Fields(key="id"))
"""


@pytest.mark.parametrize("point", ["reading", "shard", "published", "rows"])
def test_a_kill_at_any_step_leaves_nothing_and_the_same_command_finishes(
    catalog: Catalog, run: Callable[..., Result], write_jsonl: Any, point: str
) -> None:
    path = write_jsonl("a.jsonl", RECORDS)
    done = subprocess.run([sys.executable, "-c", KILLED, point, str(catalog.root), str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert run("corpus", "ls", "--format", "quiet").stdout == ""
    assert "interrupted" in run("status").stdout
    assert run("corpus", "add", "c", path, "--key-field", "id").stdout.startswith("added c@1: 3 documents")
    cleaned = run("doctor")
    assert cleaned.exit_code == 0
    assert run("doctor").stdout.startswith("1 files checked, 0 leftovers, 0 interrupted")
    assert len(list((catalog.root / "corpora" / "c").iterdir())) == 1


def test_a_hub_name_with_too_many_parts_is_refused(catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="a:b:c:d"):
        add_corpus(catalog, "c", ["hf:a:b:c:d"], Fields())


def test_a_truncated_gzip_file_is_one_error(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl.gz"
    whole = gzip.compress(b"".join(json.dumps({"text": os.urandom(30).hex()}).encode() + b"\n" for _ in range(2000)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.jsonl\.gz"):
        add_corpus(catalog, "c", [str(path)], Fields())


def test_a_hub_dataset_is_streamed_by_name(catalog: Catalog, tmp_path: Path, write_jsonl: Any) -> None:
    # A folder stands for the hub: the library resolves both the same way, and tests have no network.
    folder = tmp_path / "repo"
    folder.mkdir()
    write_jsonl("repo/train.jsonl", RECORDS)
    result = add_corpus(catalog, "c", [f"hf:{folder}::train"], Fields(key="id"))
    assert result.documents == 3
    with pytest.raises(DataError, match="split"):
        add_corpus(catalog, "c", [f"hf:{folder}::nosuch"], Fields(key="id"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2000", "2000-01-01 00:00:00"),
        (2000, "2000-01-01 00:00:00"),
        ("2000-06", "2000-06-01 00:00:00"),
        ("2000-06-13", "2000-06-13 00:00:00"),
        ("2000-06-13T01:00:00+02:00", "2000-06-12 23:00:00"),
        ("13-Jun-2000", "2000-06-13 00:00:00"),
        ("3 June 2000", "2000-06-03 00:00:00"),
        ("", None),
        (None, None),
    ],
)
def test_dates_are_read_as_utc(catalog: Catalog, write_jsonl: Any, value: object, expected: str | None) -> None:
    add_corpus(catalog, "c", [str(write_jsonl("a.jsonl", [{"text": "x", "when": value}]))], Fields(date="when"))
    assert query(catalog, "select created_at::VARCHAR from documents") == [(expected,)]


@pytest.mark.parametrize("value", ["yesterday", "31-Foo-2000", "31-Feb-2000", "2000-13", 20000, ["2000"]])
def test_what_is_no_date_is_a_reject_that_says_so(catalog: Catalog, write_jsonl: Any, value: object) -> None:
    path = write_jsonl("a.jsonl", [{"text": "x", "when": value}, {"text": "y", "when": "2000"}])
    assert add_corpus(catalog, "c", [str(path)], Fields(date="when")).rejected == 1

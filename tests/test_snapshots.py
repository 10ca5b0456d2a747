"""Snapshots, what differs between them, and writing one out as it was."""

import json
from contextlib import suppress

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from provenance import tables
from provenance.catalog.corpora import list_corpora
from provenance.catalog.differences import count_by_reason, diff
from provenance.catalog.snapshots import create_snapshot, get_snapshot, list_snapshots, snapshot_root
from provenance.catalog.store import Catalog
from provenance.catalog.tags import write_tags
from provenance.corpus.ingest import add_corpus
from provenance.corpus.prepare import Fields
from provenance.errors import CatalogLockedError, ConfigError, NotFoundError, UsageError
from provenance.lineage.checkout import checkout
from provenance.types import Origin


def add(catalog, write_jsonl, name, texts: dict[str, str], origin=Origin.HUMAN):
    path = write_jsonl(f"{name}.jsonl", [{"id": key, "text": text} for key, text in texts.items()])
    add_corpus(catalog, name, [str(path)], Fields(key="id"), origin=origin)


def tag(catalog, key: str, origin: str, p_model: float):
    with catalog.activity("tag run", {}) as activity, activity.commit() as con:
        doc = con.execute("SELECT doc_id FROM documents WHERE key = ?", [key]).fetchall()[0][0]
        rows = pa.table({"doc_id": tables.uuids([doc.bytes]), "origin": [origin], "p_model": [p_model],
                         "basis": ["inferred"], "rule": ["p_model >= 0.9"]})  # fmt: skip
        write_tags(con, rows, activity)


@pytest.fixture
def two(catalog, write_jsonl):
    """Snapshots a and b; between them a corpus got a new version, another came, and a tag changed."""
    add(catalog, write_jsonl, "web", {"1": "one", "2": "two", "3": "three", "4": "four"})
    tag(catalog, "1", "human", 0.1)
    create_snapshot(catalog, "a", note="before")
    add(catalog, write_jsonl, "web", {"1": "one", "2": "two, edited", "33": "three", "5": "five"})
    add(catalog, write_jsonl, "new", {"x": "ex"}, Origin.MODEL)
    tag(catalog, "1", "model", 0.95)
    create_snapshot(catalog, "b")
    return catalog


def test_a_diff_of_snapshots_says_what_entered_left_and_was_retagged_and_why(two):
    found = diff(two, "snapshot:a", "snapshot:b")
    assert {(d.corpus, d.key, d.change, d.reason) for d in found} == {
        ("web", "2", "left", "text changed"),
        ("web", "2", "entered", "text changed"),
        ("web", "3", "left", "same text, other key"),
        ("web", "33", "entered", "same text, other key"),
        ("web", "4", "left", "not in the newer source"),
        ("web", "5", "entered", "not in the older source"),
        ("new", "x", "entered", "its corpus is new"),
        ("web", "1", "retagged", "tag run: human (inferred) to model (inferred, p_model >= 0.9)"),
    }
    assert count_by_reason(found)["left", "text changed"] == 1
    assert diff(two, "snapshot:a", "snapshot:a") == []
    assert {d.change for d in diff(two, "snapshot:b", "snapshot:a")} == {"entered", "left", "retagged"}


def test_a_diff_of_versions_says_what_was_described_otherwise(catalog, write_jsonl):
    add(catalog, write_jsonl, "web", {"1": "one", "2": "two"})
    add(catalog, write_jsonl, "web", {"1": "one", "2": "two"}, Origin.MIXED)
    assert {(d.change, d.reason) for d in diff(catalog, "web@1", "web@2")} == {
        ("redescribed", "another origin declared: mixed")
    }
    assert diff(catalog, "web@2", "web") == []
    with pytest.raises(UsageError, match="not of one kind"):
        diff(catalog, "web@1", "snapshot:a")
    with pytest.raises(NotFoundError, match="no snapshot named 'z'"):
        diff(catalog, "snapshot:z", "snapshot:z")


def test_a_snapshot_holds_no_corpus_that_its_ledger_entry_has_not_seen(catalog, write_jsonl, monkeypatch):
    add(catalog, write_jsonl, "web", {"1": "one"})

    def another_comes_first(catalog):
        with suppress(CatalogLockedError):
            add(Catalog(catalog.root, wait_seconds=0), write_jsonl, "new", {"x": "ex"})
        return list_corpora(catalog)

    monkeypatch.setattr("provenance.catalog.snapshots.list_corpora", another_comes_first)
    found = create_snapshot(catalog, "s")
    assert ([part["corpus"] for part in found.corpora], found.ledger_seq) == (["web"], 1)


def test_a_root_stands_for_corpora_and_ledger_alone(two):
    a, b = get_snapshot(two, "a"), get_snapshot(two, "snapshot:b")
    assert [s.name for s in list_snapshots(two)] == ["a", "b"]
    assert a.root != b.root
    assert a.root == snapshot_root(a.corpora, a.ledger_seq, a.ledger_sha256)
    assert [(c["corpus"], c["version"]) for c in b.corpora] == [("new", 1), ("web", 2)]
    assert a.note == "before"


def test_a_name_is_used_once(two):
    for name, message in (("a", "already"), ("A b", "cannot name a snapshot"), ("", "cannot name")):
        with pytest.raises(ConfigError, match=message):
            create_snapshot(two, name)
    create_snapshot(two, "c", dry_run=True)
    assert len(list_snapshots(two)) == 2


def test_a_checkout_has_the_texts_and_tags_of_that_moment(two, tmp_path):
    written = checkout(two, "a", tmp_path / "out")
    assert [(file, rows) for file, rows, _ in written] == [("web@1.parquet", 4)]
    rows = {row["key"]: row for row in pq.read_table(tmp_path / "out" / "web@1.parquet").to_pylist()}
    assert (rows["1"]["origin"], rows["1"]["p_model"], rows["1"]["basis"]) == ("human", 0.1, "inferred")
    assert (rows["2"]["text"], rows["2"]["origin"], rows["2"]["basis"]) == ("two", "human", "declared")
    manifest = orjson.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert manifest["root"] == get_snapshot(two, "a").root
    assert manifest["files"][0]["sha256"] == written[0][2]
    with pytest.raises(ConfigError, match="exists already"):
        checkout(two, "a", tmp_path / "out")


def test_a_corpus_version_that_a_snapshot_names_is_not_removed(two, run, tmp_path):
    refused = run("corpus", "rm", "web@1")
    assert refused.exit_code == 2
    assert "web@1 is part of snapshot:a, which could not be made again without it" in refused.stderr
    assert "--force" in refused.stderr
    assert run("corpus", "rm", "web@1", "--dry-run").exit_code == 2
    assert run("snapshot", "checkout", "a", tmp_path / "out").exit_code == 0


def test_texts_that_must_go_go_and_the_catalog_says_that_they_did(two, run, tmp_path):
    for version in ("web@2", "web@1"):
        assert run("corpus", "rm", version, "--force").exit_code == 0
    assert not list(two.root.glob("corpora/web*/**/*.parquet"))
    refused = run("snapshot", "checkout", "a", tmp_path / "out")
    assert refused.exit_code == 2
    assert "corpus web@1 was removed on " in refused.stderr
    assert run("verify").exit_code == 0


def test_an_empty_catalog_can_be_named_and_compared(catalog):
    create_snapshot(catalog, "nothing")
    assert get_snapshot(catalog, "nothing").corpora == []
    assert diff(catalog, "snapshot:nothing", "snapshot:nothing") == []


def test_the_commands(two, run, tmp_path):
    assert json.loads(run("snapshot", "ls", "--json").stdout)["rows"][0]["snapshot"] == "a"
    assert "web@1: 4 documents" in run("snapshot", "show", "a").stdout
    assert "retagged" in run("snapshot", "diff", "a", "b").stdout
    assert run("diff", "web@1", "web@2", "--exit-code").exit_code == 1
    assert run("diff", "web@1", "web@1", "--exit-code").exit_code == 0
    assert "entered" in run("diff", "web@1", "web@2", "--documents").stdout
    assert run("snapshot", "create", "c", "--dry-run").exit_code == 0
    assert run("snapshot", "keygen", tmp_path / "k").exit_code == 0
    assert (tmp_path / "k").stat().st_mode & 0o077 == 0
    assert run("snapshot", "keygen", tmp_path / "k").exit_code == 2
    assert run("snapshot", "sign", "a", "--key", tmp_path / "k.pub").exit_code == 3
    assert run("snapshot", "sign", "a", "--key", tmp_path / "k").exit_code == 0
    assert json.loads(run("snapshot", "ls", "--json").stdout)["rows"][0]["signed"] is True
    assert run("snapshot", "checkout", "b", tmp_path / "out").exit_code == 0

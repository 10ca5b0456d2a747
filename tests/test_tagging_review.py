"""Human verdicts from the command line, and what they do to tags."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pytest
from click.testing import Result

from provenance import tables
from provenance.catalog.evidence import add_evidence
from provenance.catalog.store import Catalog
from provenance.catalog.tags import write_tags
from provenance.tagging.review import _kappa

Run = Callable[..., Result]


@pytest.fixture
def reviewed(run: Run, write_jsonl: Callable[..., Path]) -> Run:
    """A corpus of four documents, one declared human."""
    rows = [{"id": f"k{i}", "text": f"Text number {i}.", "who": "human" if i == 0 else None} for i in range(4)]
    run("corpus", "add", "web", write_jsonl("web.jsonl", rows), "--key-field", "id", "--origin-field", "who")
    return run


def ids(catalog: Catalog) -> dict[str, str]:
    with catalog.read() as con:
        return {key: str(doc) for key, doc in con.execute("SELECT key, doc_id FROM documents").fetchall()}


def tags(catalog: Catalog) -> dict[str, tuple[str, str]]:
    with catalog.read() as con:
        rows = con.execute("SELECT key, origin, basis FROM tags").fetchall()
    return {key: (origin, basis) for key, origin, basis in rows}


def test_a_verdict_overrules_a_declaration_and_leaves_the_queue(reviewed: Run, catalog: Catalog) -> None:
    assert len(json.loads(reviewed("review", "queue", "web", "--json").stdout)["rows"]) == 4
    done = reviewed("tag", "set", f"doc:{ids(catalog)['k0']}", "model", "--reviewer", "ann")
    assert done.exit_code == 0, done.output
    assert tags(catalog)["k0"] == ("model", "reviewed")
    assert len(json.loads(reviewed("review", "queue", "web", "--json").stdout)["rows"]) == 3


def test_a_verdict_given_by_a_program_answers_in_json(reviewed: Run, catalog: Catalog) -> None:
    doc_id = ids(catalog)["k0"]
    done = json.loads(reviewed("tag", "set", f"doc:{doc_id}", "model", "--reviewer", "ann", "--json").stdout)
    assert done.pop("schema") == "provenance.tag.set/1"
    assert done == {"doc_id": doc_id, "verdict": "model", "reviewer": "ann", "changed": 1}


def test_exported_documents_come_back_as_verdicts(reviewed: Run, catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "queue.jsonl"
    assert reviewed("review", "export", "web", path).exit_code == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert {row["text"] for row in rows} == {f"Text number {i}." for i in range(4)}
    said = {"k1": "human", "k2": "mixed", "k3": ""}
    path.write_text("".join(json.dumps(row | {"verdict": said.get(row["key"], "model")}) + "\n" for row in rows))
    done = json.loads(reviewed("review", "import", path, "--reviewer", "bob", "--json").stdout)
    assert done == {"schema": "provenance.review.import/1", "verdicts": 3, "changed": 3}
    assert tags(catalog) == {
        "k0": ("model", "reviewed"), "k1": ("human", "reviewed"), "k2": ("mixed", "reviewed"),
    }  # fmt: skip


def test_a_later_verdict_of_the_same_person_replaces_the_earlier(reviewed: Run, catalog: Catalog) -> None:
    doc = f"doc:{ids(catalog)['k1']}"
    reviewed("tag", "set", doc, "model", "--reviewer", "ann")
    reviewed("tag", "set", doc, "human", "--reviewer", "ann")
    assert tags(catalog)["k1"] == ("human", "reviewed")
    stats = json.loads(reviewed("review", "stats", "--json").stdout)
    assert (stats["documents"], stats["reviewers"]) == (1, {"ann": 1})


def test_of_two_verdicts_in_one_import_the_later_counts(reviewed: Run, catalog: Catalog, tmp_path: Path) -> None:
    path, doc = tmp_path / "v.jsonl", ids(catalog)["k1"]
    path.write_text("".join(json.dumps({"doc_id": doc, "verdict": said}) + "\n" for said in ("model", "human")))
    assert reviewed("review", "import", path, "--reviewer", "ann").exit_code == 0
    assert tags(catalog)["k1"] == ("human", "reviewed")
    assert json.loads(reviewed("review", "stats", "--json").stdout)["by_verdict"] == {"human": 1}


def test_what_contradicts_its_declaration_is_looked_at_first_and_then_the_least_certain(
    run: Run, catalog: Catalog, write_jsonl: Callable[..., Path]
) -> None:
    said = {  # declared origin, tagged origin, p_model
        "sure": ("human", "human", 0.99), "less": ("model", "model", 0.3), "half": ("human", "human", 0.5),
        "tagged": ("human", "model", 0.4), "fits": ("human", "human", 0.01), "open": (None, "unknown", 0.6),
        "blank": (None, None, None),
    }  # fmt: skip
    rows = [{"id": key, "text": f"Text {key}.", "who": who} for key, (who, _, _) in said.items()]
    run("corpus", "add", "web", write_jsonl("web.jsonl", rows), "--key-field", "id", "--origin-field", "who")
    known = {key: doc for key, doc in ids(catalog).items() if said[key][1] is not None}
    with catalog.activity("tag run", {}) as activity, activity.commit() as con:
        columns = {
            "origin": [said[key][1] for key in known], "p_model": [said[key][2] for key in known],
            "basis": ["declared" if said[key][0] else "inferred" for key in known], "rule": ["r"] * len(known),
        }  # fmt: skip
        write_tags(
            con, pa.table({"doc_id": tables.uuids([UUID(d).bytes for d in known.values()]), **columns}), activity
        )
    found = json.loads(run("review", "queue", "web", "--json").stdout)["rows"]
    assert [row["key"] for row in found] == ["sure", "less", "tagged", "half", "open", "blank", "fits"]
    assert [row["worth"] for row in found[:4]] == [1.99, 1.7, 1.4, 1.0]


def test_people_who_disagree_leave_the_document_open(reviewed: Run, catalog: Catalog) -> None:
    doc = f"doc:{ids(catalog)['k1']}"
    reviewed("tag", "set", doc, "model", "--reviewer", "ann")
    reviewed("tag", "set", doc, "human", "--reviewer", "bob")
    assert tags(catalog)["k1"][0] == "unknown"
    assert json.loads(reviewed("review", "stats", "--json").stdout)["twice"] == 1


def test_what_people_dispute_is_first_in_the_queue_and_the_export_until_enough_of_them_agree(
    reviewed: Run, catalog: Catalog, tmp_path: Path
) -> None:
    def queued() -> list[tuple[str, bool]]:
        rows = json.loads(reviewed("review", "queue", "web", "--json").stdout)["rows"]
        return [(row["key"], row["disputed"]) for row in rows]

    doc = f"doc:{ids(catalog)['k3']}"
    reviewed("tag", "set", doc, "model", "--reviewer", "ann")
    reviewed("tag", "set", doc, "human", "--reviewer", "bob")
    assert queued()[0] == ("k3", True)
    assert sorted(queued()[1:]) == [("k0", False), ("k1", False), ("k2", False)]
    assert json.loads(reviewed("review", "stats", "web", "--json").stdout)["disputed"] == 1
    path = tmp_path / "queue.jsonl"
    reviewed("review", "export", "web", path, "-n", "1")
    assert [json.loads(line)["disputed"] for line in path.read_text().splitlines()] == [True]
    for reviewer in ("cid", "dan", "eve"):
        reviewed("tag", "set", doc, "human", "--reviewer", reviewer)
    assert "k3" not in dict(queued())
    assert json.loads(reviewed("review", "stats", "web", "--json").stdout)["disputed"] == 0


def test_detectors_are_compared_with_verdicts_that_make_a_tag(reviewed: Run, catalog: Catalog) -> None:
    doc_id = ids(catalog)["k1"]
    columns = {"kind": ["detector"], "name": ["stack"], "version": ["1"], "score": [2.0], "log_lr": [2.0]}
    rows = pa.table({"doc_id": tables.uuids([UUID(doc_id).bytes]), **columns, "details": pa.nulls(1, pa.string())})
    with catalog.activity("test", {}) as activity, activity.commit() as con:
        add_evidence(con, rows.cast(tables.EVIDENCE), activity.activity_id)
    for reviewer, said in (("ann", "model"), ("bob", "model"), ("cid", "human")):
        reviewed("tag", "set", f"doc:{doc_id}", said, "--reviewer", reviewer)
    assert json.loads(reviewed("review", "stats", "--json").stdout)["model_agrees"] is None
    reviewed("tag", "set", f"doc:{doc_id}", "model", "--reviewer", "cid")
    assert json.loads(reviewed("review", "stats", "--json").stdout)["model_agrees"] == 1.0


def test_kappa_worked_out_by_hand() -> None:
    # Ann and Bob on four texts: agree on three. Chance: 3/4*2/4 + 1/4*2/4 = 1/2. Kappa = (3/4 - 1/2) / (1/2) = 1/2.
    votes = [{"ann": 1.0, "bob": 1.0}, {"ann": 1.0, "bob": 1.0}, {"ann": -1.0, "bob": -1.0}, {"ann": 1.0, "bob": -1.0}]
    assert _kappa(votes) == pytest.approx(0.5)
    assert _kappa([{"ann": 1.0}]) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", ":1: not a verdict"),
        ('{"verdict": "human"}', ":1: not a verdict"),
        ('{"doc_id": "00000000", "verdict": "robot"}', "verdict 'robot'"),
        ('{"doc_id": "00000000", "verdict": "human"}', "no document"),
    ],
)
def test_a_wrong_line_changes_nothing_and_is_named(
    reviewed: Run, catalog: Catalog, tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text(line + "\n")
    result = reviewed("review", "import", path, "--reviewer", "ann")
    assert result.exit_code in {2, 3}
    assert message in result.output
    assert tags(catalog) == {}


def test_a_dry_run_writes_nothing(reviewed: Run, catalog: Catalog, tmp_path: Path) -> None:
    doc = ids(catalog)["k1"]
    reviewed("tag", "set", f"doc:{doc}", "model", "--reviewer", "ann", "--dry-run")
    reviewed("review", "export", "web", tmp_path / "x.jsonl", "--dry-run")
    assert tags(catalog) == {}
    assert not (tmp_path / "x.jsonl").exists()

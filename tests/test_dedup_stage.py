"""`corpus dedup` on a catalog: reasons, increments, lineage, and what it refuses."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from provenance.catalog.query import run_query
from provenance.catalog.store import Catalog
from provenance.corpus.ingest import add_corpus
from provenance.corpus.prepare import Fields
from provenance.corpus.record import Recorded, record_corpus
from provenance.dedup.contamination import overlap_corpora
from provenance.dedup.keep import Keep
from provenance.dedup.stage import DedupResult, dedup_corpora
from provenance.errors import DataError, UsageError

FIELDS = Fields(key="id", date="date", origin="origin")


def passage(seed: int, n: int = 60) -> list[str]:
    rng = random.Random(seed)
    return [f"{rng.choice('bcdfgl')}{rng.choice('aeiou')}{rng.randrange(999)}" for _ in range(n)]


def near(seed: int, ending: str) -> str:
    """`passage(seed)` with another last word: 55 of 57 shingles in common."""
    return " ".join([*passage(seed)[:-1], ending])


@pytest.fixture
def add(catalog: Catalog, tmp_path: Path) -> Callable[..., None]:
    def adds(name: str, *records: tuple[Any, ...]) -> None:
        """Records are (id, text[, origin[, date]])."""
        path = tmp_path / f"{name}.jsonl"
        names = ("id", "text", "origin", "date")
        path.write_text("".join(json.dumps(dict(zip(names, r, strict=False))) + "\n" for r in records))
        add_corpus(catalog, name, [str(path)], FIELDS)

    return adds


def decisions(catalog: Catalog) -> dict[str, tuple[bool, str, str]]:
    """By key: kept, the key of the other document, reason."""
    rows = run_query(
        catalog,
        "SELECT d.key, n.kept, o.key, n.reason FROM near_duplicates n JOIN documents d USING (doc_id) "
        "JOIN documents o ON o.doc_id = n.other_id",
    ).rows
    return {key: (kept, other, reason) for key, kept, other, reason in rows}


def duplicates(catalog: Catalog) -> set[str]:
    return {key for (key,) in run_query(catalog, "SELECT key FROM documents JOIN duplicates USING (doc_id)").rows}


def test_a_human_original_is_kept_over_model_copies_and_every_choice_has_its_reason(catalog, add):
    add(
        "mixed",
        ("model", near(1, "m"), "model", "2020-01-01"),
        ("human", near(1, "h"), "human", "2023-01-01"),
        ("unsaid", near(1, "u"), None, "2019-01-01"),
        ("newer", near(2, "n"), "human", "2022-01-01"),
        ("older", near(2, "o"), "human", "2021-01-01"),
        ("undated", near(2, "x"), "human"),
        ("other model", near(3, "m"), "model"),
        ("nobody's", near(3, "n")),
        ("alone", near(4, "a")),
    )
    result = dedup_corpora(catalog, ["mixed"])
    decided = decisions(catalog)
    assert {key: why for key, why in decided.items() if not why[0]} == {
        "model": (False, "human", "copy_of_human"),
        "unsaid": (False, "human", "copy_of_human"),
        "newer": (False, "older", "newer_copy"),
        "undated": (False, "older", "undated_copy"),
        "other model": (False, "nobody's", "model_copy"),
    }
    kept = {key: why[2] for key, why in decided.items() if why[0]}
    assert kept == dict.fromkeys(("human", "older", "nobody's"), "first_choice")
    assert (result.documents, result.clusters, result.kept, result.set_aside) == (9, 3, 3, 5)
    assert duplicates(catalog) == {"model", "unsaid", "newer", "undated", "other model"}


def test_the_oldest_or_the_longest_can_be_kept_instead(catalog, add):
    add(
        "c",
        ("human", near(1, "h"), "human", "2023-01-01"),
        ("model", near(1, "much-longer-ending"), "model", "2020-01-01"),
    )
    assert dedup_corpora(catalog, ["c"]).reasons["copy_of_human"] == 1
    dedup_corpora(catalog, ["c"], keep=Keep.OLDEST)
    assert decisions(catalog)["human"] == (False, "model", "newer_copy")
    dedup_corpora(catalog, ["c"], keep=Keep.LONGEST)
    assert decisions(catalog)["human"] == (False, "model", "shorter_copy")


def test_a_tie_goes_to_the_lower_id_whatever_the_order(catalog, add):
    add("c", *((str(i), near(1, f"e{i}")) for i in range(6)))
    dedup_corpora(catalog, ["c"])
    ((kept,),) = run_query(catalog, "SELECT doc_id FROM near_duplicates WHERE kept").rows
    assert [(kept,)] == run_query(catalog, "SELECT min(doc_id) FROM documents").rows
    assert run_query(catalog, "SELECT DISTINCT cluster_id FROM near_duplicates").rows == [(kept,)]


def test_identical_texts_are_duplicates_and_listed_as_pairs(catalog, add):
    text = " ".join(passage(1))
    add("a", ("1", text), ("2", text + "\n"), ("3", near(2, "x")))
    add("b", ("4", text))
    dedup_corpora(catalog, ["a", "b"])
    assert len(duplicates(catalog)) == 2
    assert run_query(catalog, "SELECT count(*), min(jaccard) FROM near_duplicate_pairs").rows == [(2, 1.0)]


def test_documents_of_against_are_never_judged_and_win_but_not_over_a_human(catalog, add):
    add("old", ("o1", near(1, "a")), ("o2", near(2, "a"), "model"), ("o3", near(3, "a")), ("o4", near(3, "b")))
    add("new", ("n1", near(1, "b"), "human"), ("n2", near(2, "b"), "human"), ("n3", near(2, "c")))
    result = dedup_corpora(catalog, ["new"], against=["old"])
    assert decisions(catalog) == {
        "n1": (False, "o1", "copy_of_given"),
        "n2": (True, "n3", "first_choice"),
        "n3": (False, "n2", "copy_of_human"),
    }
    assert result.documents == 3
    assert (result.corpora, result.against) == (["new@1"], ["old@1"])


def test_what_was_set_aside_in_its_own_corpus_is_no_reason_to_set_aside_another(catalog, add):
    words = passage(1, 100)
    first = " ".join(words)
    second = " ".join([*words[:84], *(f"x{i}" for i in range(16))])
    third = " ".join([*(f"y{i}" for i in range(16)), *words[16:84], *(f"x{i}" for i in range(16))])
    add("old", ("first", first, "human"), ("second", second))
    add("new", ("third", third))
    dedup_corpora(catalog, ["old"])
    assert duplicates(catalog) == {"second"}
    dedup_corpora(catalog, ["new"], against=["old"])
    assert decisions(catalog)["third"] == (True, "second", "no_kept_neighbour")


def test_a_decision_lapses_when_the_document_it_rests_on_is_set_aside(catalog, add):
    add("old", ("short", near(1, "s")), ("long", near(1, "much-longer-ending"), "model"))
    add("new", ("copy", near(1, "c")))
    dedup_corpora(catalog, ["old"])
    dedup_corpora(catalog, ["new"], against=["old"])
    assert decisions(catalog)["copy"] == (False, "short", "copy_of_given")
    assert dedup_corpora(catalog, ["old"], keep=Keep.LONGEST).lapsed == 1
    assert duplicates(catalog) == {"short"}


def test_a_second_version_indexes_and_compares_only_what_is_new(catalog, add):
    records = [(str(i), near(i, "v")) for i in range(40)]
    add("c", *records, ("copy of 3", near(3, "w")))
    first = dedup_corpora(catalog, ["c"])
    assert (first.indexed, first.compared, first.set_aside) == (41, 1, 1)
    again = dedup_corpora(catalog, ["c"])
    assert (again.indexed, again.compared, again.set_aside) == (0, 0, 1)
    add("c", *records, ("copy of 3", near(3, "w")), ("copy of 9", near(9, "w")), ("unlike", near(99, "w")))
    second = dedup_corpora(catalog, ["c"])
    assert (second.indexed, second.compared, second.set_aside) == (2, 1, 2)
    add("c", *records[:3], ("copy of 9", near(9, "w")))
    assert dedup_corpora(catalog, ["c"]).set_aside == 0
    assert duplicates(catalog) == set()


def test_documents_that_were_left_out_once_are_compared_when_they_come_back(catalog, add):
    x, y, z = ("x", near(1, "x")), ("y", near(2, "y")), ("z", near(2, "z"))
    add("c", x, y)
    dedup_corpora(catalog, ["c"])
    add("c", x, z)
    assert dedup_corpora(catalog, ["c"]).set_aside == 0
    add("c", x, y, z)
    back = dedup_corpora(catalog, ["c"])
    assert (back.indexed, back.set_aside) == (0, 1)


def test_two_versions_of_one_corpus_are_one_set_of_documents(catalog, add):
    add("c", ("a", near(1, "a")), ("b", near(2, "b")))
    add("c", ("b", near(2, "b")), ("c", near(2, "c")))
    result = dedup_corpora(catalog, ["c@1", "c@2", "c"])
    assert result.corpora == ["c@1", "c@2"]
    assert (result.documents, result.indexed, result.set_aside) == (3, 3, 1)


def test_a_higher_threshold_needs_no_new_comparison_and_a_lower_one_finds_more(catalog, add):
    add("c", ("a", near(1, "a")), ("b", near(1, "b")), ("half", " ".join([*passage(1)[:44], *passage(2)[:16]])))
    assert dedup_corpora(catalog, ["c"]).set_aside == 1
    stricter = dedup_corpora(catalog, ["c"], threshold=0.98)
    assert (stricter.compared, stricter.set_aside) == (0, 0)
    assert dedup_corpora(catalog, ["c"], threshold=0.5).set_aside == 2


def test_a_removed_corpus_takes_its_decisions_along(catalog, add, run):
    add("a", ("a", near(1, "a"), "human"))
    add("b", ("b", near(1, "b")))
    dedup_corpora(catalog, ["a", "b"])
    assert duplicates(catalog) == {"b"}
    assert run("corpus", "rm", "a").exit_code == 0
    assert duplicates(catalog) == set()
    assert run_query(catalog, "SELECT count(*) FROM near_duplicate_pairs").rows == [(0,)]


def test_a_near_copy_of_a_recorded_output_gains_evidence_and_a_lineage_edge_once(catalog, add):
    with catalog.activity("generate", {}) as activity:
        outputs = Recorded(
            keys=["out", "unrelated"],
            texts=[near(1, "out"), near(5, "x")],
            generator="m1",
            generation=1,
            generation_max=1,
            human_ancestry=1.0,
        )
        record_corpus(catalog, activity, "samples", outputs)
    add("web", ("scraped", near(1, "web")), ("own", near(2, "own")), ("nearer", " ".join([*passage(1)[:-1], "out"])))
    result = dedup_corpora(catalog, ["web"], against=["samples"])
    assert result.recovered == 2
    assert dedup_corpora(catalog, ["web"], against=["samples"]).recovered == 0
    (out,) = run_query(catalog, "SELECT doc_id FROM documents WHERE key = 'out'").rows[0]
    found = run_query(
        catalog,
        "SELECT d.key, e.score, e.details ->> 'other_id', l.parent, l.relation FROM evidence e "
        "JOIN documents d USING (doc_id) JOIN lineage l ON l.child = 'doc:' || e.doc_id "
        "WHERE e.kind = 'near_duplicate' AND l.relation = 'near_duplicate_of' ORDER BY 1",
    ).rows
    assert found == [
        ("nearer", 1.0, str(out), f"doc:{out}", "near_duplicate_of"),
        ("scraped", 55 / 57, str(out), f"doc:{out}", "near_duplicate_of"),
    ]
    assert decisions(catalog)["scraped"][2] == "copy_of_given"


def test_a_copy_of_an_output_within_the_same_corpus_is_recovered_too(catalog, add):
    text = " ".join(passage(1))
    with catalog.activity("generate", {}) as activity:
        one = Recorded(keys=["out"], texts=[text], generator="m1", generation=1, generation_max=1, human_ancestry=1.0)
        record_corpus(catalog, activity, "mixed", one)
    add("mixed", ("scraped", text))
    assert dedup_corpora(catalog, ["mixed@1", "mixed@2"]).recovered == 1


def test_a_template_that_fills_a_source_is_reported(catalog, add):
    add("c", *((f"t{i}", near(1, f"e{i}")) for i in range(4)), *((f"u{i}", near(10 + i, "x")) for i in range(30)))
    (crowd,) = dedup_corpora(catalog, ["c"]).crowds
    assert (crowd.corpus, crowd.documents, crowd.share) == ("c", 4, pytest.approx(4 / 34))


def test_a_dry_run_says_the_same_and_writes_nothing(catalog, add):
    add("c", ("a", near(1, "a")), ("b", near(1, "b")))
    before = run_query(catalog, "SELECT count(*) FROM activities").rows
    planned = dedup_corpora(catalog, ["c"], dry_run=True)
    assert run_query(catalog, "SELECT count(*) FROM activities").rows == before
    assert duplicates(catalog) == set()
    assert not (catalog.root / "dedup").exists()
    assert planned == dedup_corpora(catalog, ["c"])


def segment_file(catalog: Catalog) -> Path:
    (path,) = (catalog.root / "dedup").glob("*.parquet")
    return path


def test_a_damaged_index_is_one_error_and_is_made_again_when_deleted(catalog, add):
    add("c", ("a", near(1, "a")), ("b", near(1, "b")))
    dedup_corpora(catalog, ["c"])
    path = segment_file(catalog)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="index file"):
        dedup_corpora(catalog, ["c"])
    assert duplicates(catalog) != set()
    path.unlink()
    result = dedup_corpora(catalog, ["c"])
    assert (result.indexed, result.set_aside) == (2, 1)
    assert pq.read_metadata(segment_file(catalog)).num_rows == 2


def test_a_failed_run_leaves_nothing(catalog, add, monkeypatch):
    from provenance.catalog import duplicates as tables

    add("c", ("a", near(1, "a")), ("b", near(1, "b")))

    def fail(*args, **kwargs):
        raise DataError("the disk is full")

    monkeypatch.setattr(tables, "commit_decisions", fail)
    with pytest.raises(DataError):
        dedup_corpora(catalog, ["c"])
    assert duplicates(catalog) == set()
    assert list((catalog.root / "staging").glob("*")) == []
    monkeypatch.undo()
    assert dedup_corpora(catalog, ["c"]).indexed == 2


def test_questions_that_make_no_sense_are_refused(catalog, add):
    add("c", ("a", near(1, "a")))
    with pytest.raises(UsageError, match="compared against itself"):
        dedup_corpora(catalog, ["c"], against=["c"])
    with pytest.raises(UsageError, match="no corpus named 'd'"):
        dedup_corpora(catalog, ["d"])
    with pytest.raises(UsageError, match=r"threshold must be in \(0, 1\], got 0"):
        dedup_corpora(catalog, ["c"], threshold=0.0)
    with pytest.raises(UsageError, match="overlaps itself"):
        overlap_corpora(catalog, "c", "c@1")


def test_the_commands_print_what_was_decided(catalog, add, run):
    add("c", ("a", near(1, "a")), ("b", near(1, "b")), ("short", "too short"))
    add("held", ("h", " ".join(["start", *passage(1)[10:40], "end"])))
    said = run("corpus", "dedup", "c")
    assert said.exit_code == 0
    assert "set aside 1 in 1 clusters" in said.stdout
    record = json.loads(run("corpus", "dedup", "c", "--json").stdout)
    assert record["schema"] == "provenance.corpus.dedup/1"
    assert (record["documents"], record["set_aside"], record["indexed"]) == (3, 1, 0)

    found = run("corpus", "overlap", "held", "c", "--json")
    (row,) = json.loads(found.stdout)["rows"]
    assert (row["key"], row["first_word"], row["n_words"]) == ("h", 1, 30)
    assert row["text"] == " ".join(passage(1)[10:40])
    assert "1 of 1 documents of held@1 share a span with c@1" in found.stderr
    assert (
        "2 of 2 documents of c@1 share a span with held@1; 1 are too short to tell"
        in run("corpus", "overlap", "c", "held").stderr
    )
    wrong = run("corpus", "dedup", "c", "--threshold", "1.5")
    assert wrong.exit_code == 2
    assert "error: threshold must be in (0, 1], got 1.5" in wrong.stderr


def test_results_do_not_depend_on_the_order_of_names(catalog, add):
    add("a", *((f"a{i}", near(i, "a")) for i in range(5)))
    add("b", *((f"b{i}", near(i, "b")) for i in range(5)))
    one: DedupResult = dedup_corpora(catalog, ["a", "b"])
    first = decisions(catalog)
    other = dedup_corpora(catalog, ["b", "a"])
    assert decisions(catalog) == first
    assert (one.set_aside, other.set_aside) == (5, 5)

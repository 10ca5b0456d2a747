"""Tagging a catalog from the command line: train, score, decide, explain, calibrate, estimate."""

import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from provenance.cli import cli

from provenance import tables
from provenance.catalog.corpora import get_corpus
from provenance.catalog.evidence import add_calibration, add_evidence, add_scores, evidence_of, unscored
from provenance.catalog.query import run_query
from provenance.catalog.store import Catalog
from provenance.plugins import DETECTORS
from provenance.tagging import detect
from provenance.tagging.conformal import HumanReference
from provenance.tagging.explain import explain
from provenance.tagging.local import LocalReading
from provenance.tagging.rules import Rules
from provenance.tagging.stage import read_locally, tag_corpus, tags_of

Run = Callable[..., Result]
Write = Callable[[str, Iterable[Mapping[str, Any]]], Path]


def ok(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if result.stdout.startswith("{") else result.stdout


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, written: Callable[..., list[str]]) -> Path:
    """A catalog with a trained stack, a crawl that declares itself human, and known-human texts like it.

    Made once: training it for every test would be most of this file's time.
    """
    folder = tmp_path_factory.mktemp("template")
    root = Catalog.init(folder).root

    def add(name: str, rows: list[dict[str, Any]], *options: str) -> None:
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        invoke("corpus", "add", name, str(path), "--key-field", "id", *options)

    def invoke(*words: str) -> None:
        env = {"PROVENANCE_CATALOG": str(root)}
        ok(CliRunner(catch_exceptions=False).invoke(cli, list(words), env=env))

    rows = []
    for domain, human in (("news", "And so"), ("mail", "Well,")):
        rows += [
            {"id": f"{domain}{i}", "text": t, "label": "human", "domain": domain}
            for i, t in enumerate(written(30, tic=human, seed=1))
        ]
        rows += [
            {"id": f"{domain}m{i}", "text": t, "label": "model", "domain": domain, "by": f"llm{i % 2}"}
            for i, t in enumerate(written(30, tic="Moreover,", seed=2 if domain == "news" else 3))
        ]
    crawl = written(50, tic="And so", seed=4) + written(20, tic="Moreover,", seed=5) + ["Too short.", ""]
    add("train", rows, "--origin-field", "label", "--generator-field", "by", "--meta-fields", "domain")
    crawled = [{"id": f"c{i}", "text": t, "source": "web"} for i, t in enumerate(crawl) if t]
    add("crawl", crawled, "--origin", "human")
    known = [{"id": f"h{i}", "text": t} for i, t in enumerate(written(120, tic="And so", seed=6))]
    add("known", known, "--origin", "human")
    invoke("detector", "train", "train", "--group", "domain", "--json")
    return root


@pytest.fixture
def trained(run: Run, catalog: Catalog, template: Path) -> Run:
    """`run` on a catalog of its own that holds what `template` holds."""
    shutil.copytree(template, catalog.root, dirs_exist_ok=True)
    return run


def origins(catalog: Catalog, corpus: str) -> dict[str, tuple[str, float | None, str]]:
    with catalog.read() as con:
        rows = con.execute("SELECT key, origin, p_model, basis FROM tags WHERE corpus = ?", [corpus]).fetchall()
    return {key: (origin, p_model, basis) for key, origin, p_model, basis in rows}


def test_a_detector_is_trained_listed_and_carries_its_card(trained: Run, catalog: Catalog) -> None:
    listed = {row["detector"]: row for row in ok(trained("detector", "ls", "--json"))["rows"]}
    assert listed["stack"]["state"] == "trained here"
    assert listed["watermark"]["state"] == "needs settings"
    card = json.loads((catalog.root / "detectors" / "stack" / "card.json").read_text())
    assert card["version"] == listed["stack"]["version"]
    assert {part["domain"] for part in card["training"]} == {"news", "mail"}
    assert card["domain_held_out"][0]["slice"] == "all"


def test_tags_keep_what_is_declared_and_conflicts_say_what_looks_otherwise(trained: Run, catalog: Catalog) -> None:
    ok(trained("tag", "run", "crawl", "--json"))
    found = origins(catalog, "crawl")
    assert {origin for origin, _, _ in found.values()} == {"human"}
    assert {basis for _, _, basis in found.values()} == {"declared"}
    conflicts = ok(trained("tag", "conflicts", "crawl", "--json"))["rows"]
    keys = {row["key"] for row in conflicts}
    assert len(keys) >= 15
    assert keys <= {f"c{i}" for i in range(50, 70)}
    assert conflicts[0]["strongest_evidence"] == "detector:stack"


def test_untagged_documents_are_counted_by_what_their_source_declares(run: Run, write_jsonl: Write) -> None:
    rows = [{"text": "said", "who": "human"}, {"text": "unsaid"}]
    ok(run("corpus", "add", "c", str(write_jsonl("c.jsonl", rows)), "--origin-field", "who"))
    counted = ok(run("tag", "ls", "--format", "csv"))
    assert sorted(counted.splitlines()[1:]) == ["c@1,human,declared,1,", "c@1,unknown,none,1,"]


def test_a_second_run_scores_nothing_and_changes_nothing(trained: Run) -> None:
    first = ok(trained("tag", "run", "crawl", "--json"))["rows"][0]
    again = ok(trained("tag", "run", "crawl", "--json"))["rows"][0]
    assert first["scored"] > 0
    assert (again["scored"], again["changed"]) == (0, 0)


def test_an_interrupted_run_continues_where_it_stopped(
    trained: Run, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    from provenance.tagging import detect

    monkeypatch.setattr(detect, "_TEXTS_PER_COMMIT", 20)
    info = get_corpus(catalog, "crawl")
    calls = 0

    def stop(done: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tag_corpus(catalog, info, detectors=["stack"], on_progress=stop)
    resumed = tag_corpus(catalog, info, detectors=["stack"]).detected[-1]
    assert resumed.skipped == 40
    assert resumed.scored + resumed.abstained == 31


def test_other_rules_change_tags_without_scoring(trained: Run, catalog: Catalog) -> None:
    ok(trained("tag", "run", "crawl", "--json"))
    info = get_corpus(catalog, "crawl")
    lenient, _ = tags_of(catalog, info, Rules(declared_log_lr=0.1))
    strict, _ = tags_of(catalog, info, Rules(declared_log_lr=10.0))
    ps = [[p for p in tags["p_model"].to_pylist() if p is not None] for tags in (lenient, strict)]
    assert max(ps[0]) > 0.5 > max(ps[1])


def test_a_large_corpus_is_tagged_in_parts_as_it_is_whole(
    trained: Run, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    ok(trained("tag", "calibrate", "crawl", "--human", "known", "--json"))
    ok(trained("tag", "run", "crawl", "--json"))
    info = get_corpus(catalog, "crawl")
    whole, _ = tags_of(catalog, info, Rules())
    monkeypatch.setattr("provenance.tagging.stage.DOCUMENTS_AT_ONCE", 7)
    parts, _ = tags_of(catalog, info, Rules())
    assert len(set(whole["p_model"].to_pylist())) > 2
    assert parts.to_pylist() == whole.to_pylist()


def test_an_untagged_document_is_explained_by_its_own_evidence(trained: Run, catalog: Catalog) -> None:
    ok(trained("tag", "run", "crawl", "--json"))
    info = get_corpus(catalog, "crawl")
    doc_id, origin, p_model = run_query(
        catalog, "select doc_id, origin, p_model from tags where corpus = 'crawl' order by p_model desc limit 1"
    ).rows[0]
    with catalog.write() as con:
        con.execute("DELETE FROM tag_current WHERE doc_id = ?", [doc_id])
    found = explain(catalog, info, doc_id, Rules())
    assert (found.tag["origin"], found.tag["p_model"]) == (origin, pytest.approx(p_model))


def test_a_recorded_tag_is_never_overwritten(trained: Run, catalog: Catalog) -> None:
    from provenance.corpus.record import Recorded, record_corpus

    texts = ["And so the house was there and it was gone and then it was there again, and she saw it was so. " * 3]
    recorded = Recorded(keys=["g0"], texts=texts, generator="toy", generation=1, generation_max=1, human_ancestry=0.0)
    with catalog.activity("test", {}) as activity:
        record_corpus(catalog, activity, "made", recorded)
    ok(trained("tag", "run", "made", "--json"))
    assert origins(catalog, "made")["g0"] == ("model", 1.0, "recorded")


def test_marks_of_two_keys_both_count_and_a_newer_detector_replaces_the_older(trained: Run, catalog: Catalog) -> None:
    ok(trained("tag", "run", "crawl", "--json"))
    with catalog.read() as con:
        row = con.execute("SELECT doc_id FROM documents WHERE key = 'c60'").fetchone()
    assert row is not None
    speaks = [("watermark", "1+kgw.a", 3.0), ("watermark", "1+kgw.b", 0.2), ("ngram", "1", 0.5), ("ngram", "2", 0.25)]
    with catalog.activity("test", {}) as activity, activity.commit() as con:
        for name, version, score in speaks:
            kind = "watermark" if name == "watermark" else "detector"
            columns = [tables.uuids([row[0].bytes]), *(pa.array([text]) for text in (kind, name, version))]
            values = [pa.array([score]), pa.array([0.1]), pa.nulls(1, pa.string())]
            add_evidence(con, pa.Table.from_arrays([*columns, *values], schema=tables.EVIDENCE), activity.activity_id)
    stored = evidence_of(catalog, get_corpus(catalog, "crawl"), [row[0]]).to_pylist()
    assert [r["score"] for r in stored if r["name"] == "watermark"] == [3.0, 0.2]
    assert [r["score"] for r in stored if r["name"] == "ngram"] == [0.25]
    ok(trained("tag", "run", "crawl", "--json"))
    found = ok(trained("tag", "explain", f"doc:{row[0]}", "--json"))
    bits = found["prior_bits"] + sum(piece["bits"] or 0 for piece in found["evidence"])
    assert 1 / (1 + 2**-bits) == pytest.approx(found["p_model"], abs=1e-6)
    assert any(piece["note"] == "kgw.a, p 0.001" for piece in found["evidence"])


def test_two_runs_at_a_time_leave_one_row_for_each_score(
    trained: Run, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = get_corpus(catalog, "crawl")

    def asked_then_overtaken(*args: Any) -> pa.Array:
        wanted = unscored(*args)
        if args[3] not in overtaken:
            overtaken.append(args[3])
            tag_corpus(Catalog.open(catalog.root), info, detectors=["stack"])
        return wanted

    overtaken: list[str] = []
    monkeypatch.setattr(detect, "unscored", asked_then_overtaken)
    tag_corpus(catalog, info, detectors=["stack"])
    assert "stack" in overtaken
    counts = "SELECT count(*), count(DISTINCT (doc_id, kind, name, version)) FROM evidence_row"
    with catalog.read() as con:
        rows, distinct = con.execute(counts).fetchall()[0]
    assert rows == distinct >= info.documents


def test_only_rows_that_others_added_since_it_was_asked_what_is_unscored_keep_a_score_out(
    trained: Run, catalog: Catalog
) -> None:
    with catalog.read() as con:
        doc_id = con.execute("SELECT doc_id FROM documents WHERE key = 'c60'").fetchall()[0][0]
    texts = [pa.array([text]) for text in ("detector", "stack", "9")]
    columns = [tables.uuids([doc_id.bytes]), *texts, pa.array([0.5]), pa.array([0.1]), pa.nulls(1, pa.string())]
    row = pa.Table.from_arrays(columns, schema=tables.EVIDENCE)
    one, other, before = uuid4(), uuid4(), datetime.now(UTC)
    counts = []
    # Going through all rows of a large catalog for every batch would hold its lock for long.
    for writer, asked in ((one, before), (other, before), (one, before), (other, None)):
        with catalog.write() as con:
            add_scores(con, row, writer, asked or datetime.now(UTC))
            counts.append(con.execute("SELECT count(*) FROM evidence_row WHERE version = '9'").fetchall()[0][0])
    assert counts == [1, 1, 2, 3]


def test_explain_names_the_registered_text_that_a_copy_comes_from(
    trained: Run, catalog: Catalog, write_jsonl: Write, written: Callable[..., list[str]]
) -> None:
    texts = written(30, tic="Moreover,", seed=8)
    outputs = write_jsonl("outputs.jsonl", [{"id": f"o{i}", "text": text} for i, text in enumerate(texts)])
    ok(trained("corpus", "add", "outputs", str(outputs), "--key-field", "id", "--origin", "model"))
    copies = write_jsonl(
        "copies.jsonl", [{"id": "c", "text": f"{texts[3]} So it went on for a while, and then it stopped."}]
    )
    ok(trained("corpus", "add", "copies", str(copies), "--key-field", "id"))
    ok(trained("detector", "train", "outputs", "known", "--detector", "registry"))
    ok(trained("tag", "run", "copies", "--detector", "registry"))
    with catalog.read() as con:
        found = con.execute("SELECT key, doc_id FROM documents WHERE corpus IN ('copies', 'outputs')").fetchall()
    ids = dict(found)
    pieces = ok(trained("tag", "explain", f"doc:{ids['c']}", "--json"))["evidence"]
    [note] = [piece["note"] for piece in pieces if piece["name"] == "registry"]
    assert note.endswith(f"% of the shorter text's 4-word sequences shared with doc:{ids['o3']} of outputs@1")
    ok(trained("detector", "train", "outputs", "known", "crawl", "--detector", "registry"))
    pieces = ok(trained("tag", "explain", f"doc:{ids['c']}", "--json"))["evidence"]
    assert [piece["note"] for piece in pieces if piece["name"] == "registry"] == [""]


def test_explain_adds_up_to_the_probability(trained: Run, catalog: Catalog) -> None:
    ok(trained("tag", "run", "crawl", "--json"))
    with catalog.read() as con:
        row = con.execute("SELECT doc_id FROM documents WHERE key = 'c60'").fetchone()
    assert row is not None
    found = ok(trained("tag", "explain", f"doc:{row[0]}", "--json"))
    bits = found["prior_bits"] + sum(piece["bits"] or 0 for piece in found["evidence"])
    assert 1 / (1 + 2**-bits) == pytest.approx(found["p_model"], abs=1e-6)
    assert any("Moreover" in span["text"] for span in found["spans"])
    assert "basis declared" in ok(trained("tag", "explain", f"doc:{str(row[0])[:8]}"))


def test_calibrated_tags_flag_at_the_promised_rate_and_the_share_is_estimated(trained: Run, catalog: Catalog) -> None:
    missing = trained("tag", "estimate", "crawl")
    assert missing.exit_code == 3
    assert "tag calibrate crawl --human SAMPLE" in missing.output
    done = ok(trained("tag", "calibrate", "crawl", "--human", "known", "--json"))
    assert done["can_flag"]
    assert done["human_documents"] == 120
    ok(trained("tag", "run", "crawl", "--json"))
    with catalog.read() as con:
        rules = con.execute("SELECT count(*) FROM calibrations WHERE corpus = 'crawl'").fetchall()
    assert rules == [(1,)]
    row = ok(trained("tag", "estimate", "crawl", "--json"))["rows"][0]
    assert row["judged"] == 70
    assert row["low"] <= 20 / 70 <= row["high_if_known"]
    assert row["high"] == 1.0
    assert row["at_least"] <= 20 / 70
    local = ok(trained("tag", "estimate", "crawl", "--model", "train", "--json"))["rows"][0]
    assert local["low"] <= 20 / 70 <= local["high"] == local["high_if_known"] < 1


def test_a_calibration_that_is_refused_leaves_the_one_before_it(trained: Run, tmp_path: Path) -> None:
    ok(trained("tag", "calibrate", "crawl", "--human", "known", "--json"))
    ok(trained("tag", "run", "crawl", "--json"))
    same = tmp_path / "same.jsonl"
    text = (
        "And so the old house stood by the river, and nobody who lived in the town had ever seen it open its door. " * 3
    )
    same.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i in range(5)), encoding="utf-8")
    ok(trained("corpus", "add", "same", str(same), "--key-field", "id", "--origin", "human"))
    refused = trained("tag", "calibrate", "crawl", "--human", "same")
    assert refused.exit_code == 3
    assert "nothing to calibrate" in refused.stderr
    assert ok(trained("tag", "run", "crawl", "--json"))["rows"][0]["changed"] == 0


def test_a_corpus_is_not_calibrated_by_itself_nor_by_text_declared_a_models(
    trained: Run, write_jsonl: Write, catalog: Catalog
) -> None:
    own = trained("tag", "calibrate", "crawl", "--human", "crawl")
    assert own.exit_code == 2
    assert "crawl cannot be calibrated by itself" in own.stderr
    one = [{"id": "a", "text": "a text", "label": "human"}, {"id": "b", "text": "b text", "label": "model"}]
    path = write_jsonl("one.jsonl", one)
    ok(trained("corpus", "add", "one", path, "--key-field", "id", "--origin-field", "label"))
    refused = trained("tag", "calibrate", "crawl", "--human", "one")
    assert refused.exit_code == 2
    assert "one@1 is no known-human sample: 1 of its 2 texts are declared model" in refused.stderr
    assert "hint: give --human a corpus that holds human texts alone" in refused.stderr
    assert run_query(catalog, "select count(*) from calibrations").rows == [(0,)]


def test_a_conflict_weighs_what_the_local_calibration_says_as_explain_does(trained: Run) -> None:
    ok(trained("tag", "calibrate", "crawl", "--human", "known", "--json"))
    ok(trained("tag", "run", "crawl", "--json"))
    conflict = ok(trained("tag", "conflicts", "crawl", "--json"))["rows"][0]
    found = ok(trained("tag", "explain", f"doc:{conflict['doc_id']}", "--json"))
    bits = {f"{piece['kind']}:{piece['name']}": piece["bits"] for piece in found["evidence"]}
    assert conflict["log_lr"] == pytest.approx(bits[conflict["strongest_evidence"]] * math.log(2))


def test_a_conflict_says_how_many_known_humans_score_as_high(trained: Run, catalog: Catalog) -> None:
    ok(trained("tag", "run", "crawl", "--json"))
    assert all(row["local_p_value"] is None for row in ok(trained("tag", "conflicts", "crawl", "--json"))["rows"])
    ok(trained("tag", "calibrate", "crawl", "--human", "known", "--json"))
    ok(trained("tag", "run", "crawl", "--json"))
    with catalog.read() as con:
        ((humans, detector),) = con.execute("SELECT human_scores, detector FROM calibration").fetchall()
        scores = dict(
            con.execute("SELECT doc_id::VARCHAR, score FROM evidence_row WHERE name = ?", [detector]).fetchall()
        )
    rows = ok(trained("tag", "conflicts", "crawl", "--json"))["rows"]
    assert rows
    for row in rows:
        as_high = sum(human >= scores[row["doc_id"]] for human in humans)
        assert row["local_p_value"] == pytest.approx((1 + as_high) / (1 + len(humans)))


def test_a_watermark_sought_with_two_keys_weighs_in_a_conflict_what_it_weighs_in_explain(
    trained: Run, catalog: Catalog
) -> None:
    with catalog.read() as con:
        [[doc_id]] = con.execute("SELECT doc_id FROM documents WHERE key = 'c60'").fetchall()
    with catalog.activity("test", {}) as activity, activity.commit() as con:
        for version, score, log_lr in (("1+kgw.a", 2.0, 4.0), ("1+kgw.b", 1.9, 3.9)):
            columns = [
                tables.uuids([doc_id.bytes]),
                *(pa.array([text]) for text in ("watermark", "watermark", version)),
            ]
            values = [pa.array([score]), pa.array([log_lr]), pa.nulls(1, pa.string())]
            add_evidence(con, pa.Table.from_arrays([*columns, *values], schema=tables.EVIDENCE), activity.activity_id)
    ok(trained("tag", "run", "crawl", "--detector", "boilerplate", "--json"))
    conflict = next(row for row in ok(trained("tag", "conflicts", "crawl", "--json"))["rows"] if row["key"] == "c60")
    pieces = ok(trained("tag", "explain", f"doc:{doc_id}", "--json"))["evidence"]
    [bits] = [piece["bits"] for piece in pieces if piece["kind"] == "watermark" and piece["bits"] is not None]
    assert conflict["strongest_evidence"] == "watermark:watermark"
    assert conflict["log_lr"] == pytest.approx(bits * math.log(2))
    assert conflict["log_lr"] < 4.0


def test_an_assertion_is_the_strongest_evidence_of_a_conflict(trained: Run, catalog: Catalog) -> None:
    with catalog.read() as con:
        row = con.execute("SELECT doc_id FROM documents WHERE key = 'c3'").fetchone()
    assert row is not None
    ok(trained("tag", "set", f"doc:{row[0]}", "model", "--reviewer", "ann"))
    ok(trained("tag", "run", "crawl", "--json"))
    conflict = next(r for r in ok(trained("tag", "conflicts", "crawl", "--json"))["rows"] if r["key"] == "c3")
    assert (conflict["strongest_evidence"], conflict["log_lr"]) == ("review:ann", None)


def test_too_few_known_humans_flag_nothing_and_the_run_says_so(
    trained: Run, write_jsonl: Write, written: Callable[..., list[str]]
) -> None:
    few = [{"id": f"f{i}", "text": t} for i, t in enumerate(written(40, tic="And so", seed=8))]
    ok(trained("corpus", "add", "few", write_jsonl("few.jsonl", few), "--key-field", "id"))
    done = trained("tag", "calibrate", "crawl", "--human", "few", "--json")
    assert "needs 99 local human texts, there are 40" in done.stderr
    assert not json.loads(done.stdout)["can_flag"]


def test_a_detector_that_may_not_flag_silences_none_that_may(trained: Run, catalog: Catalog) -> None:
    ok(trained("tag", "calibrate", "crawl", "--human", "known", "--json"))
    ok(trained("tag", "run", "crawl", "--json"))
    info = get_corpus(catalog, "crawl")
    alone = read_locally(catalog, info, evidence_of(catalog, info), Rules())
    with catalog.read() as con:
        ids = [row[0].bytes for row in con.execute("SELECT doc_id FROM documents WHERE corpus = 'crawl'").fetchall()]
    few = LocalReading(
        detector="ngram", version="1", human_ref="few@1", human=HumanReference.of(np.arange(40.0)), calibration=None,
        model_scores=np.empty(0),
    )  # fmt: skip
    texts = [pa.array([text] * len(ids)) for text in ("detector", "ngram", "1")]
    numbers = [pa.array([9.0] * len(ids)), pa.nulls(len(ids), pa.float64()), pa.nulls(len(ids), pa.string())]
    rows = pa.Table.from_arrays([tables.uuids(ids), *texts, *numbers], schema=tables.EVIDENCE)
    with catalog.activity("test", {}) as activity, activity.commit() as con:
        add_evidence(con, rows, activity.activity_id)
        add_calibration(con, few.to_row("crawl", None), activity.activity_id)
    evidence = evidence_of(catalog, info)
    both, p_values, silenced = read_locally(catalog, info, evidence, Rules())
    weak = np.array([name == "ngram" for name in both["name"].to_pylist()])
    assert alone[2] is silenced is None
    assert np.isnan(p_values[weak]).all()
    np.testing.assert_array_equal(p_values[~weak], alone[1])
    assert np.nanmin(p_values) < 0.01
    _, p_values, silenced = read_locally(catalog, info, evidence.filter(pa.array(weak)), Rules())
    assert silenced == "ngram: flagging at 0.01 needs 99 local human texts, there are 40"
    assert np.isfinite(p_values).all()  # else they would be judged by p_model


def test_abstentions_are_stored_with_their_reason(trained: Run, catalog: Catalog) -> None:
    ok(trained("tag", "run", "crawl", "--json"))
    with catalog.read() as con:
        rows = con.execute(
            "SELECT score, abstained FROM detector_scores s JOIN documents d USING (doc_id) "
            "WHERE d.key = 'c70' AND detector = 'stack'"
        ).fetchall()
    assert rows == [(None, "short")]


def test_evaluate_reports_slices_and_attacks(trained: Run) -> None:
    result = trained("detector", "evaluate", "train", "--group", "domain", "--attacks", "--json")
    assert "leak" in result.stderr
    assert "learned from domains of these names: mail, news" in result.stderr
    found = ok(result)
    assert {leak["trace"] for leak in found["leaks"]} == {"line_breaks", "length", "shared_opening", "encoding"}
    slices = {row["slice"] for row in found["rows"]}
    assert {"all", "domain=news", "generator=llm0", "attack=truncate"} <= slices


def test_figures_are_numbers_for_a_program_and_one_cell_with_the_interval_for_a_person(trained: Run) -> None:
    found = ok(trained("detector", "evaluate", "train", "--json"))
    first = found["rows"][0]
    assert found["columns"] == list(first)
    assert 0 <= first["auroc_low"] <= first["auroc"] <= first["auroc_high"] <= 1
    assert 0 <= first["tpr@5%_low"] <= first["tpr@5%"] <= first["tpr@5%_high"] <= 1
    assert (first["tpr@0.1%"], first["tpr@0.1%_low"]) == (None, None)  # 60 human texts cannot say
    table = trained("detector", "evaluate", "train").stdout
    assert f"{first['auroc']:.3f} [{first['auroc_low']:.3f}, {first['auroc_high']:.3f}]" in table
    assert "auroc_low" not in table


def test_measuring_on_the_corpus_it_was_trained_on_is_said_without_naming_the_domains_too(trained: Run) -> None:
    assert "learned from corpora of these names: train" in trained("detector", "evaluate", "train").stderr


@pytest.mark.parametrize(
    ("command", "field", "hint"),
    [
        (("train", "train", "--group", "domian"), "domian", "did you mean 'domain'?"),
        (("train", "train", "--group", "subgroup"), "subgroup", "known: "),
        (("evaluate", "train", "--writer-field", "dialect"), "dialect", "known: "),
        (("evaluate", "train", "--generator-field", "nosuch"), "nosuch", "declared_generator"),
    ],
)
def test_a_field_that_no_document_has_is_an_error_and_leaves_the_trained_detector_as_it_is(
    trained: Run, catalog: Catalog, command: tuple[str, ...], field: str, hint: str
) -> None:
    card = catalog.root / "detectors" / "stack" / "card.json"
    before = card.read_bytes()
    result = trained("detector", *command)
    assert result.exit_code == 2
    assert f"no document of train@1 has a field '{field}'" in result.stderr
    assert hint in result.stderr
    assert card.read_bytes() == before


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("detector", "train", "known"), "training needs human and model texts"),
        (("detector", "train", "train", "--label-field", "nothing"), "has a label in 'nothing'"),
        (("detector", "evaluate", "known"), "one class only"),
        (("detector", "train", "train", "--detector", "stacc"), "did you mean 'stack'"),
        (("detector", "train", "train", "--detector", "binoculars"), f"known: {', '.join(DETECTORS)}"),
        (("tag", "run", "nothing"), "no corpus named 'nothing'"),
        (("tag", "run", "crawl", "--detector", "ngram", "-o", "x"), "is not NAME=VALUE"),
        (("tag", "run", "crawl", "--detector", "registry"), "not trained"),
        (
            ("tag", "run", "crawl", "--detector", "watermark", "-o", "key=7"),
            "needs settings: scheme, tokenizer\nhint: give them as -o scheme=kgw -o tokenizer=FOLDER_OR_HUB_NAME",
        ),
        (
            ("tag", "run", "crawl", "--detector", "stack", "-o", "foo=1"),
            "detector 'stack' has no setting 'foo'\nhint: known: apart",
        ),
        (
            ("tag", "run", "crawl", "--detector", "ngram", "-o", "arrays=1"),
            "detector 'ngram' has no setting 'arrays'\nhint: it takes none",
        ),
        (("tag", "explain", "doc:00000000"), "no document"),
    ],
)
def test_wrong_requests_are_answered_with_a_reason(trained: Run, command: tuple[str, ...], message: str) -> None:
    result = trained(*command)
    assert result.exit_code in {2, 3}
    assert message in result.output

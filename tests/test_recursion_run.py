"""Experiments on disk and in the catalog: shared first generation, control, resume, refusals, damage, full disk."""

import errno
import json
import os
import threading
from dataclasses import replace

import pytest

from provenance.catalog.query import run_query
from provenance.config import checked
from provenance.errors import CatalogError, ConfigError, DataError, NotFoundError, ProvenanceError
from provenance.recursion.config import Experiment, Real
from provenance.recursion.documents import RealTexts
from provenance.recursion.in_catalog import (
    load_real,
    named_experiments,
    plan_experiment,
    remove,
    run_in_catalog,
    stored_experiment,
)
from provenance.recursion.manifest import alone, digest, read_arrays, read_manifest, write_generation
from provenance.recursion.plan import Plan
from provenance.recursion.preview import preview
from provenance.recursion.run import run_experiment

WORDS = ("red", "old", "big", "sad"), ("cat", "dog", "fox"), ("hat", "car", "cup", "box", "map")
TINY = 'name = "a"\nworld = "ngram"\ngenerations = 1\npolicies = ["replace"]\nbudget = {documents = 5}\n'
TEXTS = [f"the {a} {b} sees a {c} and the {c} sees {b}" for a in WORDS[0] for b in WORDS[1] for c in WORDS[2]]


def experiment(**tables):
    return checked(
        Experiment,
        {
            "name": "small",
            "world": "gaussian",
            "generations": 4,
            "seeds": [0, 1],
            "policies": ["replace", "accumulate"],
            "budget": {"documents": 20},
            "model": {"replicas": 5},
            **tables,
        },
        "test.toml",
    )


def plan(tmp_path, **tables):
    described = experiment(**tables)
    return Plan(experiment=described, policies=described.resolved_policies(), folder=tmp_path / "experiments")


def contents(plan):
    """Every manifest without its times, and the digest of every array file."""
    found = {}
    for run in plan.runs:
        for folder, _ in plan.segments(run):
            manifest = read_manifest(folder)
            for entry in manifest["generations"]:
                entry.pop("seconds")
            arrays = {name: digest(read_arrays(folder, name)) for name in ("training", "kept", "model")}
            found[folder.relative_to(plan.folder)] = (manifest, arrays)
    return found


@pytest.fixture
def books(catalog, run, write_jsonl):
    path = write_jsonl("books.jsonl", [{"text": text} for text in TEXTS])
    assert run("corpus", "add", "books", path, "--origin", "human").exit_code == 0
    return catalog


def text_experiment(**tables):
    return checked(
        Experiment,
        {
            "name": "tale",
            "world": "ngram",
            "generations": 2,
            "seeds": [0, 1],
            "policies": ["replace", "accumulate"],
            "real": {"corpus": "books", "held_out": 0.2},
            "budget": {"documents": 20},
            **tables,
        },
        "test.toml",
    )


def rows(catalog, sql):
    return run_query(catalog, sql).rows


def test_every_policy_starts_from_the_same_first_generation(tmp_path):
    first = {}
    for result in run_experiment(plan(tmp_path)):
        if result.generation == 0:
            first.setdefault(result.run.seed, set()).add(result.summary["model_sha256"])
    assert [len(models) for models in first.values()] == [1, 1]
    assert first[0] != first[1]
    assert len(list((tmp_path / "experiments" / "generation-0").iterdir())) == 2


def test_the_control_runs_without_being_asked_for(tmp_path):
    names = [run.policy.name for run in plan(tmp_path, seeds=[0]).runs]
    assert names == ["replace", "accumulate", "control"]
    assert [run.policy.name for run in plan(tmp_path, seeds=[0], policies=["control"]).runs] == ["control"]


def test_runs_named_one_by_one_are_those_of_the_whole_experiment(tmp_path):
    whole, parts = plan(tmp_path / "whole"), plan(tmp_path / "parts")
    list(run_experiment(whole))
    for name in ("accumulate-s1", "replace-s0"):
        done = list(run_experiment(replace(parts, only=[name])))
        assert {result.run.name for result in done} == {name}
    list(run_experiment(parts))
    assert contents(parts) == contents(whole)
    with pytest.raises(NotFoundError, match="no run named 'replace-s7'") as caught:
        _ = replace(parts, only=["replace-s7"]).runs
    assert caught.value.hint == "did you mean 'replace-s1'?"


def test_a_second_process_waits_for_the_first_generation_and_takes_it(tmp_path):
    one, other = (replace(plan(tmp_path, seeds=[0]), only=[name]) for name in ("replace-s0", "accumulate-s0"))
    first = one.segments(one.runs[0])[0][0]
    seen = []
    with alone(first):
        waiting = threading.Thread(target=lambda: seen.extend(run_experiment(other)))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        assert read_manifest(first) is None
    waiting.join()
    assert [result.resumed for result in seen[:1]] == [False]
    assert next(iter(run_experiment(one))).resumed


@pytest.mark.parametrize("record_every", [1, 3])
def test_a_run_that_stopped_anywhere_ends_like_one_that_did_not(tmp_path, record_every):
    whole = plan(tmp_path / "whole", record_every=record_every, seeds=[0], policies=["accumulate"])
    results = list(run_experiment(whole))
    for stop in range(0, len(results), 2):
        broken = plan(tmp_path / f"broken-{stop}", record_every=record_every, seeds=[0], policies=["accumulate"])
        for count, _ in enumerate(run_experiment(broken)):
            if count == stop:
                break
        again = list(run_experiment(broken))
        assert [r.summary["kept_sha256"] for r in again] == [r.summary["kept_sha256"] for r in results]
        assert contents(broken) == contents(whole)


def test_a_half_written_generation_never_happened(tmp_path):
    whole = plan(tmp_path, seeds=[0], policies=["replace"])
    list(run_experiment(whole))
    before = contents(whole)
    folder = whole.segments(whole.runs[0])[2][0]
    (folder / "manifest.json").unlink()
    (folder / "kept.npz").write_bytes(b"half")
    resumed = [result.resumed for result in run_experiment(whole) if result.run == whole.runs[0]]
    assert resumed == [True, True, False, False, False]
    assert contents(whole) == before


def test_a_grown_plan_keeps_what_is_there(tmp_path):
    list(run_experiment(plan(tmp_path, generations=2, seeds=[0], policies=["replace"])))
    grown = list(run_experiment(plan(tmp_path, generations=3, seeds=[0, 1], policies=["replace", "accumulate"])))
    kept = [(r.run.policy.name, r.run.seed, r.generation) for r in grown if r.resumed]
    assert ("replace", 0, 2) in kept
    assert ("replace", 0, 3) not in kept


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"replicas": 6}}, "exists with other settings"),
        ({"budget": {"documents": 21}}, "exists with other settings"),
        ({"policies": [{"name": "replace", "share": [{"where": "generation = 0", "share": 1.0}]}]}, "policy 'replace'"),
    ],
)
def test_a_changed_plan_under_the_same_name_is_refused(tmp_path, change, message):
    list(run_experiment(plan(tmp_path, generations=1)))
    with pytest.raises(ConfigError, match=message):
        list(run_experiment(plan(tmp_path, generations=1, **change)))


def test_no_experiment_is_called_what_the_folder_is_that_all_of_them_share():
    with pytest.raises(ConfigError, match=r"name: is where all experiments keep .*, got 'generation-0'") as error:
        experiment(name="generation-0")
    assert error.value.hint == "take another name"
    assert experiment(name="generation-00").name == "generation-00"


def test_nothing_is_claimed_by_an_experiment_that_cannot_start(tmp_path):
    for wrong in ({"world": "gausian"}, {"model": {"replica": 5}}, {"metrics": {"names": ["varience"]}}):
        with pytest.raises((NotFoundError, ConfigError)):
            list(run_experiment(plan(tmp_path, **wrong)))
    assert not (tmp_path / "experiments").exists()


def test_a_damaged_manifest_is_named(tmp_path):
    whole = plan(tmp_path, seeds=[0], policies=["replace"])
    list(run_experiment(whole))
    folder = whole.segments(whole.runs[0])[1][0]
    (folder / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        list(run_experiment(whole))
    (folder / "manifest.json").write_text(json.dumps({"schema": "provenance.generation/9"}))
    with pytest.raises(DataError, match=r"schema 'provenance\.generation/9'"):
        list(run_experiment(whole))


def test_a_full_disk_is_one_clear_error_and_leaves_what_was_finished(tmp_path, monkeypatch):
    whole = plan(tmp_path, seeds=[0], policies=["replace"])
    real_fsync, written = os.fsync, []

    def full(handle):
        written.append(handle)
        if len(written) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProvenanceError, match=r"policy 'replace', generation \d could not be written .*No space left"):
        list(run_experiment(whole))
    monkeypatch.setattr(os, "fsync", real_fsync)
    resumed = [result.resumed for result in run_experiment(whole)]
    assert any(resumed)
    other = plan(tmp_path / "other", seeds=[0], policies=["replace"])
    list(run_experiment(other))
    assert contents(whole) == contents(other)


def test_a_full_disk_under_the_catalog_names_generation_and_policy_and_resumes(books, monkeypatch):
    from provenance.catalog import experiments
    from provenance.catalog.ledger import Activity

    described = text_experiment(seeds=[0], policies=["replace"])
    real_insert = experiments.insert_generation

    def full(con, row, metrics, **more):
        if row.generation == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real_insert(con, row, metrics, **more)

    def refused(*_):
        raise CatalogError("the catalog refused the change")

    with monkeypatch.context() as broken:
        broken.setattr(experiments, "insert_generation", full)
        broken.setattr(Activity, "finish", refused)  # on a full disk the ledger cannot be written either
        with pytest.raises(ProvenanceError, match=r"policy 'replace', generation 1: No space left"):
            list(run_in_catalog(books, plan_experiment(books, described)))
    list(run_in_catalog(books, plan_experiment(books, described)))
    count = "select count(*), count(distinct generation) from generations where run_id = 'tale/replace-s0'"
    assert rows(books, count) == [(3, 3)]


def test_a_run_that_another_process_is_at_is_refused_and_the_others_are_not(tmp_path):
    small = plan(tmp_path)
    first, other = small.runs[0], small.runs[1]
    with alone(small.folder / first.run_id):
        with pytest.raises(ProvenanceError, match=rf"run '{first.name}' .* is under way in another process"):
            list(run_experiment(small))
        assert {result.run.name for result in run_experiment(replace(small, only=[other.name]))} == {other.name}
    assert len(list(run_experiment(small))) == len(small.runs) * (1 + small.experiment.generations)


def test_a_world_that_trains_in_one_process_refuses_several(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")  # some clusters set that for a program on its own
    assert len(list(run_experiment(plan(tmp_path / "alone", seeds=[0], policies=["replace"])))) == 10
    for name, value in (("RANK", "0"), ("MASTER_ADDR", "127.0.0.1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="'gaussian' does not train in several processes"):
        list(run_experiment(plan(tmp_path)))
    assert not (tmp_path / "experiments").exists()


def test_a_preview_writes_nothing_and_counts_what_is_left(tmp_path):
    small = plan(tmp_path)
    seen = preview([small])
    assert (seen.runs, seen.generations, seen.finished) == (6, 2 * (1 + 3 * 4), 0)
    assert seen.seconds > 0
    assert seen.disk_bytes > 0
    assert not (tmp_path / "experiments").exists()
    list(run_experiment(small))
    assert preview([small]).finished == seen.generations


def test_a_preview_says_whether_later_generations_cost_more(tmp_path):
    small = plan(tmp_path)
    assert preview([small]).growing
    of_one_size = [policy for policy in small.policies if policy.name != "accumulate"]
    assert len(of_one_size) == len(small.policies) - 1
    assert not preview([replace(small, policies=of_one_size)]).growing


def test_a_run_that_diverged_goes_on_without_numbers(tmp_path):
    long = plan(tmp_path, generations=1500, seeds=[0], policies=["replace"], budget={"documents": 10}, record_every=500)
    results = list(run_experiment(long))
    last = [measured for result in results if result.run.policy.name == "replace" for measured in result.metrics]
    assert any(measured.stderr is None and measured.low is not None for measured in last)
    assert [result.resumed for result in run_experiment(long)] == [True] * len(results)


def test_texts_left_out_of_the_catalog_at_first_are_not_asked_for_later(books):
    list(run_in_catalog(books, plan_experiment(books, text_experiment(keep_texts=False, generations=1))))
    with pytest.raises(ConfigError, match="begun with keep_texts = false"):
        list(run_in_catalog(books, plan_experiment(books, text_experiment(generations=3))))
    more = plan_experiment(books, text_experiment(keep_texts=False, generations=3))
    assert not all(result.resumed for result in run_in_catalog(books, more))


def test_a_file_a_world_reads_is_part_of_its_first_generation(books, tmp_path):
    text = tmp_path / "validation.txt"

    def key():
        described = text_experiment(world="causal_lm", model={"validation": str(text)})
        return plan_experiment(books, described).first_key(0)

    text.write_text("one text")
    before = key()
    assert key() == before
    text.write_text("another text")
    assert key() != before


def test_the_subgroups_held_out_are_part_of_the_first_generation(tmp_path):
    real = RealTexts(ids=[b"0" * 16], texts=["a"], held_out=["b"], held_out_subgroup=["north"])
    described = plan(tmp_path)
    keys = {
        replace(described, real=replace(real, held_out_subgroup=[subgroup])).first_key(0)
        for subgroup in ("north", "south", None)
    }
    assert len(keys) == 3


def test_an_experiment_run_again_under_a_removed_ones_name_is_not_mistaken_for_it(books):
    first = {row[0] for row in _run_and_list(books, documents=20)}
    remove(books, "tale")
    again = {row[0] for row in _run_and_list(books, documents=30)}
    assert len(first) == len(again) == 5
    assert not first & again
    edges = rows(books, "select child, count(*) from lineage where relation = 'trained_on' group by child")
    assert {count for _, count in edges} == {1}
    more = plan_experiment(books, text_experiment(seeds=[0], policies=["replace"], budget={"documents": 30}))
    assert all(result.resumed for result in run_in_catalog(books, more))


def _run_and_list(books, documents):
    described = text_experiment(seeds=[0], policies=["replace"], budget={"documents": documents}, generations=2)
    list(run_in_catalog(books, plan_experiment(books, described)))
    return rows(books, "select model_id from generations")


def test_removing_an_experiment_frees_first_generations_that_nobody_else_has(books):
    for name in ("one", "two"):
        list(run_in_catalog(books, plan_experiment(books, text_experiment(name=name))))
    shared = books.root / "experiments" / "generation-0"
    assert len(list(shared.glob("*/manifest.json"))) == 2
    remove(books, "one")
    assert len(list(shared.glob("*/manifest.json"))) == 2
    remove(books, "two")
    assert list(shared.glob("*/manifest.json")) == []


def test_an_experiment_of_another_engine_is_said_to_be_one(tmp_path):
    described = plan(tmp_path, seeds=[0])
    list(run_experiment(described))
    file = tmp_path / "experiments" / "small" / "plan.json"
    file.write_text(file.read_text().replace('"engine": 2', '"engine": 1'))
    with pytest.raises(ConfigError, match=r"run by another version of the engine \(1, this is 2\)"):
        list(run_experiment(described))


def test_a_metric_that_a_world_cannot_measure_is_said_before_more_is_trained(tmp_path):
    asked = plan(tmp_path, metrics={"names": ["variance", "perplexity"]})
    with pytest.raises(ConfigError, match="world 'gaussian' cannot measure 'perplexity' here") as error:
        list(run_experiment(asked))
    assert error.value.hint == "it can: variance"
    assert not any(path.name == "manifest.json" for path in tmp_path.rglob("*"))


def test_arrivals_need_to_know_what_is_there_at_first(books):
    described = text_experiment(real={"corpus": "books", "held_out": 0.2, "arrivals": 5})
    with pytest.raises(ConfigError, match="all 47 documents are there from the first generation on") as error:
        list(run_in_catalog(books, plan_experiment(books, described)))
    assert "samples under [real]" in error.value.hint


def test_a_share_held_out_that_is_nothing_is_an_error(books):
    described = text_experiment(real={"corpus": "books", "held_out": 0.0001})
    with pytest.raises(ConfigError, match=r"held_out = 0\.0001 of 60 human documents is none"):
        plan_experiment(books, described)
    assert plan_experiment(books, text_experiment(real={"corpus": "books", "held_out": 0})).real.held_out == []


def test_a_corpus_of_its_own_is_measured_against(books, run, write_jsonl):
    for name, options in (("test", ["--held-out"]), ("open", [])):
        path = write_jsonl(f"{name}.jsonl", [{"text": text} for text in ("a blue bird", "the red cat sees a hat")])
        assert run("corpus", "add", name, path, "--origin", "human", *options).exit_code == 0
    found = load_real(books, Real(corpus="books", held_out_corpus="test"))
    assert sorted(found.held_out) == ["a blue bird", "the red cat sees a hat"]
    assert len(found.held_out_subgroup) == 2
    assert len(found.texts) == len(TEXTS)
    with pytest.raises(ConfigError, match="'open' is not held out"):
        load_real(books, Real(corpus="books", held_out_corpus="open"))


def test_files_are_looked_up_beside_the_experiments_own_and_may_move(books, tmp_path, monkeypatch):
    keys = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "validation.txt").write_text("some text")
        monkeypatch.chdir(tmp_path / place)
        described = text_experiment(world="causal_lm", model={"validation": "validation.txt"})
        planned = plan_experiment(books, described, folder=tmp_path / "one" if place == "one" else None)
        assert planned.experiment.model["validation"] == str(tmp_path / place / "validation.txt")
        keys.append(planned.first_key(0))
    assert keys[0] == keys[1]


def test_a_manifest_that_cannot_be_written_leaves_no_generation(tmp_path):
    with pytest.raises(TypeError):
        write_generation(tmp_path / "1", {"kept": {}}, {"generations": object()}, what="x")
    assert (tmp_path / "1" / "kept.npz").exists()
    assert read_manifest(tmp_path / "1") is None


def test_what_models_wrote_returns_to_the_catalog_with_its_lineage(books):
    planned = plan_experiment(books, text_experiment())
    results = list(run_in_catalog(books, planned))
    assert len(results) == 18
    assert rows(books, "select count(*), count(distinct sampled_corpus) from generations") == [(18, 2 + 2 * 3 * 2)]
    origins = rows(books, "select origin, generation, count(*) from documents group by all order by all")
    assert ("human", 0, len(TEXTS)) in origins
    assert {row[1] for row in origins if row[0] == "model"} == {1, 2, 3}
    assert rows(books, "select distinct basis from tags where origin = 'model'") == [("recorded",)]
    edges = rows(books, "select child, parent, relation from lineage where child like 'model:tale/replace-s0/1'")
    assert edges == [("model:tale/replace-s0/1", "corpus:tale.s0.0@1", "trained_on")]
    metrics = rows(books, "select count(distinct metric), bool_and(value is not null) from metrics")
    assert metrics[0][0] >= 8
    assert rows(books, "select distinct status from runs") == [("done",)]
    assert rows(books, "select status from activities where command = 'experiment run'") == [("done",)]


def test_running_again_changes_no_row(books):
    tables = ("generations", "metrics", "models", "lineage", "documents", "runs")
    planned = plan_experiment(books, text_experiment(seeds=[0]))
    list(run_in_catalog(books, planned))
    before = {table: sorted(map(str, rows(books, f"from {table}"))) for table in tables}
    assert all(result.resumed for result in run_in_catalog(books, planned))
    assert {table: sorted(map(str, rows(books, f"from {table}"))) for table in tables} == before


def test_held_out_texts_and_their_copies_never_reach_a_training_set(catalog, run, write_jsonl):
    path = write_jsonl("twice.jsonl", [{"text": text, "id": f"{i}"} for i, text in enumerate(TEXTS * 2)])
    assert run("corpus", "add", "books", path, "--origin", "human", "--key-field", "id").exit_code == 0
    real = load_real(catalog, text_experiment().real)
    assert real.held_out
    assert not set(real.held_out) & set(real.texts)
    assert len(real.held_out) + len(real.texts) == 2 * len(TEXTS)


def test_the_real_documents_are_those_the_predicate_says(books):
    with pytest.raises(DataError, match="no document of corpus:books@1 satisfies"):
        load_real(books, text_experiment(real={"corpus": "books", "where": "origin = 'model'"}).real)
    some = load_real(books, text_experiment(real={"corpus": "books", "where": "key like '%1'", "held_out": 0.0}).real)
    assert len(some.texts) == len([n for n in range(1, len(TEXTS) + 1) if str(n).endswith("1")])


def test_a_verifier_has_nothing_to_judge_in_texts(books):
    described = text_experiment(detector={"verifier": {"phi": 0.9, "psi": 0.1}})
    with pytest.raises(ConfigError, match=r"\[detector\.verifier\] judges right and wrong samples; world 'ngram'"):
        list(run_in_catalog(books, plan_experiment(books, described)))


def test_a_held_out_corpus_trains_no_model(catalog, run, write_jsonl):
    path = write_jsonl("kept.jsonl", [{"text": text} for text in TEXTS])
    assert run("corpus", "add", "books", path, "--origin", "human", "--held-out").exit_code == 0
    with pytest.raises(ConfigError, match="corpus 'books' is held out"):
        plan_experiment(catalog, text_experiment())


def test_a_built_mix_is_real_data_too(books, run, tmp_path, write_jsonl):
    path = write_jsonl("machine.jsonl", [{"text": f"model text number {n} says so"} for n in range(20)])
    assert run("corpus", "add", "machine", path, "--origin", "model").exit_code == 0
    policy = tmp_path / "half.toml"
    policy.write_text(
        'name = "half"\n[budget]\ndocuments = 30\n'
        "[[share]]\nwhere = \"origin = 'human'\"\nshare = 0.5\n[[share]]\nwhere = \"origin = 'model'\"\nshare = 0.5\n"
    )
    assert run("mix", "lock", policy, "-o", tmp_path / "half.lock").exit_code == 0
    assert run("mix", "build", tmp_path / "half.lock").exit_code == 0
    mixed = text_experiment(name="mixed", real={"mix": "half", "held_out": 0.3}, budget={"documents": 20})
    planned = plan_experiment(books, mixed)
    assert planned.real.origin.count("model") == 15
    assert 0 < len(planned.real.held_out) < 15
    assert not any("model text" in text for text in planned.real.held_out)
    list(run_in_catalog(books, planned))
    edges = rows(books, "select distinct parent from lineage where child = 'model:mixed/s0/0'")
    assert edges == [("mix:half@1",)]


def test_near_duplicates_of_held_out_texts_are_held_out_too(catalog, run, write_jsonl):
    long = "it was the best of times it was the worst of times it was the age of wisdom it was the age of foolishness "
    texts = [f"{long * 3} chapter {n} {ending}" for n in range(12) for ending in ("one", "two")]
    path = write_jsonl("alike.jsonl", [{"text": text} for text in texts])
    assert run("corpus", "add", "books", path, "--origin", "human").exit_code == 0
    assert run("corpus", "dedup", "books").exit_code == 0
    found = load_real(catalog, text_experiment(real={"corpus": "books", "held_out": 0.5}).real)
    clusters = dict(rows(catalog, "select text, cluster_id from texts join near_duplicates using (doc_id)"))
    assert clusters
    sides = [{clusters[text] for text in side if text in clusters} for side in (found.texts, found.held_out)]
    assert not sides[0] & sides[1]


def test_what_a_held_out_corpus_holds_is_not_trained_on(books, run, write_jsonl):
    path = write_jsonl("kept.jsonl", [{"text": text} for text in TEXTS[:5]])
    assert run("corpus", "add", "exam", path, "--origin", "human", "--held-out").exit_code == 0
    found = load_real(books, text_experiment().real)
    assert not set(TEXTS[:5]) & {*found.texts, *found.held_out}


def test_an_experiment_is_forgotten_but_not_what_it_wrote(books):
    planned = plan_experiment(books, text_experiment(seeds=[0]))
    list(run_in_catalog(books, planned))
    documents = rows(books, "select count(*) from documents")
    remove(books, "tale")
    assert rows(books, "select count(*) from metrics") == [(0,)]
    assert rows(books, "select count(*) from documents") == documents
    with pytest.raises(NotFoundError, match="no experiment named 'tale'"):
        stored_experiment(books, "tale")


def test_the_command_runs_resumes_shows_and_compares(books, run, tmp_path):
    file = tmp_path / "tale.toml"
    file.write_text(
        'name = "tale"\nworld = "ngram"\ngenerations = 1\npolicies = ["replace"]\n'
        '[real]\ncorpus = "books"\n[budget]\ndocuments = 20\n'
    )
    planned = json.loads(run("experiment", "run", file, "--dry-run", "--json").stdout)
    assert (planned["schema"], planned["generations"]) == ("provenance.experiment.plan/1", 3)
    assert run("experiment", "ls", "--format", "quiet").stdout == ""
    shown = json.loads(run("experiment", "run", file, "--json").stdout)
    assert shown["columns"] == ["metric", "control", "replace", "better", "unit"]
    assert json.loads(run("experiment", "resume", "tale", "--json").stdout) == shown
    compared = json.loads(run("experiment", "compare", "tale", "bits_per_byte", "--json").stdout)
    assert compared["columns"] == ["generation", "control", "replace"]
    assert len(compared["rows"]) == 2
    last = next(row for row in shown["rows"] if row["metric"] == "bits_per_byte")
    assert {policy: last[policy] for policy in ("control", "replace")} == {
        policy: compared["rows"][-1][policy] for policy in ("control", "replace")
    }
    everything = json.loads(run("experiment", "show", "tale", "--json").stdout)["rows"]
    assert {row["policy"] for row in everything} == {"replace", "control"}
    assert run("experiment", "rm", "tale").stdout == "removed experiment tale\n"


@pytest.mark.parametrize(
    ("toml", "message", "hint"),
    [
        ('world = "ngram"', "missing key 'name'", ""),
        ('name = "a"\nwrold = "x"', "unknown key 'wrold'", "did you mean 'world'?"),
        ('name = "a"\nworld = "gausian"\ngenerations = 1\npolicies = ["replace"]\nbudget = {documents = 5}',
         "no world named 'gausian'", "did you mean 'gaussian'?"),
        ('name = "a"\nworld = "gaussian"\ngenerations = 1\npolicies = ["repalce"]\nbudget = {documents = 5}',
         "no policy named 'repalce'", "shipped: "),
        ('name = "a"\nworld = "ngram"\ngenerations = 1\npolicies = ["replace"]\nbudget = {documents = 5}',
         "world 'ngram' needs texts", "name a corpus or a mix"),
        (TINY + 'real.corpus = "b"', "no corpus named 'b'", ""),
        (TINY + 'metrics.names = ["perplexity", "zipf"]', "metrics.names[2]: no metric named 'zipf'", ""),
        (TINY + 'figure.metric = "perplexty"', "figure.metric: no metric named 'perplexty'", "did you mean 'perpl"),
        (TINY + 'figure = {metric = "perplexity", x = "size"}', "neither generation nor a [[sweep]]: 'size'", ""),
        (TINY + 'price = {metric = "perplexity", level = 9, axis = "real"}', "no [[sweep]] is named 'real'", ""),
        (TINY + "seeds = [-1]", "seeds[1]: Input should be greater than or equal to 0, got -1", ""),
        (TINY + "seeds = [99999999999999999999]", "seeds[1]: Input should be less than 9223372036854775808", ""),
        ('name = "a"\nworld = "kde"\ngenerations = 1\npolicies = ["replace", {name = "p", share = [{share = 0.9}]}]',
         "policies[2]: the shares sum to 0.9, not 1", ""),
    ],
)  # fmt: skip
def test_a_wrong_experiment_file_is_one_error_with_a_hint(run, tmp_path, catalog, toml, message, hint):
    file = tmp_path / "wrong.toml"
    file.write_text(toml)
    result = run("experiment", "run", file)
    assert result.exit_code == 2
    error, *rest = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert hint in "".join(rest)
    assert rows(catalog, "select count(*) from experiments") == [(0,)]


def test_every_shipped_recipe_is_a_valid_experiment_under_its_own_name():
    from provenance.recursion.in_catalog import shipped

    for kind, name, description in shipped():
        assert description
        if kind == "experiment":
            for found in named_experiments(name)[0]:
                assert (found.family or found.name) == name
                assert found.resolved_policies()


def statistical_recipes():
    from provenance.plugins import WORLDS
    from provenance.recursion.in_catalog import shipped

    experiments = [name for kind, name, _ in shipped() if kind == "experiment"]
    neural = {"causal_lm", "diffusion", "vae", "ngram"}
    assert neural < set(WORLDS)
    return [name for name in experiments if named_experiments(name)[0][0].world not in neural]


@pytest.mark.parametrize("name", statistical_recipes())
def test_every_statistical_recipe_runs_at_debug_size(tmp_path, name):
    first = named_experiments(name)[0][0]
    small = first.model_copy(
        update={"generations": 2, "record_every": 1, "seeds": [0], "model": {**first.model, "replicas": 2}}
    )
    plan = Plan(experiment=small, policies=small.resolved_policies(), folder=tmp_path)
    results = list(run_experiment(plan))
    assert len(results) == 3 * len(plan.policies)
    figure = first.figure
    measured = {measured.metric for result in results for measured in result.metrics}
    assert (figure.metric if figure else first.price.metric) in measured

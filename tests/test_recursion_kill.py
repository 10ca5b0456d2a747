"""Killed at random moments and resumed, an experiment ends with the same bytes and the same catalog rows."""

import subprocess
import sys
from pathlib import Path

import pytest

from provenance.catalog.query import run_query
from provenance.catalog.store import Catalog
from provenance.recursion.config import load_experiments
from provenance.recursion.in_catalog import plan_experiment, run_in_catalog
from provenance.recursion.manifest import digest, read_arrays, read_manifest

DRIVER = Path(__file__).with_name("kill_experiment.py")
SENTENCES = [
    f"{a} {b} {c} the {d}." for a in "ABC" for b in ("saw", "met") for c in ("all", "none") for d in ("hat", "car")
]

TEXTS_TOML = """
name = "tale"
world = "ngram"
generations = 4
policies = ["replace", "accumulate"]
[real]
corpus = "books"
[budget]
documents = 12
"""

NUMBERS_TOML = """
name = "drift"
world = "categorical"
generations = 40
record_every = 4
policies = ["replace", "accumulate_subsample", "detected"]
[budget]
documents = 20
on_shortfall = "upsample"
[real]
samples = 60
[model]
replicas = 3
states = 5
[detector.simulated]
true_positive_rate = 0.8
false_positive_rate = 0.1
"""

# Everything but times, and the ids of the commands that happened to do the work.
VIEWS = {
    "corpora": "corpus, version, documents, bytes, content_root",
    "documents": "doc_id, corpus, key, text_sha256, generation, generation_max, human_ancestry, origin",
    "experiments": "experiment, world, config, fingerprint",
    "runs": "experiment, run_id, policy, seed, status, config",
    "generations": "* EXCLUDE (seconds)",
    "metrics": "*",
    "models": "*",
    "lineage": "child, parent, relation",
    "tags": "doc_id, origin, basis",
}


def prepared(folder: Path, toml: str) -> tuple[Catalog, Path]:
    from provenance.corpus.ingest import add_corpus
    from provenance.corpus.prepare import Fields
    from provenance.types import Origin

    folder.mkdir()
    (folder / "plan.toml").write_text(toml)
    (folder / "books.jsonl").write_text("".join(f'{{"text": "{text}"}}\n' for text in SENTENCES))
    catalog = Catalog.init(folder)
    add_corpus(catalog, "books", [str(folder / "books.jsonl")], Fields(), origin=Origin.HUMAN)
    return catalog, folder / "plan.toml"


def state(catalog: Catalog, file: Path) -> dict[str, object]:
    """All rows without times, all manifests without seconds, all arrays by hash."""
    found: dict[str, object] = {
        view: sorted(map(repr, run_query(catalog, f"select {columns} from {view}").rows))
        for view, columns in VIEWS.items()
    }
    plan = plan_experiment(catalog, load_experiments(file)[0])
    for run in plan.runs:
        for folder, _ in plan.segments(run):
            manifest = read_manifest(folder)
            assert manifest is not None
            for entry in manifest["generations"]:
                entry.pop("seconds")
            arrays = [digest(read_arrays(folder, name)) for name in ("training", "kept", "model")]
            found[str(folder.relative_to(catalog.root))] = (manifest, arrays)
    return found


def killed_and_resumed(catalog: Catalog, file: Path, *, kills: int, seed: int) -> int:
    command = [sys.executable, str(DRIVER), str(catalog.root), str(file), str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def uninterrupted(folder: Path, toml: str) -> dict[str, object]:
    catalog, file = prepared(folder, toml)
    for _ in run_in_catalog(catalog, plan_experiment(catalog, load_experiments(file)[0])):
        pass
    return state(catalog, file)


@pytest.mark.parametrize("toml", [TEXTS_TOML, NUMBERS_TOML], ids=["texts", "numbers"])
def test_a_killed_experiment_resumes_to_the_same_bytes_and_rows(tmp_path, toml):
    toml = toml.replace("generations = 40", "generations = 12").replace("generations = 4", "generations = 2")
    catalog, file = prepared(tmp_path / "killed", toml)
    assert killed_and_resumed(catalog, file, kills=3, seed=1) > 0
    assert state(catalog, file) == uninterrupted(tmp_path / "whole", toml)


@pytest.mark.slow
@pytest.mark.parametrize("toml", [TEXTS_TOML, NUMBERS_TOML], ids=["texts", "numbers"])
def test_thirty_kills_at_random_moments_change_nothing(tmp_path, toml):
    expected = uninterrupted(tmp_path / "whole", toml)
    hits = 0
    for attempt in range(40):
        catalog, file = prepared(tmp_path / f"killed-{attempt}", toml)
        hits += killed_and_resumed(catalog, file, kills=6, seed=attempt)
        assert state(catalog, file) == expected
        if hits >= 30:
            return
    pytest.fail(f"only {hits} kills hit a running process")

"""What a user can get wrong, from the command line: one error that names the thing, a hint, and nothing changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from provenance.catalog.query import run_query
from provenance.catalog.store import Catalog
from provenance.corpus.ingest import add_corpus
from provenance.corpus.prepare import Fields
from provenance.detectors.weights import WEIGHTS, load_weights, save_weights
from provenance.errors import DataError
from provenance.recursion.manifest import read_arrays
from provenance.recursion.models.images import load_images
from provenance.tagging.reading import READING, REFERENCE, load_reading
from provenance.types import Origin

POLICY = """
name = "half"
[budget]
documents = 2
[[share]]
where = "origin = 'human'"
share = 1.0
"""

EXPERIMENT = """
name = "tiny"
world = "ngram"
generations = 1
policies = ["replace"]
[real]
corpus = "c"
[budget]
documents = 2
"""


@pytest.fixture
def filled(catalog: Catalog, write_jsonl: Any) -> Catalog:
    rows = [{"text": f"the quick brown fox number {i} jumps over the lazy dog"} for i in range(8)]
    add_corpus(catalog, "c", [str(write_jsonl("a.jsonl", rows))], Fields(), origin=Origin.HUMAN)
    return catalog


def state(catalog: Catalog) -> list[tuple[Any, ...]]:
    views = ("corpora", "documents", "tags", "evidence", "mixes", "runs", "metrics", "lineage")
    return [run_query(catalog, f"select count(*) from {view}").rows[0] for view in views]


@pytest.mark.parametrize(
    ("text", "exit_code", "says"),
    [
        (POLICY.replace("share = 1.0", "shares = 1.0"), 2, "shares"),
        (POLICY.replace("share = 1.0", "share = 0.7"), 2, "0.7"),
        (POLICY.replace("share = 1.0", "share = 1.7"), 2, "1.7"),
        (POLICY.replace("origin = 'human'", "orign = 'human'"), 2, "orign"),
        (POLICY.replace("origin = 'human'", "origin = "), 2, "origin ="),
        (
            POLICY.replace("origin = 'human'", "1 = 1) or (select count(*) from read_csv('x')) > 0 or (1 = 1"),
            2,
            "share 1",
        ),
        (POLICY.replace('name = "half"', 'name = "half"\nfrom = ["nowhere"]'), 2, "nowhere"),
        (POLICY.replace("documents = 2", "documents = 200"), 2, "200"),
        (POLICY.replace("documents = 2", "documents = 0"), 2, "documents"),
        ("name = half", 2, "not TOML"),
    ],
)
def test_a_wrong_policy_is_refused(
    filled: Catalog, run: Callable[..., Result], tmp_path: Path, text: str, exit_code: int, says: str
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    before = state(filled)
    for command in ("plan", "lock"):
        result = run("mix", command, path)
        assert result.exit_code == exit_code, result.output
        assert result.stderr.startswith("error: ")
        assert says in result.stderr
    assert state(filled) == before
    assert not list(tmp_path.glob("*.lock.json"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (EXPERIMENT + "[sampling]\ntemprature = 1.0\n", "temprature"),
        (EXPERIMENT.replace('world = "ngram"', 'world = "ngrm"'), "ngrm"),
        (EXPERIMENT.replace('corpus = "c"', 'corpus = "d"'), "'d'"),
        (EXPERIMENT.replace('["replace"]', '["replase"]'), "replase"),
        (EXPERIMENT.replace("generations = 1", "generations = 0"), "generations"),
        (EXPERIMENT.replace('corpus = "c"', 'corpus = "c"\nwhere = "sub = 1"'), "sub"),
    ],
)
def test_a_wrong_experiment_is_refused(
    filled: Catalog, run: Callable[..., Result], tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "experiment.toml"
    path.write_text(text)
    before = state(filled)
    result = run("experiment", "run", path)
    assert result.exit_code in {2, 3}, result.output
    assert result.stderr.startswith("error: ")
    assert says in result.stderr.replace(",", "")
    assert state(filled) == before


def test_an_experiment_that_asks_for_more_than_there_is_says_so_and_measures_nothing(
    filled: Catalog, run: Callable[..., Result], tmp_path: Path
) -> None:
    path = tmp_path / "experiment.toml"
    path.write_text(EXPERIMENT.replace("documents = 2", "documents = 2000"))
    result = run("experiment", "run", path)
    assert result.exit_code in {2, 3}
    assert result.stderr.startswith("error: ")
    assert "2000" in result.stderr.replace(",", "")
    assert run_query(filled, "select count(*) from metrics").rows == [(0,)]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["corpus", "show", "nope"], 2, "nope"),
        (["corpus", "show", "c@9"], 2, "no version 9"),
        (["corpus", "show", "c@x"], 2, "c@x"),
        (["corpus", "show", "doc:ffffffff"], 2, "ffffffff"),
        (["corpus", "show", f"doc:{'f' * 33}"], 2, "f" * 33),
        (["corpus", "show", f"doc:{'f' * 36}"], 2, "f" * 36),
        (["tag", "explain", "doc:----"], 2, "'doc:----' is no document id"),
        (["corpus", "dedup", "nope"], 2, "nope"),
        (["corpus", "dedup", "c", "--threshold", "0"], 2, "0"),
        (["corpus", "rm", "nope"], 2, "nope"),
        (["corpus", "frobnicate"], 2, "frobnicate"),
        (["tag", "run", "nope"], 2, "nope"),
        (["tag", "explain", "doc:zz"], 2, "zz"),
        (["tag", "estimate", "nope"], 2, "nope"),
        (["detector", "train", "nope"], 2, "nope"),
        (["mix", "show", "nope"], 2, "nope"),
        (["mix", "build", "missing.lock.json"], 2, "missing.lock.json"),
        (["experiment", "show", "nope"], 2, "nope"),
        (["experiment", "run", "nope"], 2, "nope"),
        (["lineage", "show", "model:nope"], 2, "nope"),
        (["snapshot", "show", "nope"], 2, "nope"),
        (["diff", "c", "nope"], 2, "nope"),
        (["report", "build", "nope"], 2, "nope"),
    ],
)
def test_a_wrong_name_is_refused(
    filled: Catalog, run: Callable[..., Result], arguments: list[str], exit_code: int, says: str
) -> None:
    before = state(filled)
    result = run(*arguments)
    assert result.exit_code == exit_code, result.output
    assert result.stderr.startswith("error: ")
    assert "hint: " in result.stderr
    assert says in result.stderr
    assert state(filled) == before


def test_detectors_do_not_learn_from_one_class(filled: Catalog, run: Callable[..., Result]) -> None:
    result = run("detector", "train", "c")
    assert result.exit_code in {2, 3}
    assert result.stderr.startswith("error: ")


def test_a_damaged_shard_is_named(filled: Catalog, run: Callable[..., Result]) -> None:
    (shard,) = (filled.root / "corpora").rglob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:-40])
    result = run("corpus", "dedup", "c")
    assert result.exit_code == 3
    assert shard.name in result.stderr


def cut_short(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def changed_within(whole: bytes) -> bytes:
    return whole[:60] + bytes([whole[60] ^ 255]) + whole[61:]


def emptied(whole: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [cut_short, changed_within, emptied])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_file_of_arrays_is_named_by_whoever_reads_it(
    damage: Callable[[bytes], bytes], save: Callable[..., None], tmp_path: Path
) -> None:
    save_weights(tmp_path, "stack", 1, {"x": np.arange(99)}, {})
    (tmp_path / READING).write_text("{}")
    for name in (WEIGHTS, REFERENCE, "training.npz", "spoken.npz"):
        save(tmp_path / name, x=np.arange(99))
        (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    readers: list[Callable[[], Any]] = [
        lambda: load_weights(tmp_path, "stack", 1),
        lambda: load_reading(tmp_path, "1"),
        lambda: read_arrays(tmp_path, "training"),
        lambda: load_images(str(tmp_path / "spoken.npz")),
    ]
    for read in readers:
        with pytest.raises(DataError, match=r"\.npz cannot be read"):
            read()

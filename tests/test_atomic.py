"""Tagging and mixing killed at any step: the catalog shows all of it or none, and the same command finishes it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from provenance.catalog.query import run_query
from provenance.catalog.store import Catalog
from provenance.corpus.ingest import add_corpus
from provenance.corpus.prepare import Fields
from provenance.types import Origin

POLICY = """
name = "all"
[budget]
documents = 6
[[share]]
where = "origin = 'human'"
share = 1.0
"""

# Runs one command line and kills itself right after (or instead of) the function named first.
KILLED = """
import importlib, os, signal, sys
point, *arguments = sys.argv[1:]
module, _, name = point.partition(":")
home = importlib.import_module(module)
target, _, method = name.partition(".")
owner = getattr(home, target) if method else home
original = getattr(owner, method or target)
def then_die(*a, **k):
    original(*a, **k)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, method or target, then_die)
from provenance.cli import cli
cli.main(arguments, prog_name="provenance")
"""


@pytest.fixture
def filled(catalog: Catalog, write_jsonl: Any) -> Catalog:
    rows = [{"text": f"text number {i} says what it says, and then it says some more of it"} for i in range(8)]
    add_corpus(catalog, "c", [str(write_jsonl("a.jsonl", rows))], Fields(), origin=Origin.HUMAN)
    return catalog


def kill(catalog: Catalog, point: str, *arguments: str | Path) -> None:
    environment = os.environ | {"PROVENANCE_CATALOG": str(catalog.root)}
    command = [sys.executable, "-c", KILLED, point, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr


def count(catalog: Catalog, view: str) -> int:
    number: int = run_query(catalog, f"select count(*) from {view}").rows[0][0]
    return number


@pytest.mark.parametrize(
    "point",
    [
        "provenance.tagging.stage:read_metadata",
        "provenance.tagging.stage:tags_of",
        "provenance.tagging.stage:write_tags",
    ],
)
def test_a_killed_tag_run_tags_nothing_and_the_same_command_tags_all(
    filled: Catalog, run: Callable[..., Result], point: str
) -> None:
    kill(filled, point, "tag", "run", "c", "--detector", "boilerplate")
    assert count(filled, "tags") == 0
    assert run("tag", "run", "c", "--detector", "boilerplate").exit_code == 0
    assert count(filled, "tags") == 8
    # What was read before the kill is not read again: one declaration per document.
    assert run_query(filled, "select count(*) from evidence where kind = 'declared'").rows == [(8,)]


@pytest.mark.parametrize(
    "point",
    ["provenance.mixing.build:locked_rows", "provenance.mixing.build:export", "provenance.mixing.build:insert_mix"],
)
def test_a_killed_build_leaves_no_mix_and_no_file_and_the_same_command_builds_it(
    filled: Catalog, run: Callable[..., Result], tmp_path: Path, point: str
) -> None:
    policy, lock, target = tmp_path / "all.toml", tmp_path / "all.lock.json", tmp_path / "out" / "mix.parquet"
    policy.write_text(POLICY)
    target.parent.mkdir()
    assert run("mix", "lock", policy, "-o", lock).exit_code == 0
    kill(filled, point, "mix", "build", lock, "--locked", "-o", target)
    assert count(filled, "mixes") == 0
    assert count(filled, "mix_documents") == 0
    built = run("mix", "build", lock, "--locked", "-o", target)
    assert built.exit_code == 0, built.output
    assert count(filled, "mix_documents") == 6
    first = target.read_bytes()
    assert run("mix", "build", lock, "--locked", "-o", target).exit_code == 0
    assert target.read_bytes() == first
    assert [path.name for path in target.parent.iterdir()] == ["mix.parquet"]

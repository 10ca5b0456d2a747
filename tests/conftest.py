"""Fixtures every test file may use: a fresh catalog, and small documents on disk."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from provenance.catalog.store import Catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """An empty catalog in a folder of its own."""
    folder = tmp_path / "catalog"
    folder.mkdir()
    return Catalog.init(folder)


@pytest.fixture
def write_jsonl(tmp_path: Path) -> Callable[[str, Iterable[Mapping[str, Any]]], Path]:
    """`write_jsonl(name, records)` writes a JSONL file and gives its path."""

    def write(name: str, records: Iterable[Mapping[str, Any]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        return path

    return write


@pytest.fixture
def run(catalog: Catalog) -> Callable[..., Result]:
    """`run("corpus", "ls")` runs a command on the `catalog` fixture."""

    def invoke(*args: str | Path, stdin: str | bytes | None = None) -> Result:
        from provenance.cli import cli

        words = [str(arg) for arg in args]
        return CliRunner(catch_exceptions=False).invoke(
            cli, words, input=stdin, env={"PROVENANCE_CATALOG": str(catalog.root), "COLUMNS": "200"}
        )

    return invoke

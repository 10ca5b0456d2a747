"""Fixtures every test file may use: a fresh catalog, and small documents on disk."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from provenance import sample
from provenance.catalog.store import Catalog
from provenance.seeds import stream
from provenance.tagging.crossval import Labelled


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


@pytest.fixture(scope="session")
def run_on() -> Callable[..., Result]:
    """`run_on(catalog, "corpus", "ls")` runs a command on any catalog."""

    def invoke(catalog: Catalog, *args: str | Path) -> Result:
        from provenance.cli import cli

        words = [str(arg) for arg in args]
        return CliRunner(catch_exceptions=False).invoke(
            cli, words, env={"PROVENANCE_CATALOG": str(catalog.root), "COLUMNS": "200"}
        )

    return invoke


@pytest.fixture(scope="session")
def labelled() -> Labelled:
    """The shipped labelled corpus in memory: people's text and a small model's, by domain."""
    with pa.CompressedInputStream(pa.OSFile(str(sample.path("labelled"))), "zstd") as source:
        rows = [json.loads(line) for line in source.read().decode().splitlines()]
    is_model = np.array([row["label"] == "model" for row in rows])
    return Labelled(
        texts=[row["text"] for row in rows],
        is_model=is_model,
        domains=[row["domain"] for row in rows],
        generators=["smollm" if model else "" for model in is_model],
    )


@pytest.fixture(scope="session")
def written() -> Callable[..., list[str]]:
    """`written(count, tic=…)`: texts of short sentences, half of which open with `tic`."""
    nouns = ["house", "river", "woman", "table", "winter", "letter", "garden", "door", "road", "child", "market"]
    verbs = ["kept", "found", "saw", "left", "moved", "opened", "held", "lost", "took", "built", "watched"]

    def write(count: int, *, tic: str, seed: int = 0) -> list[str]:
        rng = stream(seed, "written", tic)
        texts = []
        for _ in range(count):
            parts = []
            for _ in range(8):
                a, b, verb = (words[int(rng.integers(0, 11))] for words in (nouns, nouns, verbs))
                opening = f"{tic} the" if rng.random() < 0.5 else "The"
                parts.append(f"{opening} {a} {verb} the {b} and then it was gone from there.")
            texts.append(" ".join(parts))
        return texts

    return write


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal language model of a few thousand parameters with a byte tokenizer, as a folder."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate([*alphabet, "<end>"])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=257, n_positions=512, n_embd=16, n_layer=1, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder

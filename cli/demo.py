"""The `demo` command: the program's main job on the sample corpora, as the very commands a user would type."""

import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from .common import note

FOLDER = "provenance-demo"


def steps(sample: Path) -> list[tuple[str, list[str]]]:
    """What the demo does: a sentence and a command line each. The tutorial shows the same list."""
    fields = ["--key-field", "id", "--subgroup-field", "subgroup"]

    def add(name: str, *options: str) -> list[str]:
        return ["corpus", "add", name, str(sample / f"{name}.jsonl.zst"), *fields, *options]

    return [
        ("A catalog to keep everything in.", ["init"]),
        (
            "Human text: paragraphs of State of the Union addresses, 1790 to 2021.",
            add("speeches", "--date-field", "year", "--origin", "human", "--license", "PDDL-1.0"),
        ),
        ("Human text of another kind: Moby Dick.", add("novel", "--origin", "human", "--license", "PDDL-1.0")),
        (
            "Text a small language model wrote, declared as such.",
            add("smollm", "--origin", "model", "--generator-field", "generator", "--license", "Apache-2.0"),
        ),
        ("A crawl that declares itself human. Part of it is not.", add("web", "--origin", "human")),
        ("Human text that no mix may draw from.", add("heldout", "--origin", "human", "--held-out")),
        (
            "Labelled text for a detector to learn from.",
            add("labelled", "--origin-field", "label", "--meta-fields", "domain"),
        ),
        ("Near-duplicates, verified; nothing is deleted.", ["corpus", "dedup", "speeches", "novel", "smollm", "web"]),
        ("Train a detector, each domain held out in turn.", ["detector", "train", "labelled", "--group", "domain"]),
        ("Score the documents and decide.", ["tag", "run", "speeches", "novel", "smollm", "web"]),
        (
            "Read the detector against known-human text like the crawl.",
            ["tag", "calibrate", "web", "--human", "heldout"],
        ),
        ("Decide again; nothing is scored twice.", ["tag", "run", "web"]),
        ("Declared human, looks model.", ["tag", "conflicts", "web", "-n", "5"]),
        ("How much of the crawl is model text?", ["tag", "estimate", "web", "--model", "smollm"]),
        ("What a mix would hold, before anything is written.", ["mix", "plan", "human-first"]),
        ("Fix it in a lock …", ["mix", "lock", "human-first", "-o", "human-first.lock.json"]),
        ("… and build it, byte for byte.", ["mix", "build", "human-first.lock.json", "--locked", "-o", "mix.parquet"]),
        ("Train on what models wrote, generation after generation.", ["experiment", "run", "demo"]),
        (
            "Where everything came from.",
            ["sql", "select origin, generation, count(*) as documents from documents group by all order by all"],
        ),
        ("One file to look at.", ["report", "build", "-o", "report.html", "--title", "The demo"]),
    ]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=FOLDER)
def demo(folder: Path) -> None:
    """Run the whole job on the sample corpora that ship, in FOLDER (default: provenance-demo).

    Every step is a command you can type yourself and is printed before it runs. Running the demo again in the same
    folder repeats nothing that is already done.
    """
    import provenance.sample

    from .main import cli

    folder.mkdir(parents=True, exist_ok=True)
    commands = steps(provenance.sample.path("speeches").parent)
    started = time.perf_counter()
    with _working_in(folder):
        for why, arguments in commands:
            note(f"\n# {why}\n$ provenance {shlex.join(_shown(arguments))}")
            with cli.make_context("provenance", list(arguments)) as context:
                cli.invoke(context)
    note(f"\n{len(commands)} commands in {time.perf_counter() - started:.0f} s")
    click.echo(folder / "report.html")


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Work in `folder` with its own catalog, whatever PROVENANCE_CATALOG says."""
    before, chosen = Path.cwd(), os.environ.pop("PROVENANCE_CATALOG", None)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        if chosen is not None:
            os.environ["PROVENANCE_CATALOG"] = chosen


def _shown(arguments: list[str]) -> list[str]:
    """Sample files by their names: their folder depends on the installation."""
    return [Path(a).name if a.endswith(".zst") else a for a in arguments]

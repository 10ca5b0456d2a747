"""Writes docs/reference/cli.md from the commands' own help, views.md from the views' own comments, policies.md and
experiments.md from the config models, and the tables of docs/detectors.md from detect.json, elsewhere.json and
paraphrases.json in bench/results.

tests/test_docs.py fails when the files differ from what this script would write.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import click
import reference_files
from provenance.cli import cli

from provenance.catalog.query import list_views
from provenance.catalog.store import Catalog

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
DETECTORS = ROOT / "docs" / "detectors.md"
MADE = "<!-- Written by scripts/make_reference.py; change the texts in the code, then run `make docs`. -->\n"


def cli_page() -> str:
    """Every command with its help."""
    parts = [
        MADE,
        "# Command line\n",
        *_describe(cli, click.Context(cli, info_name="provenance", terminal_width=100, **cli.context_settings)),
    ]
    return "\n".join(parts)


def _describe(command: click.Command, context: click.Context) -> list[str]:
    parts = [f"## `{context.command_path}`\n", "```text", command.get_help(context).rstrip(), "```\n"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            parts += _describe(child, click.Context(child, parent=context, info_name=name, terminal_width=100))
    return parts


def views_page() -> str:
    """Every public view with its columns."""
    with tempfile.TemporaryDirectory() as folder:
        views = list_views(Catalog.init(Path(folder)))
    parts = [MADE, "# Views\n", "What `provenance sql` offers. Names and columns stay; a column may be added.\n"]
    for view in views:
        parts += [f"## `{view.name}`\n", f"{view.comment}\n", "| column | type |", "|---|---|"]
        parts += [f"| {name} | {kind} |" for name, kind in view.columns]
        parts.append("")
    return "\n".join(parts)


def detectors_page() -> str:
    """The page on detection, with each table between `<!-- table NAME -->` and `<!-- end -->` measured anew."""
    results = ROOT / "bench" / "results"
    found = json.loads((results / "detect.json").read_text(encoding="utf-8"))
    elsewhere = json.loads((results / "elsewhere.json").read_text(encoding="utf-8"))
    paraphrases = json.loads((results / "paraphrases.json").read_text(encoding="utf-8"))
    tables = {
        "held_out_domains": _nested(found["held_out_domains"], "detector", "domain held out"),
        "held_out_generators": _flat(found["held_out_generators"], "generator held out"),
        "attacks": _flat(found["attacks_on_held_out_domains"], "disguise of the model texts"),
        "one_threshold": _flat(found["one_threshold_for_all"], "domain"),
        "conformal": _flat(found["conformal_200_local_humans"], "domain"),
        "calibration_error": _flat(found["calibration_error_20_and_20"], "domain held out"),
        "prevalence": _flat(
            {name: _plain(body) for name, body in _parts(found["prevalence"]).items()}, "known local texts"
        ),
        "prevalence_domains": _nested(
            {name: body["by_domain"] for name, body in _parts(found["prevalence"]).items()}, "known", "domain"
        ),
        "elsewhere": _flat(_with_intervals(elsewhere["ranking"]), "texts"),
        "shares_elsewhere": _flat(elsewhere["shares"], "texts"),
        "writers": _flat(_with_intervals(elsewhere["writers"]), "human texts of"),
        "registry": _pairs(found["registry"], "what was done to the text", "matched"),
        "paraphrases": _flat(paraphrases["paraphrases"], "rewritten by"),
        "speed": _pairs(found["speed"], "detector", "texts per second"),
        "likelihood": _pairs(found["likelihood"], "likelihood on a CPU", "measured"),
    }
    return re.sub(
        r"(<!-- table (\w+) -->\n).*?(<!-- end -->)",
        lambda match: f"{match[1]}{tables[match[2]]}{match[3]}",
        DETECTORS.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )


def _parts(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "measured"}


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if not isinstance(value, dict)}


def _with_intervals(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A measured value in words: [value, low, high] as `value (low to high)`, nothing where too few texts tell."""
    words = {list: lambda value: f"{value[0]} ({value[1]} to {value[2]})", type(None): lambda _: ""}
    return {
        name: {column: words.get(type(value), str)(value) for column, value in row.items()}
        for name, row in rows.items()
    }


def _pairs(body: dict[str, Any], first: str, second: str) -> str:
    return _flat({name: {second: value} for name, value in _parts(body).items()}, first)


def _nested(body: dict[str, Any], outer: str, inner: str) -> str:
    """Two levels of rows: the outer name stands in a column of its own."""
    rows = {f"{one} | {two}": values for one, some in _parts(body).items() for two, values in some.items()}
    return _flat(rows, f"{outer} | {inner}")


def _flat(body: dict[str, Any], first: str) -> str:
    """One row per name; columns are the names of the values."""
    rows = _parts(body)
    columns = list(dict.fromkeys(column for values in rows.values() for column in values))
    head = f"| {first} | " + " | ".join(column.replace("_", " ") for column in columns) + " |"
    rule = "|---" * (head.count("|") - 1) + "|"
    lines = [
        f"| {name} | " + " | ".join(str(values.get(c, "")) for c in columns) + " |" for name, values in rows.items()
    ]
    return "\n".join([head, rule, *lines]) + "\n"


def pages() -> dict[Path, str]:
    """Each generated file and its text."""
    return {
        REFERENCE / "cli.md": cli_page(),
        REFERENCE / "views.md": views_page(),
        REFERENCE / "policies.md": f"{MADE}\n{reference_files.policies_page()}",
        REFERENCE / "experiments.md": f"{MADE}\n{reference_files.experiments_page()}",
        DETECTORS: detectors_page(),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.name}: {len(text):,} characters")

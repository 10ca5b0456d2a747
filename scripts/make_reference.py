"""Writes docs/reference/cli.md from the commands' own help and docs/reference/views.md from the views' own comments.

tests/test_docs.py fails when the files differ from what this script would write.
"""

import tempfile
from pathlib import Path

import click
from provenance.cli import cli

from provenance.catalog.query import list_views
from provenance.catalog.store import Catalog

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "<!-- Written by scripts/make_reference.py; change the help texts, then run `make docs`. -->\n"


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


def pages() -> dict[Path, str]:
    """Each generated file and its text."""
    return {REFERENCE / "cli.md": cli_page(), REFERENCE / "views.md": views_page()}


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.name}: {len(text):,} characters")

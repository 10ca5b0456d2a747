"""The docs against the program: generated pages are current, every command has help, links lead somewhere."""

import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from provenance.cli import cli

from provenance.mixing.policy import load_policy
from provenance.plugins import DETECTORS
from provenance.recursion.config import load_experiments
from provenance.tagging.rules import Rules
from provenance.tagging.stored import settings_of

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, click.Context(child, parent=context, info_name=name))


ALL_COMMANDS = dict(commands(cli, click.Context(cli, info_name="provenance", **cli.context_settings)))


def test_the_generated_pages_are_what_the_program_says_now(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")  # some worlds' settings need it
    monkeypatch.syspath_prepend(ROOT / "scripts")
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "scripts" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stale = [path.name for path, text in module.pages().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run: make docs"


def test_the_rules_that_the_how_to_shows_are_all_there_are_with_their_defaults() -> None:
    text = (ROOT / "docs" / "how-to.md").read_text(encoding="utf-8")
    shown = tomllib.loads(
        text.partition("change how evidence becomes a tag")[2].partition("```toml")[2].partition("```")[0]
    )
    assert shown == {name: getattr(Rules(), name) for name in Rules.__slots__}


def test_the_how_to_names_the_commands_without_json() -> None:
    text = (ROOT / "docs" / "how-to.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z ]+)`", text.partition("Without it\nare ")[2].partition(":")[0])
    leaves = {path: command for path, command in ALL_COMMANDS.items() if not isinstance(command, click.Group)}
    without = [path for path, one in leaves.items() if not any("--json" in param.opts for param in one.params)]
    assert sorted(f"provenance {name}" for name in named) == sorted(without)


def test_the_page_on_detectors_has_every_setting_with_its_default() -> None:
    text = (ROOT / "docs" / "detectors.md").read_text(encoding="utf-8").partition("## Settings")[2].partition("##")[0]
    shown = [tuple(cell.strip(" `") for cell in line.split("|")[1:4]) for line in text.splitlines() if "| `" in line]
    assert sorted(shown) == sorted(
        (name, setting, "needed" if default is None else str(default))
        for name in DETECTORS
        for setting, default in settings_of(DETECTORS.load(name)).items()
    )


@pytest.mark.parametrize("path", ALL_COMMANDS)
def test_every_command_and_option_has_help(path: str) -> None:
    command = ALL_COMMANDS[path]
    assert command.help
    silent = [p.name for p in command.params if isinstance(p, click.Option) and not p.help and p.name != "help"]
    assert silent == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_command_line_in_the_docs_names_a_real_command_with_real_options(page: Path) -> None:
    wrong = []
    for line in re.findall(r"^\s*(?:\$ )?(provenance [^\n#|]*)", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        words = line.split()
        path = words[0]
        while len(words) > 1 and f"{path} {words[1]}" in ALL_COMMANDS:
            path = f"{path} {words.pop(1)}"
        command = ALL_COMMANDS[path]
        if isinstance(command, click.Group) and len(words) > 1 and re.fullmatch(r"[a-z-]+", words[1]):
            wrong.append(f"{path} {words[1]}")
        known = {opt for p in command.params for opt in (*p.opts, *p.secondary_opts)} | {"--help", "-h", "--version"}
        wrong += [f"{path} {w}" for w in words[1:] if re.fullmatch(r"--[a-z-]+", w) and w not in known]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_inside_the_docs_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if not t.startswith(("http://", "https://")) and not (page.parent / t).exists()]
    assert missing == []


@pytest.mark.parametrize("page", ["policies", "experiments"])
def test_every_file_shown_in_the_reference_passes_the_programs_own_check(page: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "reference" / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        file = tmp_path / "shown.toml"
        file.write_text(block, encoding="utf-8")
        if page == "policies":
            load_policy(str(file))
        else:
            load_experiments(file)


def test_every_key_metric_and_column_of_the_reference_has_a_meaning() -> None:
    silent = []
    for page in ("policies", "experiments"):
        for line in (ROOT / "docs" / "reference" / f"{page}.md").read_text(encoding="utf-8").splitlines():
            cells = re.split(r"(?<!\\)\|", line)
            if line.startswith("| `") and not cells[-2].strip():
                silent.append(line)
    assert silent == []

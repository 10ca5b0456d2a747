"""The import rules of docs/architecture.md, held by walking the syntax of every module."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TORCH_FILES = ("recursion/models", "recursion/training", "recursion/decoding", "recursion/kernels", "detectors")


def modules() -> list[Path]:
    return sorted(p for folder in ("provenance", "cli", "schemas") for p in (ROOT / folder).rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_level_imports(tree: ast.Module) -> Iterator[str]:
    """What runs on import: the module body without function bodies and without `if TYPE_CHECKING`."""
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.ClassDef):
            continue
        yield from imports(node)


def offenders(banned: tuple[str, ...], allowed: tuple[str, ...], *, top_only: bool = False) -> list[str]:
    found = []
    for path in modules():
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(allowed):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        seen = module_level_imports(tree) if top_only else imports(tree)
        found += [f"{name}: {i}" for i in seen if i.split(".")[0] in banned or i.startswith(banned)]
    return found


def test_only_the_catalog_imports_duckdb() -> None:
    # A type-checking import names a type and opens nothing.
    found = []
    for path in modules():
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith("provenance/catalog/"):
            found += [name for i in imports(ast.parse(path.read_text(encoding="utf-8"))) if i.split(".")[0] == "duckdb"]
    assert found == []


def test_only_the_command_line_imports_click() -> None:
    assert offenders(("click",), ("cli/",)) == []


def test_only_render_imports_jinja2() -> None:
    assert offenders(("jinja2",), ("provenance/report/render.py",)) == []


def test_torch_and_transformers_are_imported_at_module_level_only_where_models_live() -> None:
    allowed = tuple(f"provenance/{p}" for p in TORCH_FILES)
    assert offenders(("torch", "transformers"), allowed, top_only=True) == []


def test_detectors_see_no_catalog_tags_lineage_or_policies() -> None:
    banned = ("provenance.catalog", "provenance.tagging", "provenance.lineage", "provenance.mixing")
    found = []
    for path in (ROOT / "provenance/detectors").rglob("*.py"):
        found += [
            f"{path.name}: {i}" for i in imports(ast.parse(path.read_text(encoding="utf-8"))) if i.startswith(banned)
        ]
    assert found == []


def test_policies_see_neither_texts_nor_detectors() -> None:
    tree = ast.parse((ROOT / "provenance/mixing/policy.py").read_text(encoding="utf-8"))
    assert [i for i in imports(tree) if i.startswith(("provenance.corpus", "provenance.detectors"))] == []


def test_the_recursion_engine_names_neither_torch_nor_a_plugin() -> None:
    tree = ast.parse((ROOT / "provenance/recursion/engine.py").read_text(encoding="utf-8"))
    banned = (
        "torch",
        "transformers",
        "provenance.recursion.models",
        "provenance.recursion.metrics",
        "provenance.detectors",
    )
    assert [i for i in imports(tree) if i.startswith(banned)] == []


def test_the_library_never_imports_the_command_line() -> None:
    assert offenders(("provenance.cli", "cli"), ("cli/",)) == []


def test_modules_say_in_their_first_line_what_they_are() -> None:
    silent = [
        p.relative_to(ROOT).as_posix()
        for p in modules()
        if not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))
    ]
    assert silent == []


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(argument: str) -> None:
    code = (
        "import sys\nfrom provenance.cli import cli\n"
        f"try:\n    cli.main([{argument!r}], prog_name='provenance')\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'sklearn', 'datasets', 'pandas', 'numba', 'scipy', 'duckdb', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"

"""The package list, the wheel and what it holds."""

import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def listed_packages() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"])


def test_every_folder_with_an_init_is_a_listed_package() -> None:
    found = {
        p.parent.relative_to(ROOT).as_posix().replace("/", ".") for p in (ROOT / "provenance").rglob("__init__.py")
    }
    found |= {f"provenance.{p.parent.name}" for p in (ROOT / "cli").rglob("__init__.py")}
    found |= {f"provenance.{p.parent.name}" for p in (ROOT / "schemas").rglob("__init__.py")}
    assert found == listed_packages()


@pytest.mark.slow
def test_the_wheel_installs_and_runs_in_a_clean_environment(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(tmp_path), str(ROOT)], check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    (sdist,) = tmp_path.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"provenance"}
    assert "provenance/cli/main.py" in names
    assert "provenance/schemas/migrations/0001_initial.sql" in names
    assert sdist.stat().st_size < 12_000_000
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", str(wheel)], check=True, capture_output=True)
    work = tmp_path / "work"
    work.mkdir()
    command = environment / "bin" / "provenance"
    subprocess.run([command, "init"], cwd=work, check=True, capture_output=True)
    subprocess.run(
        [command, "corpus", "add", "a", "-"],
        cwd=work,
        check=True,
        input=b'{"text":"hello there"}\n',
        capture_output=True,
    )
    done = subprocess.run(
        [command, "sql", "--format", "csv", "select count(*) n from documents"],
        cwd=work,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "n\n1\n"

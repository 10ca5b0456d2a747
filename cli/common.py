"""What commands share: finding the catalog, the output formats, progress on stderr. Knows no stage."""

import csv
import functools
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from provenance.catalog.store import Catalog

FORMATS = ("table", "json", "ndjson", "csv", "quiet")

Command = Callable[..., Any]


def with_catalog(command: Command) -> Command:
    """Give the command a `catalog` argument: `--catalog`, else PROVENANCE_CATALOG, else found from this folder up."""

    @click.option(
        "--catalog",
        "catalog_path",
        type=click.Path(path_type=Path),
        envvar="PROVENANCE_CATALOG",
        help="The catalog folder. Default: .provenance/ here or in a parent folder.",
    )
    @functools.wraps(command)
    def wrapper(*args: Any, catalog_path: Path | None, **kwargs: Any) -> Any:
        return command(*args, catalog=open_catalog(catalog_path), **kwargs)

    return wrapper


def open_catalog(path: Path | None) -> "Catalog":
    """The catalog at `path`, or the nearest one from the working folder up."""
    from provenance.catalog.store import Catalog

    return Catalog.find(Path.cwd()) if path is None else Catalog.open(path)


dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")


@dataclass(frozen=True, slots=True)
class Output:
    """Prints results to stdout in the format asked for. JSON is always one document with a `schema` key."""

    format: str

    def rows(
        self,
        schema: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        *,
        empty: str = "",
        beside: Mapping[str, Any] | None = None,
    ) -> None:
        """Print a table. `quiet` prints the first column alone; `empty` is said on stderr when there are no rows.

        What stands `beside` the rows is in the JSON document alone; people are told on stderr.
        """
        listed = [list(row) for row in rows]
        if self.format == "json":
            body = [dict(zip(columns, row, strict=True)) for row in listed]
            _print_json({"schema": schema, "columns": list(columns), "rows": body, **(beside or {})})
        elif self.format == "ndjson":
            for row in listed:
                _print_json(dict(zip(columns, row, strict=True)))
        elif self.format == "csv":
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_cell(value) for value in row] for row in listed)
            click.echo(text.getvalue(), nl=False)
        elif self.format == "quiet":
            for row in listed:
                click.echo(_cell(row[0]))
        elif listed:
            _print_table(columns, listed)
        elif empty:
            click.echo(empty, err=True)

    def record(self, schema: str, record: Mapping[str, Any], *, text: str) -> None:
        """Print one result: `text` for people, the fields for programs. `quiet` prints the first field alone."""
        if self.format == "json":
            _print_json({"schema": schema, **record})
        elif self.format == "ndjson":
            _print_json(dict(record))
        elif self.format == "csv":
            self.rows(schema, list(record), [list(record.values())])
        elif self.format == "quiet":
            click.echo(_cell(next(iter(record.values()))))
        else:
            click.echo(text)


def with_output(command: Command) -> Command:
    """Give the command an `out` argument, set by `--format` or `--json`."""

    @click.option(
        "--format",
        "output_format",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="Output format.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
    @functools.wraps(command)
    def wrapper(*args: Any, output_format: str, as_json: bool, **kwargs: Any) -> Any:
        return command(*args, out=Output("json" if as_json else output_format), **kwargs)

    return wrapper


def note(message: str) -> None:
    """Say something to the person, on stderr."""
    click.echo(message, err=True)


def human_bytes(n: int) -> str:
    """1536 → `1.5 kB`, in powers of 1000."""
    size = float(n)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


@contextmanager
def progress_bar(description: str, *, total: float | None, bytes_: bool = False) -> "Iterator[tuple[Progress, TaskID]]":
    """A bar with rate and time left on stderr; invisible where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    measure = [DownloadColumn(), TransferSpeedColumn()] if bytes_ else [MofNCompleteColumn()]
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), *measure, TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with bar:
        yield bar, bar.add_task(description, total=total)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    # In a pipe nothing is cut: the reader is a program or a file.
    console = Console(width=None if sys.stdout.isatty() else 100_000, highlight=False, markup=False, emoji=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        numeric = all(isinstance(row[i], int | float) and not isinstance(row[i], bool) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value, numbers=".4g") for value in row))
    console.print(table)


def _cell(value: Any, *, numbers: str = "") -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and numbers:
        return f"{value:{numbers}}"
    if isinstance(value, dict | list):
        return _dump(value)
    return str(value)


def _print_json(value: Any) -> None:
    click.echo(_dump(value))


def _dump(value: Any) -> str:
    import orjson

    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:
        whole = _with_big_integers(value)
        return orjson.dumps(whole, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def _with_big_integers(value: Any) -> Any:
    """The value with integers of more than 64 bits, which orjson refuses, as ready-made JSON numbers."""
    import orjson

    if isinstance(value, Mapping):
        return {str(key) if _is_big(key) else key: _with_big_integers(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_big_integers(inner) for inner in value]
    return orjson.Fragment(str(value)) if _is_big(value) else value


def _is_big(value: Any) -> bool:
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)

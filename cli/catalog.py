"""Commands about the catalog as a whole: init, status, log, doctor."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import Output, dry_run_option, human_bytes, note, with_catalog, with_output

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
def init(folder: Path | None) -> None:
    """Create a catalog, .provenance/ in FOLDER. Does nothing where there is one.

    Without FOLDER the catalog is the folder that PROVENANCE_CATALOG names, else .provenance/ here.
    """
    from provenance.catalog.store import DATABASE, FOLDER, Catalog

    named = os.environ.get("PROVENANCE_CATALOG")
    root = Path(named) if folder is None and named else (folder or Path()) / FOLDER
    # Whoever names the folder that holds a catalog means that catalog, here as everywhere.
    root = root / FOLDER if (root / FOLDER / DATABASE).exists() else root
    existed = (root / DATABASE).exists()
    catalog = Catalog.create(root)
    click.echo(f"{'catalog already at' if existed else 'created catalog'} {catalog.root}")


@click.command()
@with_output
@with_catalog
def status(catalog: "Catalog", out: Output) -> None:
    """What the catalog holds: corpora, documents by origin, tags, mixes, runs, and commands that did not end."""
    from provenance.catalog.overview import overview

    seen = overview(catalog)
    origins = ", ".join(f"{count:,} {origin}" for origin, count in seen.documents_by_origin.items()) or "none"
    n_documents, n_bytes = sum(c.documents for c in seen.corpora), sum(c.bytes for c in seen.corpora)
    lines = [
        f"catalog      {catalog.root}",
        f"corpora      {len(seen.corpora)} ({n_documents:,} documents, {human_bytes(n_bytes)} of text)",
        f"origin       {origins}",
        f"tagged       {seen.tagged:,} documents",
        f"mixes        {seen.mixes}",
        f"runs         {seen.runs}",
    ]
    lines += [
        f"interrupted  {command} ({at:%Y-%m-%d %H:%M} UTC, process {pid})" for command, at, pid in seen.interrupted
    ]
    record = {
        "catalog": catalog.root,
        "corpora": [c.ref for c in seen.corpora],
        "documents": sum(c.documents for c in seen.corpora),
        "documents_by_origin": seen.documents_by_origin,
        "tagged": seen.tagged,
        "mixes": seen.mixes,
        "runs": seen.runs,
        "interrupted": [command for command, _, _ in seen.interrupted],
    }
    out.record("provenance.status/1", record, text="\n".join(lines))


@click.command()
@click.option("-n", "limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first.")
@with_output
@with_catalog
def log(catalog: "Catalog", out: Output, limit: int) -> None:
    """The activities ledger, newest first: every command that wrote something."""
    from provenance.catalog.overview import recent_activities

    columns = ["started_at", "command", "status", "seconds", "inputs", "outputs", "code_version", "activity_id"]
    shown = _shortened if out.format == "table" else " ".join
    rows = [(*row[:4], shown(row[4]), shown(row[5]), *row[6:]) for row in recent_activities(catalog, limit)]
    out.rows("provenance.log/1", columns, rows, empty="no command has written anything yet")


@click.command()
@dry_run_option
@with_output
@with_catalog
def doctor(catalog: "Catalog", out: Output, *, dry_run: bool) -> None:
    """Check that every file the catalog names is there, and remove what killed runs left behind."""
    from provenance.catalog.doctor import examine
    from provenance.errors import CheckFailedError

    found = examine(catalog, clean=not dry_run)
    for path in found.leftovers:
        note(f"{'would remove' if dry_run else 'removed'} leftover {path}")
    for activity in found.interrupted:
        note(f"{'would close' if dry_run else 'closed'} interrupted {activity}")
    record = {
        "files": found.files,
        "missing": found.missing,
        "leftovers": found.leftovers,
        "interrupted": found.interrupted,
    }
    text = (
        f"{found.files} files checked, {len(found.leftovers)} leftovers, {len(found.interrupted)} interrupted commands"
    )
    out.record("provenance.doctor/1", record, text=text)
    if found.missing:
        raise CheckFailedError(
            f"{len(found.missing)} files named by the catalog are missing, the first is {found.missing[0]}",
            hint="restore them from a backup, or remove the corpus and add it again",
        )


def _shortened(names: list[str]) -> str:
    """The first of many names: an experiment has a corpus per run and generation."""
    return " ".join(names) if len(names) <= 5 else f"{' '.join(names[:3])} and {len(names) - 3} more"

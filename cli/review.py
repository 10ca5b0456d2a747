"""The `review` group: queue, export, import, stats."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import Output, dry_run_option, note, with_catalog, with_output
from .main import LazyGroup

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog


@click.group(cls=LazyGroup)
def review() -> None:
    """Human verdicts: what to look at next, and what people said."""


@review.command()
@click.argument("corpus")
@click.option("-n", "count", type=click.IntRange(min=1), default=20, show_default=True, help="How many documents.")
@with_output
@with_catalog
def queue(catalog: "Catalog", out: Output, corpus: str, count: int) -> None:
    """List the documents of CORPUS most worth a person's time.

    First those on which reviewers disagree (disputed), then conflicts with what is declared, then the most uncertain.
    """
    from provenance.catalog.corpora import get_corpus
    from provenance.tagging.review import queue as rank

    columns = ["doc_id", "key", "declared_origin", "p_model", "basis", "n_words", "worth", "disputed"]
    rows = [[row[name] for name in columns] for row in rank(catalog, get_corpus(catalog, corpus), count)]
    out.rows("provenance.review.queue/1", columns, rows, empty="nothing left to review")


@review.command()
@click.argument("corpus")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("-n", "count", type=click.IntRange(min=1), default=100, show_default=True, help="How many documents.")
@dry_run_option
@with_catalog
def export(catalog: "Catalog", corpus: str, path: Path, count: int, *, dry_run: bool) -> None:
    """Write the queue of CORPUS with texts to PATH as JSON lines; fill in "verdict", then import it."""
    from provenance.catalog.corpora import get_corpus
    from provenance.tagging.review import export_rows, write_export

    rows = export_rows(catalog, get_corpus(catalog, corpus), count)
    if not dry_run:
        write_export(path, rows)
    note(f"{'would write' if dry_run else 'wrote'} {len(rows)} documents to {path}")


@review.command(name="import")
@click.argument("path", type=click.Path(allow_dash=True, path_type=Path))
@click.option("--reviewer", required=True, envvar="PROVENANCE_REVIEWER", help="Who judged.")
@dry_run_option
@with_output
@with_catalog
def import_(catalog: "Catalog", out: Output, path: Path, reviewer: str, *, dry_run: bool) -> None:
    """Read verdicts (human, model, mixed) from JSON lines in PATH, or - for standard input, and re-tag."""
    from provenance.errors import DataError
    from provenance.tagging.review import read_verdicts, record_verdicts

    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    found = read_verdicts(catalog, text.splitlines(), str(path))
    changed = 0 if dry_run else record_verdicts(catalog, found, reviewer=reviewer, command="review import")
    verb = "would record" if dry_run else "recorded"
    text = f"{verb} {len(found)} verdicts by {reviewer}; {changed} tags changed"
    out.record("provenance.review.import/1", {"verdicts": len(found), "changed": changed}, text=text)


@review.command()
@click.argument("corpus", required=False)
@with_output
@with_catalog
def stats(catalog: "Catalog", out: Output, corpus: str | None) -> None:
    """Show how much is reviewed, how reviewers agree, and how often the detectors were on their side."""
    from provenance.catalog.corpora import get_corpus
    from provenance.tagging.review import stats as measure

    found = measure(catalog, get_corpus(catalog, corpus) if corpus else None)
    record = {name: getattr(found, name) for name in found.__slots__}
    lines = [
        f"documents reviewed   {found.documents} ({found.twice} by more than one person, {found.disputed} disputed)",
        f"verdicts             {', '.join(f'{name} {n}' for name, n in sorted(found.by_verdict.items())) or 'none'}",
        f"reviewers            {', '.join(f'{name} {n}' for name, n in found.reviewers.items()) or 'none'}",
        f"agreement (kappa)    {'-' if found.agreement is None else f'{found.agreement:.2f}'}",
        f"detectors agree      {'-' if found.model_agrees is None else f'{found.model_agrees:.0%}'}",
    ]
    out.record("provenance.review.stats/1", record, text="\n".join(lines))

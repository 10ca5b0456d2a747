"""The `report` group."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import Output, dry_run_option, with_catalog, with_output

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog


@click.group()
def report() -> None:
    """Reports: curves, tables and texts in one HTML file."""


@report.command()
@click.argument("experiments", nargs=-1, metavar="[EXPERIMENT…]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default="report.html",
    show_default=True,
    help="The file to write.",
)
@click.option("--title", default="Provenance report", show_default=True, help="Its heading.")
@dry_run_option
@with_output
@with_catalog
def build(
    catalog: "Catalog", out: Output, experiments: tuple[str, ...], output: Path, title: str, *, dry_run: bool
) -> None:
    """Write one self-contained HTML file about the catalog and its EXPERIMENTs (default: all of them)."""
    from provenance.report.collect import collect
    from provenance.report.render import write_report

    collected = collect(catalog, experiments=experiments, title=title)
    charts = sum(len(e.charts) + len(e.subgroups) for e in collected.experiments)
    charts += len(collected.figures) + len(collected.phases)
    if not dry_run:
        params = {"experiments": list(experiments), "output": output.name}
        with catalog.activity("report build", params, commits=False) as activity:
            write_report(collected, output)
            activity.inputs.extend(f"exp:{e.name}" for e in collected.experiments)
            activity.outputs.append(output.name)
    record = {"path": output.resolve(), "experiments": len(collected.experiments), "charts": charts}
    text = (
        f"{'would write' if dry_run else 'wrote'} {output}: {len(collected.experiments)} experiments, {charts} charts"
    )
    out.record("provenance.report.build/1", record, text=text)

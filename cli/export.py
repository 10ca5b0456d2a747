"""The `corpus export` command."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import Output, dry_run_option, with_catalog, with_output

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog

FORMATS = ("parquet", "jsonl", "hf", "mds", "webdataset")


@click.command()
@click.argument("ref")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--as", "as_", type=click.Choice(FORMATS), help="Default: what PATH's ending says.")
@dry_run_option
@with_output
@with_catalog
def export(catalog: "Catalog", out: Output, ref: str, path: Path, as_: str | None, *, dry_run: bool) -> None:
    """Write corpus REF to PATH, a row per document with its text, origin, generation and lineage columns.

    \b
    provenance corpus export web web.parquet
    provenance corpus export web@1 web.jsonl.zst
    provenance corpus export web folder --as hf
    """
    from provenance.corpus.outward import export_corpus

    written = export_corpus(catalog, ref, path, format=as_, dry_run=dry_run)
    record = {"path": path, "format": written.format, "documents": written.rows, "sha256": written.sha256}
    verb = "would write" if dry_run else "wrote"
    out.record(
        "provenance.corpus.export/1", record, text=f"{verb} {path}: {written.rows:,} documents, {written.format}"
    )

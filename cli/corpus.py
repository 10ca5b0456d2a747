"""The `corpus` group: add, ls, show, rm, sample, export; dedup and overlap live beside it."""

from typing import TYPE_CHECKING

import click

from .common import Output, dry_run_option, human_bytes, note, progress_bar, with_catalog, with_output
from .main import LazyGroup

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog

ORIGINS = ["human", "model", "mixed", "unknown"]


@click.group(
    cls=LazyGroup,
    lazy={
        "dedup": ("provenance.cli.dedup:dedup", "Find near-duplicates, verified, with a reason for each."),
        "stats": ("provenance.cli.stats:stats", "Does a corpus look collapsed against a reference?"),
        "overlap": ("provenance.cli.dedup:overlap", "Which documents of A, and which spans, occur in B."),
        "export": ("provenance.cli.export:export", "Write a corpus as Parquet, JSONL, a HF folder or shards."),
    },
)
def corpus() -> None:
    """Corpora: named, versioned, immutable sets of documents."""


@corpus.command()
@click.argument("name")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--text-field", default="text", show_default=True, help="Field that holds the text.")
@click.option("--key-field", help="Field with the source's own id. Default: file name and line.")
@click.option("--date-field", help="Field with the creation date (ISO 8601, or a year).")
@click.option("--subgroup-field", help="Field with the group of writers a document belongs to.")
@click.option("--language-field", help="Field with the language.")
@click.option("--meta-fields", help="Comma-separated fields to keep as metadata.")
@click.option("--origin", type=click.Choice(ORIGINS), help="Who the source says wrote all of it.")
@click.option("--origin-field", help="Field that says who wrote each document, for instance a label column.")
@click.option(
    "--origin-map", multiple=True, metavar="VALUE=ORIGIN", help="What a value of the origin field means; repeatable."
)
@click.option("--generator", help="The model the source says wrote it.")
@click.option("--generator-field", help="Field that names the model of each document.")
@click.option("--license", "license_", help="Licence of the texts, as an SPDX id.")
@click.option("--source-uri", help="Where the data came from.")
@click.option("--held-out", is_flag=True, help="Keep this corpus out of every mix.")
@click.option("--strict", is_flag=True, help="Any bad row is an error.")
@dry_run_option
@with_output
@with_catalog
def add(
    catalog: "Catalog",
    out: Output,
    name: str,
    paths: tuple[str, ...],
    text_field: str,
    key_field: str | None,
    date_field: str | None,
    subgroup_field: str | None,
    language_field: str | None,
    meta_fields: str | None,
    origin: str | None,
    origin_field: str | None,
    origin_map: tuple[str, ...],
    generator: str | None,
    generator_field: str | None,
    license_: str | None,
    source_uri: str | None,
    *,
    held_out: bool,
    strict: bool,
    dry_run: bool,
) -> None:
    """Add PATH… as a new version of corpus NAME.

    A PATH is a .jsonl or .ndjson file (also .gz, .zst), a .json file of one array or of objects in any layout, a
    .parquet, .csv or .tsv file, a text file, a folder of these, a `save_to_disk` folder, a hub dataset
    (hf:repo:config:split), or - for JSONL on standard input. Rows that cannot be read are skipped, counted, and listed
    in a rejects file. Adding the same data again changes nothing.

    In CSV a quote at the start of a field lasts to the next single one, over line ends too; a quote inside is doubled,
    and only blanks may follow the closing one.
    """
    from provenance.corpus.ingest import Progress, add_corpus
    from provenance.corpus.prepare import Fields, parse_origin_map
    from provenance.types import Origin

    fields = Fields(
        text=text_field,
        key=key_field,
        date=date_field,
        subgroup=subgroup_field,
        language=language_field,
        origin=origin_field,
        origin_map=parse_origin_map(origin_map),
        generator=generator_field,
        meta=tuple(part.strip() for part in meta_fields.split(",")) if meta_fields else (),
    )
    with progress_bar(name, total=None, bytes_=True) as (bar, task):

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.n_bytes, total=progress.total_bytes)

        result = add_corpus(
            catalog,
            name,
            paths,
            fields,
            origin=Origin(origin) if origin else None,
            generator=generator,
            license=license_,
            source_uri=source_uri,
            held_out=held_out,
            strict=strict,
            dry_run=dry_run,
            on_progress=show,
        )
    if result.absent_fields:
        note(f"no row has the field {' or '.join(map(repr, result.absent_fields))}: check the spelling")
    ref = result.corpus.ref if result.corpus else name
    verb = "would add" if dry_run else "unchanged:" if result.unchanged else "added"
    text = f"{verb} {ref}: {result.documents:,} documents, {human_bytes(result.bytes)}"
    if result.rejected:
        text += f"; {result.rejected:,} rows rejected" + (f", see {result.rejects_file}" if result.rejects_file else "")
    if result.stripped_documents:
        text += f"; invisible characters stripped from {result.stripped_documents:,}"
    record = {
        "corpus": ref,
        "documents": result.documents,
        "bytes": result.bytes,
        "unchanged": result.unchanged,
        "rejected": result.rejected,
        "rejects_file": result.rejects_file,
        "stripped_documents": result.stripped_documents,
        "absent_fields": result.absent_fields,
        "content_root": result.corpus.content_root if result.corpus else None,
    }
    out.record("provenance.corpus.add/1", record, text=text)


@corpus.command()
@click.option(
    "--all", "everything", is_flag=True, help="Every version, removed ones too, and the corpora that experiments wrote."
)
@with_output
@with_catalog
def ls(catalog: "Catalog", out: Output, *, everything: bool) -> None:
    """List corpora: the newest version of each, without those that experiments wrote."""
    from provenance.catalog.corpora import experiment_corpora, list_corpora

    generated = set() if everything else experiment_corpora(catalog)
    columns = ["corpus", "documents", "bytes", "origin", "generator", "license", "held_out", "created_at"]
    columns += ["removed_at"] if everything else []
    rows = [
        (c.ref, c.documents, c.bytes, c.declared_origin, c.declared_generator, c.license, c.held_out, c.created_at)
        + ((c.removed_at,) if everything else ())
        for c in list_corpora(catalog, removed=everything)
        if c.ref not in generated
    ]
    out.rows("provenance.corpus.ls/1", columns, rows, empty="no corpora yet; run: provenance corpus add NAME PATH…")
    if generated:
        note(f"{len(generated)} corpora written by experiments are not shown; --all shows them")


@corpus.command()
@click.argument("ref")
@with_output
@with_catalog
def show(catalog: "Catalog", out: Output, ref: str) -> None:
    """Everything the catalog knows of corpus REF (name or name@version), or of one document (doc:PREFIX)."""
    from provenance.catalog.describe import describe_corpus, describe_document

    described = describe_document(catalog, ref) if ref.startswith("doc:") else describe_corpus(catalog, ref)
    width = max(map(len, described))
    text = "\n".join(f"{name:<{width}}  {'' if value is None else value}" for name, value in described.items())
    out.record("provenance.corpus.show/1", described, text=text)


@corpus.command()
@click.argument("ref")
@click.option("--force", is_flag=True, help="Even if a mix or a snapshot holds it, which cannot be made again then.")
@dry_run_option
@with_catalog
def rm(catalog: "Catalog", ref: str, *, force: bool, dry_run: bool) -> None:
    """Delete the texts of corpus REF and hide it. Its ids, hashes, tags and lineage stay for audit.

    Refused while a built mix or a snapshot holds it; --force is for texts that must go whatever they are part of.
    """
    from provenance.corpus.remove import remove

    info = remove(catalog, ref, force=force, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    click.echo(f"{verb} {info.ref}: {info.documents:,} documents, {human_bytes(info.bytes)}")


@corpus.command()
@click.argument("ref")
@click.option("-n", "count", type=click.IntRange(min=1), default=5, show_default=True, help="How many documents.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other documents.")
@with_output
@with_catalog
def sample(catalog: "Catalog", out: Output, ref: str, count: int, seed: int) -> None:
    """Show documents of corpus REF chosen by chance; the same seed shows the same ones."""
    from provenance.corpus.sample import sample_documents

    rows = sample_documents(catalog, ref, count=count, seed=seed)
    if not rows:
        note(f"{ref} has no documents")
    out.rows("provenance.corpus.sample/1", ["doc_id", "key", "origin", "p_model", "text"], rows)

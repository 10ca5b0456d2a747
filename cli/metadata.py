"""The `metadata` group: export, import, validate."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import Output, dry_run_option, note, with_catalog, with_output

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog

FORMATS = ("croissant", "prov", "openlineage", "hf-card", "eu-summary")


@click.group()
def metadata() -> None:
    """Descriptions other tools read: Croissant, PROV, OpenLineage, dataset cards, the EU summary as a draft."""


@metadata.command()
@click.argument("standard", type=click.Choice(FORMATS))
@click.argument("ref")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="The Parquet file it describes (croissant).")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write it. Default: print it.")
@with_catalog
def export(catalog: "Catalog", standard: str, ref: str, data: Path | None, output: Path | None) -> None:
    """Describe corpus or mix REF in STANDARD.

    \b
    provenance corpus export web web.parquet
    provenance metadata export croissant web --data web.parquet -o croissant.json
    """
    text = _describe(catalog, standard, ref, data)
    if output is None:
        click.echo(text, nl=False)
        return
    staged = output.with_name(f".{output.name}.part")
    staged.write_text(text, encoding="utf-8")
    staged.replace(output)
    click.echo(f"wrote {output}")


def _describe(catalog: "Catalog", standard: str, ref: str, data: Path | None) -> str:
    import orjson

    from provenance.lineage.facts import gather

    facts = gather(catalog, ref, data=data)
    if standard == "hf-card":
        from provenance.lineage.cards import hf_card

        return hf_card(facts)
    if standard == "eu-summary":
        from provenance.lineage.cards import eu_summary

        return eu_summary(facts)
    if standard == "openlineage":
        from provenance.lineage.openlineage import run_events

        return "".join(orjson.dumps(event).decode() + "\n" for event in run_events(facts))
    value: dict[str, Any]
    if standard == "croissant":
        from provenance.lineage.croissant import croissant

        value = croissant(facts)
    else:
        from provenance.lineage.prov import prov_json

        value = prov_json(facts)
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n"


@metadata.command("import")
@click.argument("file", type=click.Path(exists=True, path_type=Path, dir_okay=False))
@click.option("--corpus", help="The corpus a card or audit is about.")
@click.option("--entry", help="Which set of an audit file.")
@click.option("--new-models", is_flag=True, help="Accept models the catalog has not met.")
@dry_run_option
@with_output
@with_catalog
def import_(
    catalog: "Catalog",
    out: Output,
    file: Path,
    corpus: str | None,
    entry: str | None,
    *,
    new_models: bool,
    dry_run: bool,
) -> None:
    """Read FILE: a dataset card (.md), a Data Provenance Initiative audit, OpenLineage events, or an edge list.

    What a card or audit declares becomes evidence beside what was declared when the corpus was added.
    """
    from provenance.lineage.imports import import_metadata

    done = import_metadata(catalog, file, corpus=corpus, entry=entry, new_models=new_models, dry_run=dry_run)
    verb = "would add" if dry_run else "added"
    text = f"{verb} {done.edges:,} of {done.read:,} edges; {done.depths_changed:,} documents changed generation"
    if done.declared:
        text += f"\ndeclared {done.declared}: evidence on {done.documents:,} documents"
    for value, n in done.unknown.items():
        note(f"not understood, {n} times: {value}")
    record = {
        "edges": done.edges,
        "read": done.read,
        "documents_changed": done.depths_changed,
        "declared": done.declared,
        "documents": done.documents,
        "unknown": done.unknown,
    }
    out.record("provenance.metadata.import/1", record, text=text)


@metadata.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path, dir_okay=False))
@with_output
def validate(out: Output, file: Path) -> None:
    """Check FILE with the real validator of its format; needs the extra `standards`.

    The formats: Croissant, PROV-JSON, OpenLineage events, dataset cards (.md). An EU summary has no validator.
    """
    from provenance.lineage.validators import validate as check

    standard = check(file)
    out.record(
        "provenance.metadata.validate/1", {"file": file, "standard": standard}, text=f"{file} is valid {standard}"
    )

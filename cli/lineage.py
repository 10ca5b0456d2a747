"""The `lineage` group: where things came from, what came of them, proofs, and importing edges."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import Output, dry_run_option, with_catalog, with_output

if TYPE_CHECKING:
    from provenance.catalog.lineage import Relative
    from provenance.catalog.store import Catalog

_COLUMNS = ["node", "distance", "relation", "documents"]


@click.group()
def lineage() -> None:
    """Where things came from, and what came of them.

    A REF is a corpus (name or name@version), doc:PREFIX, mix:NAME, model:NAME or external:NAME.
    """


@lineage.command()
@click.argument("ref")
@with_output
@with_catalog
def show(catalog: "Catalog", out: Output, ref: str) -> None:
    """The node REF: its own edges, how deep it lies, and how much is above and below it."""
    from provenance.catalog.lineage import describe_node

    described = describe_node(catalog, ref)
    lines = [f"{described.node}"]
    depth = _depth(described.generation, described.generation_max)
    human = "unknown" if described.human_ancestry is None else f"{described.human_ancestry:.1%}"
    lines.append(f"  generation {depth}, human ancestry {human}")
    lines += [f"  {relation} {parent}" for relation, parent in described.parents]
    lines.append(f"  {described.ancestors:,} ancestors, {described.descendants:,} descendants")
    record = {
        "node": described.node,
        "generation": described.generation,
        "generation_max": described.generation_max,
        "human_ancestry": described.human_ancestry,
        "parents": [{"relation": relation, "parent": parent} for relation, parent in described.parents],
        "ancestors": described.ancestors,
        "descendants": described.descendants,
    }
    out.record("provenance.lineage.show/1", record, text="\n".join(lines))


@lineage.command()
@click.argument("ref")
@with_output
@with_catalog
def ancestors(catalog: "Catalog", out: Output, ref: str) -> None:
    """Everything REF came from, nearest first."""
    from provenance.catalog.lineage import ancestors as found

    out.rows("provenance.lineage.ancestors/1", _COLUMNS, _rows(found(catalog, ref)), empty=f"{ref} has no ancestors")


@lineage.command()
@click.argument("ref")
@with_output
@with_catalog
def descendants(catalog: "Catalog", out: Output, ref: str) -> None:
    """Everything that came from REF, nearest first."""
    from provenance.catalog.lineage import descendants as found

    rows = _rows(found(catalog, ref))
    out.rows("provenance.lineage.descendants/1", _COLUMNS, rows, empty=f"{ref} has no descendants")


@lineage.command()
@click.argument("ref")
@click.argument("ancestor")
@with_output
@with_catalog
def path(catalog: "Catalog", out: Output, ref: str, ancestor: str) -> None:
    """The shortest way from REF up to ANCESTOR."""
    from provenance.catalog.lineage import path as way
    from provenance.errors import CheckFailedError

    steps = way(catalog, ref, ancestor)
    if not steps:
        raise CheckFailedError(f"{ref} does not descend from {ancestor}")
    out.rows("provenance.lineage.path/1", ["relation", "node"], steps)


@lineage.command()
@click.argument("ref")
@with_output
@with_catalog
def impact(catalog: "Catalog", out: Output, ref: str) -> None:
    """What would have to go with REF if it were withdrawn: documents, mixes, models, runs."""
    from provenance.catalog.lineage import impact as tainted

    found = tainted(catalog, ref)
    total = sum(found.documents.values())
    lines = [f"{total:,} documents in {len(found.documents)} corpora"]
    lines += [f"  {corpus}: {n:,}" for corpus, n in found.documents.items()]
    for what, names in (("mixes", found.mixes), ("models", found.models), ("runs", found.runs)):
        lines.append(f"{len(names)} {what}" + (f": {', '.join(names)}" if names else ""))
    record = {
        "total_documents": total,
        "documents": found.documents,
        "mixes": found.mixes,
        "models": found.models,
        "runs": found.runs,
    }
    out.record("provenance.lineage.impact/1", record, text="\n".join(lines))


@lineage.command()
@with_output
@with_catalog
def depth(catalog: "Catalog", out: Output) -> None:
    """How many documents lie how many model generations away from human text, worked out from the whole graph."""
    from provenance.catalog.lineage import all_depths

    rows = [(d.low, d.high, d.human, d.documents) for d in all_depths(catalog)]
    columns = ["generation", "generation_max", "human_ancestry", "documents"]
    out.rows("provenance.lineage.depth/1", columns, rows, empty="no documents yet")


@lineage.command()
@click.argument("doc")
@click.option("--corpus", "ref", help="The corpus version to prove it for. Default: the newest that has it.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write the proof. Default: print it.")
@with_catalog
def prove(catalog: "Catalog", doc: str, ref: str | None, output: Path | None) -> None:
    """Prove that document DOC (doc:PREFIX) is in its corpus. The proof is checked without the corpus: verify FILE."""
    from provenance.catalog.corpora import find_document
    from provenance.lineage.audit import prove as make

    proof = make(catalog, find_document(catalog, doc), ref).to_json()
    if output is None:
        click.echo(proof.decode(), nl=False)
    else:
        output.write_bytes(proof)
        click.echo(f"wrote {output}")


@lineage.command("import")
@click.argument("file", type=click.Path(exists=True, path_type=Path, dir_okay=False))
@click.option("--new-models", is_flag=True, help="Accept models the catalog has not met.")
@dry_run_option
@with_output
@with_catalog
def import_(catalog: "Catalog", out: Output, file: Path, *, new_models: bool, dry_run: bool) -> None:
    """Add edges from FILE: CSV or Parquet with the columns child, parent, relation."""
    from provenance.lineage.imports import import_edges

    added = import_edges(catalog, file, new_models=new_models, dry_run=dry_run)
    verb = "would add" if dry_run else "added"
    out.record(
        "provenance.lineage.import/1",
        {"edges": added.edges, "read": added.read, "documents_changed": added.depths_changed},
        text=f"{verb} {added.edges:,} of {added.read:,} edges; {added.depths_changed:,} documents changed generation",
    )


def _rows(found: "list[Relative]") -> list[tuple[str, int, str, int]]:
    return [(r.node, r.distance, r.relation, r.documents) for r in found]


def _depth(low: int | None, high: int | None) -> str:
    if low is None:
        return "unknown"
    return f"{low} or more" if high is None else str(low) if low == high else f"{low} to {high}"

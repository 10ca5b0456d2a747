"""`corpus dedup` and `corpus overlap`."""

from typing import TYPE_CHECKING

import click

from .common import Output, dry_run_option, note, with_catalog, with_output

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@click.option(
    "--against", multiple=True, metavar="OTHER", help="Compare with this corpus too, without judging it; repeatable."
)
@click.option(
    "--threshold", type=float, default=0.7, show_default=True, help="Least Jaccard similarity of word 5-grams."
)
@click.option(
    "--keep",
    type=click.Choice(["human-first", "oldest", "longest"]),
    default="human-first",
    show_default=True,
    help="Which document of a cluster stays.",
)
@dry_run_option
@with_output
@with_catalog
def dedup(
    catalog: "Catalog",
    out: Output,
    names: tuple[str, ...],
    against: tuple[str, ...],
    threshold: float,
    keep: str,
    *,
    dry_run: bool,
) -> None:
    """Find near-duplicates in corpora NAME…, each verified by its exact similarity, with a reason for every document.

    Nothing is deleted: a policy leaves out what is set aside with `where = "not duplicate"`. The pairs and decisions
    are in the SQL views near_duplicates and near_duplicate_pairs. A text near a recorded model output gains evidence
    and a lineage edge. Running again after documents were added compares only the new ones.
    """
    from provenance.dedup.keep import Keep
    from provenance.dedup.stage import dedup_corpora

    result = dedup_corpora(catalog, names, against=against, threshold=threshold, keep=Keep(keep), dry_run=dry_run)
    for crowd in result.crowds:
        note(
            f"warning: cluster {crowd.cluster_id} holds {crowd.documents:,} documents, {crowd.share:.1%} of source "
            f"{crowd.source!r} in {crowd.corpus}: a template?"
        )
    if result.lapsed:
        note(
            f"warning: {result.lapsed:,} documents of other corpora are no longer set aside, because the document "
            "kept for them now is; run dedup on those corpora again"
        )
    verb = "would set aside" if dry_run else "set aside"
    lines = [
        f"{', '.join(result.corpora)}: {result.documents:,} documents, {result.indexed:,} newly indexed",
        f"{verb} {result.set_aside:,} in {result.clusters:,} clusters at similarity {result.threshold:g} or more",
        *(f"  {reason:<20} {count:,}" for reason, count in result.reasons.items()),
    ]
    if result.recovered:
        lines.append(f"{result.recovered:,} documents traced to recorded model outputs")
    record = {
        "corpora": result.corpora,
        "against": result.against,
        "threshold": result.threshold,
        "documents": result.documents,
        "indexed": result.indexed,
        "compared": result.compared,
        "clusters": result.clusters,
        "kept": result.kept,
        "set_aside": result.set_aside,
        "reasons": result.reasons,
        "recovered": result.recovered,
        "lapsed": result.lapsed,
        "crowds": [
            {
                "cluster_id": crowd.cluster_id,
                "corpus": crowd.corpus,
                "source": crowd.source,
                "documents": crowd.documents,
                "share": crowd.share,
            }
            for crowd in result.crowds
        ],
    }
    out.record("provenance.corpus.dedup/1", record, text="\n".join(lines))


@click.command()
@click.argument("name", metavar="A")
@click.argument("other", metavar="B")
@with_output
@with_catalog
def overlap(catalog: "Catalog", out: Output, name: str, other: str) -> None:
    """List which documents of corpus A, and which of their spans, occur in corpus B.

    A span is a run of 13 words or more, letter for letter. Documents of fewer than 13 words are not looked at; how many
    those are is said on stderr.
    """
    from provenance.dedup.contamination import overlap_corpora

    found = overlap_corpora(catalog, name, other)
    note(
        f"{len(found.doc_ids):,} of {found.checked:,} documents of {found.corpus} share a span with {found.other}"
        + (f"; {found.documents - found.checked:,} are too short to tell" if found.documents > found.checked else "")
    )
    columns = ["doc_id", "key", "first_word", "n_words", "other_id", "other_key", "text"]
    rows = [
        (span.doc_id, span.key, span.first_word, span.n_words, span.other_id, span.other_key, span.text)
        for span in found.spans
    ]
    if out.format == "table":
        rows = [(*row[:-1], row[-1] if len(row[-1]) <= 100 else row[-1][:99] + "…") for row in rows]
    out.rows("provenance.corpus.overlap/1", columns, rows)

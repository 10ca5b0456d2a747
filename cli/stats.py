"""`corpus stats`: the early-warning monitor. Parses, asks `tagging.stats`, prints."""

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from .common import Output, note, with_catalog, with_output

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog
    from provenance.tagging.metrics import Interval

GROUPS_SHOWN = 20


@click.command()
@click.argument("corpus", metavar="CORPUS")
@click.option("--against", required=True, metavar="REFERENCE", help="A corpus of the same kind, known to be healthy.")
@with_output
@with_catalog
def stats(catalog: "Catalog", out: Output, corpus: str, against: str) -> None:
    """Does CORPUS look collapsed against REFERENCE: rarer words gone, more repetition, easier to predict?

    The fixed model of bits_per_word is an n-gram model of one half of REFERENCE; the other half is what CORPUS is
    measured against, in blocks of equal size. Compare like with like: another genre has other figures, collapsed or
    not. Also shows which subgroups are represented less. Nothing is written.
    """
    from provenance.catalog.corpora import get_corpus
    from provenance.tagging.stats import compare_corpora

    info, reference = get_corpus(catalog, corpus), get_corpus(catalog, against)
    compared = compare_corpora(catalog, info, reference)
    found = compared.comparison
    if compared.read < info.documents or compared.reference_read < reference.documents:
        note(
            f"read {compared.read:,} of {info.documents:,} documents of {info.ref} and {compared.reference_read:,} of "
            f"{reference.documents:,} of {reference.ref}, chosen by chance"
        )
    table = [("", info.ref, reference.ref, "change", "verdict")]
    table += [
        (one.name, _spread(one.corpus, ".4g"), _spread(one.reference, ".4g"), _spread(one.change, "+.1%"), one.verdict)
        for one in found.measures
    ]
    # Who changed first, then the largest: with a subgroup per author there are thousands.
    listed = sorted(found.groups, key=lambda one: (one.verdict == "same", -one.reference.value))
    table += [
        (f"share of {one.group}", _spread(one.corpus, ".1%"), _spread(one.reference, ".1%"), "", one.verdict)
        for one in listed[:GROUPS_SHOWN]
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [f"{found.verdict}: {info.ref} against {reference.ref}, 20 blocks of {found.block_words:,} words a side"]
    lines += ["  ".join(f"{cell:<{n}}" for cell, n in zip(row, widths, strict=True)).rstrip() for row in table]
    if len(listed) > GROUPS_SHOWN:
        counts = Counter(one.verdict for one in listed)
        every = ", ".join(f"{n:,} {verdict}" for verdict, n in sorted(counts.items()))
        lines.append(f"{len(listed):,} subgroups: {every}; all of them with --json")
    record = {
        "verdict": found.verdict,
        "corpus": info.ref,
        "reference": reference.ref,
        "block_words": found.block_words,
        "documents_read": compared.read,
        "reference_documents_read": compared.reference_read,
        "measures": [asdict(one) for one in found.measures],
        "groups": [asdict(one) for one in found.groups],
    }
    out.record("provenance.corpus.stats/1", record, text="\n".join(lines))


def _spread(interval: "Interval", spec: str) -> str:
    return f"{interval.value:{spec}} [{interval.low:{spec}}, {interval.high:{spec}}]"

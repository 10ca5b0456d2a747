"""The `tag` group: run, ls, set, explain, calibrate, conflicts, estimate."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import Output, dry_run_option, note, progress_bar, with_catalog, with_output
from .detector import parse_settings, settings_option

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from provenance.catalog.store import Catalog
    from provenance.tagging.rules import Rules

rules_option = click.option(
    "--rules", "rules_path", type=click.Path(path_type=Path), help="TOML file with thresholds and weights."
)


@click.group()
def tag() -> None:
    """Tags: who wrote what, how sure that is, and on what it rests."""


@tag.command()
@click.argument("corpora", nargs=-1, metavar="[CORPUS…]")
@click.option("--detector", "detectors", multiple=True, help="A detector to run; repeatable. Default: the cheap ones.")
@settings_option
@rules_option
@dry_run_option
@with_output
@with_catalog
def run(
    catalog: "Catalog",
    out: Output,
    corpora: tuple[str, ...],
    detectors: tuple[str, ...],
    settings: tuple[str, ...],
    rules_path: Path | None,
    *,
    dry_run: bool,
) -> None:
    """Score what is not scored yet and tag CORPUS… (default: all) from all evidence.

    What is asserted (recorded, attested by a watermark, reviewed, declared) is never overwritten by what a detector
    infers. Running again with other rules scores nothing twice. An interrupted run continues where it stopped.
    """
    from provenance.catalog.corpora import get_corpus, list_corpora
    from provenance.tagging.stage import DEFAULT_DETECTORS, tag_corpus, tags_of

    rules = _rules(rules_path)
    infos = [get_corpus(catalog, ref) for ref in corpora] or list_corpora(catalog)
    columns = ["corpus", "documents", "model", "human", "mixed", "unknown", "changed", "scored", "abstained"]
    rows = []
    for info in infos:
        if dry_run:
            origins = tags_of(catalog, info, rules)[0]["origin"].to_pylist()
            rows.append([info.ref, info.documents, *_counts(origins), 0, 0, 0])
            continue
        with progress_bar(info.ref, total=info.documents * len(detectors or DEFAULT_DETECTORS)) as (bar, task):

            def advance(done: int, bar: "Progress" = bar, task: "TaskID" = task) -> None:
                bar.advance(task, done)

            tagged = tag_corpus(
                catalog,
                info,
                detectors=detectors or DEFAULT_DETECTORS,
                settings=parse_settings(settings),
                rules=rules,
                on_progress=advance,
            )
        scored = sum(d.scored for d in tagged.detected)
        abstained = max((d.abstained for d in tagged.detected if d.detector not in {"declared", "date"}), default=0)
        counts = [tagged.origins.get(name, 0) for name in ("model", "human", "mixed", "unknown")]
        rows.append([tagged.corpus, tagged.documents, *counts, tagged.changed, scored, abstained])
        if tagged.silenced:
            note(f"{info.ref}: nothing is flagged by local p-value: {tagged.silenced}")
    if dry_run:
        note("dry run: tags as the evidence already stored supports them; nothing was scored or written")
    out.rows("provenance.tag.run/1", columns, rows, empty="no corpora yet; run: provenance corpus add NAME PATH…")


@tag.command()
@click.argument("corpus", required=False)
@with_output
@with_catalog
def ls(catalog: "Catalog", out: Output, corpus: str | None) -> None:
    """Count documents by corpus, origin and basis."""
    from provenance.catalog.corpora import get_corpus
    from provenance.catalog.tags import tag_counts

    rows = tag_counts(catalog, get_corpus(catalog, corpus) if corpus else None)
    out.rows("provenance.tag.ls/1", ["corpus", "origin", "basis", "documents", "mean_p_model"], rows)


@tag.command(name="set")
@click.argument("document", metavar="DOC")
@click.argument("origin", type=click.Choice(["human", "model", "mixed"]))
@click.option("--reviewer", required=True, envvar="PROVENANCE_REVIEWER", help="Who says so.")
@click.option("--note", "remark", default="", help="Why.")
@dry_run_option
@with_output
@with_catalog
def set_(
    catalog: "Catalog", out: Output, document: str, origin: str, reviewer: str, remark: str, *, dry_run: bool
) -> None:
    """Say that a person judged document DOC (doc:PREFIX) to be of ORIGIN."""
    from provenance.catalog.corpora import find_document
    from provenance.tagging.review import Verdict, record_verdicts

    doc_id = find_document(catalog, document)
    verdict = Verdict(doc_id=doc_id, origin=origin, note=remark)
    changed = 0 if dry_run else record_verdicts(catalog, [verdict], reviewer=reviewer, command="tag set")
    outcome = "" if changed else "; its tag stays, because a stronger basis holds or nothing changed"
    text = (
        f"would set doc:{doc_id} to {origin}, reviewed by {reviewer}"
        if dry_run
        else f"doc:{doc_id}: {origin} says {reviewer}{outcome}"
    )
    record = {"doc_id": doc_id, "verdict": origin, "reviewer": reviewer, "changed": changed}
    out.record("provenance.tag.set/1", record, text=text)


@tag.command()
@click.argument("document", metavar="DOC")
@rules_option
@with_output
@with_catalog
def explain(catalog: "Catalog", out: Output, document: str, rules_path: Path | None) -> None:
    """Show why document DOC has its tag: every piece of evidence, its weight in bits, and what spoke most."""
    from provenance.catalog.corpora import find_document
    from provenance.catalog.evidence import newest_corpus_of
    from provenance.tagging.explain import explain as explain_document

    doc_id = find_document(catalog, document)
    found = explain_document(catalog, newest_corpus_of(catalog, doc_id), doc_id, _rules(rules_path))
    p_model = "" if found.tag["p_model"] is None else f", p_model {found.tag['p_model']:.3f}"
    lines = [
        f"doc:{doc_id}",
        f"{found.tag['origin']}{p_model}, basis {found.tag['basis']} ({found.tag['rule']})",
        f"{'prior':<28} {found.prior_bits:+7.2f} bits",
    ]
    for piece in found.pieces:
        bits = "      -     " if piece.bits is None else f"{piece.bits:+7.2f} bits"
        score = "" if piece.score is None else f"  score {piece.score:.4g}"
        rank = "" if piece.p_value is None else f"  local p {piece.p_value:.3g}"
        lines.append(f"{piece.kind + ':' + piece.name:<28} {bits}{score}{rank}  {piece.note}".rstrip())
    lines += [
        f'  {"rule hit" if value == float("inf") else f"{value:+.3f}"}  "{span[:160]}"' for value, span in found.spans
    ]
    lines += [f"  {value:+.3f}  {name}" for name, value in found.features]
    record: dict[str, Any] = {
        "doc_id": str(doc_id),
        **{key: found.tag[key] for key in ("origin", "p_model", "basis", "rule")},
        "prior_bits": found.prior_bits,
        "evidence": [{name: getattr(piece, name) for name in piece.__slots__} for piece in found.pieces],
        "spans": [{"weight": None if value == float("inf") else value, "text": span} for value, span in found.spans],
        "features": [{"feature": name, "weight": value} for name, value in found.features],
    }
    out.record("provenance.tag.explain/1", record, text="\n".join(lines))


@tag.command()
@click.argument("corpus")
@click.option("--human", required=True, metavar="SAMPLE", help="Corpus of known-human texts like those in CORPUS.")
@click.option("--labelled", metavar="SAMPLE", help="Corpus with human and model labels (20 of each do).")
@click.option("--label-field", default="declared_origin", show_default=True, help="Where the labels are.")
@click.option("--detector", "name", default="stack", show_default=True, help="Which detector to calibrate.")
@click.option("--rate", type=click.FloatRange(0.0001, 0.5), default=0.01, show_default=True, help="Rate to report on.")
@with_output
@with_catalog
def calibrate(
    catalog: "Catalog",
    out: Output,
    corpus: str,
    human: str,
    labelled: str | None,
    label_field: str,
    name: str,
    rate: float,
) -> None:
    """Read a detector against known-human texts of your own, so that "flagged at 1 %" holds for CORPUS.

    200 texts are recommended; n texts can flag at no less than 1/(n+1). Run `tag run CORPUS` afterwards. SAMPLE may not
    be CORPUS itself, nor hold text that is declared a model's.
    """
    from provenance.catalog.corpora import get_corpus
    from provenance.tagging.calibration import calibrate as calibrate_corpus
    from provenance.tagging.labelled import read_labelled
    from provenance.tagging.shift import SHIFT_LIMIT

    data = None
    if labelled is not None:
        info = get_corpus(catalog, labelled)
        data = read_labelled(catalog, [info], label_field=label_field, group_field="", generator_field="")
    done = calibrate_corpus(
        catalog, get_corpus(catalog, corpus), get_corpus(catalog, human), detector=name, rate=rate, labelled=data,
        labelled_ref=labelled or "",
    )  # fmt: skip
    humans = len(done.local.human.scores)
    why_not = done.local.why_not_flag_at(rate)
    text = f"{corpus}: {name} is read against {humans} human texts of {done.local.human_ref}"
    if why_not:
        note(f"warning: {why_not}")
    elif done.power == done.power:
        text += f"; at {rate:.1%} false positives about {done.power:.0%} of model texts elsewhere would be found"
    if done.shifted:
        note(
            f"warning: {corpus} does not look like {human} (shift {done.shift:.2f}, limit {SHIFT_LIMIT}): "
            "the promised rate does not hold"
        )
    record = {
        "corpus": corpus,
        "detector": name,
        "detector_version": done.local.version,
        "human_documents": humans,
        "can_flag": why_not is None,
        "power": None if done.power != done.power else done.power,
        "shift": None if done.shift != done.shift else done.shift,
        "shift_limit": SHIFT_LIMIT,
    }
    out.record("provenance.tag.calibrate/1", record, text=text)


@tag.command()
@click.argument("corpus", required=False)
@click.option("-n", "limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many to show.")
@with_output
@with_catalog
def conflicts(catalog: "Catalog", out: Output, corpus: str | None, limit: int) -> None:
    """List documents whose source declares a human writer while the evidence says model, strongest first.

    Says model: p_model above 0.5, more likely than not. That is where to read, not whom to accuse. local_p_value, after
    `tag calibrate`, is the share of known-human texts that score as high: of such texts at most 1 % have 0.01 or less.
    """
    from provenance.catalog.corpora import get_corpus
    from provenance.tagging.conflicts import Conflict, find_conflicts

    found = find_conflicts(catalog, get_corpus(catalog, corpus) if corpus else None, limit)
    columns = list(Conflict.__slots__)
    rows = [[getattr(one, name) for name in columns] for one in found]
    out.rows("provenance.tag.conflicts/1", columns, rows, empty="no conflicts")


@tag.command()
@click.argument("corpus")
@click.option("--by", type=click.Choice(["subgroup", "source", "month"]), help="Also estimate each group.")
@click.option(
    "--model",
    metavar="SAMPLE",
    help="Corpus of model texts like those expected in CORPUS, none of which the detector was trained on.",
)
@click.option("--detector", "name", default="stack", show_default=True, help="Whose scores to use.")
@with_output
@with_catalog
def estimate(catalog: "Catalog", out: Output, corpus: str, by: str | None, model: str | None, name: str) -> None:
    """Estimate the share of model text in CORPUS with a 95 % interval, and a bound that assumes almost nothing.

    Needs `tag run` and `tag calibrate --human` first: without known-human texts of the same kind there is no estimate.
    The share is of model text that can be told apart; generators that write like people come on top. So the interval
    ends at 1 unless --model shows how texts of the models in question score here; high_if_known is where it would end
    if they wrote like the models the detector was trained against. at_least is the bound that assumes nothing of the
    model; it comes from how many are flagged above a threshold that false_positives of the known humans exceed, two
    numbers that estimate nothing by themselves.
    """
    from provenance.catalog.corpora import get_corpus
    from provenance.tagging.calibration import estimate as estimate_corpus
    from provenance.tagging.shift import SHIFT_LIMIT

    sample = get_corpus(catalog, model) if model else None
    groups, shift = estimate_corpus(catalog, get_corpus(catalog, corpus), detector=name, by=by, model=sample)
    columns = [
        "group",
        "documents",
        "judged",
        "share",
        "low",
        "high",
        "high_if_known",
        "at_least",
        "flagged",
        "false_positives",
    ]
    rows = []
    for group in groups:
        if group.estimate is None:
            note(f"{group.group}: {group.why_not}")
            continue
        one = group.estimate
        share = [one.share.value, one.share.low, one.share.high] if one.share else [None, None, None]
        if one.share and (one.high_if_known or 0) - one.share.low > 0.5:
            note(f"{group.group}: {name} can hardly tell such model texts from these human ones; do not use the share")
        rows.append(
            [
                group.group,
                one.documents,
                one.judged,
                *share,
                one.high_if_known,
                one.lower_bound,
                one.flagged,
                one.false_positive_rate.value,
            ]
        )
    if shift > SHIFT_LIMIT:
        note(
            f"warning: {corpus} does not look like its human sample (shift {shift:.2f}, limit {SHIFT_LIMIT}): "
            "the interval does not hold"
        )
    if sample is None:
        note("no upper end: how much of this model text the detector finds is not known without --model SAMPLE")
    out.rows("provenance.tag.estimate/1", columns, [[_rounded(value) for value in row] for row in rows])


def _rules(path: Path | None) -> "Rules":
    from provenance.tagging.rules import Rules, read_rules

    return read_rules(path) if path is not None else Rules()


def _counts(origins: list[str]) -> list[int]:
    return [origins.count(name) for name in ("model", "human", "mixed", "unknown")]


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value

"""The `detector` group: what detectors there are, training them, measuring them."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from .common import Output, dry_run_option, note, with_catalog, with_output

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog
    from provenance.tagging.leaks import Leak
    from provenance.tagging.metrics import Interval, Quality

_QUALITY_COLUMNS = ["slice", "human", "model", "abstained", "auroc", "ap", "tpr@5%", "tpr@1%", "tpr@0.1%"]

label_option = click.option(
    "--label-field",
    default="declared_origin",
    show_default=True,
    help="Column or metadata field that says human or model.",
)
group_option = click.option(
    "--group", "group_field", default="", help="Column or field with the domain, held out in turn. Default: the corpus."
)
generator_option = click.option(
    "--generator-field",
    default="declared_generator",
    show_default=True,
    help="Column or field that names the model, held out in turn.",
)
settings_option = click.option(
    "-o", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the detector; repeatable."
)


@click.group()
def detector() -> None:
    """Detectors of model text: list, train, evaluate."""


@detector.command()
@with_output
@with_catalog
def ls(catalog: "Catalog", out: Output) -> None:
    """List detectors: what each reads, whether it is trained, and where."""
    from provenance.detectors.weights import read_card
    from provenance.plugins import DETECTORS
    from provenance.tagging.stored import find_folder

    rows = []
    for name in DETECTORS:
        cls = DETECTORS.load(name)
        folder = find_folder(catalog.root, name)
        card = read_card(folder) if folder else {}
        if hasattr(cls, "score_records"):
            state = "ready"
        elif folder:
            state = "trained here" if folder.is_relative_to(catalog.root) else "shipped"
        elif hasattr(cls, "fit"):
            state = "needs training"
        else:
            state = "ready" if name == "boilerplate" else "needs settings"
        summary = (cls.__doc__ or "").strip().splitlines()[0]
        rows.append([name, cls.kind.value, state, card.get("version"), summary])
    out.rows("provenance.detector.ls/1", ["detector", "kind", "state", "version", "about"], rows)


@detector.command()
@click.argument("corpora", nargs=-1, required=True, metavar="CORPUS…")
@click.option("--detector", "name", default="stack", show_default=True, help="Which detector to train.")
@label_option
@group_option
@generator_option
@settings_option
@dry_run_option
@with_output
@with_catalog
def train(
    catalog: "Catalog",
    out: Output,
    corpora: tuple[str, ...],
    name: str,
    label_field: str,
    group_field: str,
    generator_field: str,
    settings: tuple[str, ...],
    *,
    dry_run: bool,
) -> None:
    """Train a detector on labelled CORPUS…, each domain and each generator held out in turn.

    The detector goes to .provenance/detectors/NAME with its card; scores it gives from then on carry a new version.
    """
    from provenance.catalog.corpora import get_corpus
    from provenance.catalog.store import file_hashes, publish
    from provenance.tagging.labelled import read_labelled
    from provenance.tagging.stored import make_detector
    from provenance.tagging.train import train as train_detector

    blank = make_detector(name, parse_settings(settings))
    if not hasattr(blank, "fit"):
        raise click.UsageError(f"detector {name!r} has nothing to train")
    infos = [get_corpus(catalog, ref) for ref in corpora]
    data = read_labelled(
        catalog, infos, label_field=label_field, group_field=group_field, generator_field=generator_field
    )
    trained = train_detector(blank, data)
    say_leaks(trained.leaks)
    for doubt in trained.doubts:
        note(f"warning: {doubt}")
    about = {"corpora": [info.ref for info in infos], "licences": sorted({info.license or "unknown" for info in infos})}
    if not dry_run:
        params = {"detector": name, "corpora": about["corpora"], "settings": dict(parse_settings(settings))}
        with (
            catalog.activity("detector train", params) as activity,
            catalog.staging(str(activity.activity_id)) as folder,
        ):
            activity.inputs.extend(f"corpus:{info.ref}" for info in infos)
            activity.outputs.append(f"detector:{name}@{trained.detector.version}")
            trained.save(folder / "detectors" / name, about)
            hashes = file_hashes(folder, folder / "detectors" / name)
            activity.outputs.extend(f"file:{path} sha256:{digest}" for path, digest in hashes.items())
            publish(folder / "detectors" / name, catalog.root / "detectors" / name)
    qualities = [*_renamed(trained.domains_held_out, ""), *_renamed(trained.generators_held_out, "held out ")]
    beside = {"leaks": [asdict(leak) for leak in trained.leaks]}
    _print_qualities(out, "provenance.detector.train/1", qualities, beside)
    verb = "would train" if dry_run else "trained"
    held_out = "; figures are from texts held out" if qualities else ""
    note(f"{verb} {name}@{trained.detector.version} on {len(data.texts):,} texts{held_out}")


@detector.command()
@click.argument("corpora", nargs=-1, required=True, metavar="CORPUS…")
@click.option("--detector", "name", default="stack", show_default=True, help="Which detector to measure.")
@label_option
@group_option
@generator_option
@click.option("--writer-field", default="subgroup", show_default=True, help="Group of writers, for false positives.")
@click.option("--attacks", is_flag=True, help="Also measure disguised texts.")
@settings_option
@with_output
@with_catalog
def evaluate(
    catalog: "Catalog",
    out: Output,
    corpora: tuple[str, ...],
    name: str,
    label_field: str,
    group_field: str,
    generator_field: str,
    writer_field: str,
    settings: tuple[str, ...],
    *,
    attacks: bool,
) -> None:
    """Measure a detector on labelled CORPUS…: AUROC, precision, TPR at fixed FPR, by domain, generator, length.

    Also shows what separates the classes without reading (leaks), false positives per group of writers, and, with
    --attacks, what disguises cost. Nothing is written.
    """
    from provenance.catalog.corpora import get_corpus
    from provenance.tagging.evaluate import evaluate as measure
    from provenance.tagging.labelled import read_labelled
    from provenance.tagging.stored import open_detector

    infos = [get_corpus(catalog, ref) for ref in corpora]
    data = read_labelled(
        catalog,
        infos,
        label_field=label_field,
        group_field=group_field,
        generator_field=generator_field,
        writer_field=writer_field,
    )
    opened = open_detector(catalog.root, name, dict(parse_settings(settings)))
    result = measure(opened.detector, data, attacks=attacks)
    say_leaks(result.leaks)
    # Versions of a corpus share most of their texts. Without --group a domain is a corpus, which is said once.
    learned = {ref.partition("@")[0] for ref in opened.card.get("corpora", [])} & {info.corpus for info in infos}
    domains = {part["domain"] for part in opened.card.get("training", [])} & set(data.domains)
    for kind, names in (("corpora", learned), ("domains", domains - learned)):
        if names:
            note(
                f"warning: {name} learned from {kind} of these names: {', '.join(sorted(names))}; on its own texts it "
                "flatters"
            )
    beside = {name: [asdict(one) for one in getattr(result, name)] for name in ("leaks", "fairness")}
    _print_qualities(out, "provenance.detector.evaluate/1", [*result.qualities, *result.attacked], beside)
    for group in result.fairness:
        note(
            f"false positives of {group.group or 'all'} at {group.rate:.0%}: {group.observed.value:.1%} "
            f"[{group.observed.low:.1%}, {group.observed.high:.1%}] of {group.num_human}"
        )


def parse_settings(settings: tuple[str, ...]) -> dict[str, str]:
    """`NAME=VALUE` pairs as a mapping."""
    parsed = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.isidentifier():
            raise click.BadParameter(f"{setting!r} is not NAME=VALUE", param_hint="-o")
        parsed[key] = value
    return parsed


def _print_qualities(out: Output, schema: str, qualities: "list[Quality]", beside: dict[str, Any]) -> None:
    """A row per slice. A person reads an interval as one cell; a program gets its numbers in columns of their own."""
    spread = _spread if out.format == "table" else _numbers
    columns: list[str] = []
    for name in _QUALITY_COLUMNS:
        columns += spread(name, None) if name.startswith(("auroc", "tpr")) else [name]
    rows = []
    for quality in qualities:
        precision = quality.average_precision
        cells: dict[str, Any] = {"slice": quality.slice, "human": quality.num_human, "model": quality.num_model}
        cells |= {"abstained": quality.abstained, "ap": None if precision is None else round(precision, 3)}
        cells |= spread("auroc", quality.auroc)
        for rate, interval in quality.tpr_at.items():
            cells |= spread(f"tpr@{100 * rate:g}%", interval)
        rows.append([cells[column] for column in columns])
    out.rows(schema, columns, rows, beside=beside)


def say_leaks(leaks: "list[Leak]") -> None:
    """Say on stderr what separates the classes without reading; a person must see it with every figure."""
    telling = [leak for leak in leaks if max(leak.raw, leak.normalised) >= 0.6]
    for leak in telling:
        note(
            f"leak in {leak.domain}: {leak.trace} alone separates at AUROC {leak.raw:.2f}, {leak.normalised:.2f} after "
            "normalising"
        )
    if not telling:
        traces = ", ".join(dict.fromkeys(leak.trace for leak in leaks)) or "no domain has both classes"
        note(f"leaks: nothing separates the classes at AUROC 0.6 without reading ({traces})")


def _renamed(qualities: "list[Quality]", prefix: str) -> "list[Quality]":
    from dataclasses import replace

    return [replace(quality, slice=f"{prefix}{quality.slice}") for quality in qualities]


def _spread(name: str, interval: "Interval | None") -> dict[str, Any]:
    return {name: None if interval is None else f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"}


def _numbers(name: str, interval: "Interval | None") -> dict[str, Any]:
    return {
        name: None if interval is None else interval.value,
        f"{name}_low": None if interval is None else interval.low,
        f"{name}_high": None if interval is None else interval.high,
    }

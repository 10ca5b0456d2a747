"""The `experiment` group: run, resume, ls, show, compare, price, export, rm, recipes, theory."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import Output, dry_run_option, human_bytes, note, progress_bar, with_catalog, with_output

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog
    from provenance.recursion.plan import Plan


@click.group()
def experiment() -> None:
    """Experiments: models trained on what models wrote, generation after generation."""


@experiment.command()
@click.argument("source", metavar="FILE|RECIPE")
@click.option("--only", multiple=True, metavar="POLICY-sSEED", help="This run of it; several processes share the work.")
@dry_run_option
@with_output
@with_catalog
def run(catalog: "Catalog", out: Output, source: str, only: tuple[str, ...], *, dry_run: bool) -> None:
    """Run the experiment in FILE (.toml), or the shipped RECIPE of that name.

    What is already finished is kept: the same command goes on after an interruption. Every experiment also runs the
    policy `control`, which trains on real data only, with the same budget. Prints the last generation of each policy,
    or for a sweep with a [price] table what `experiment price` does.
    """
    from provenance.recursion.in_catalog import named_experiments, plan_experiment

    found, folder = named_experiments(source)
    plans = [plan_experiment(catalog, one, folder=folder, only=only) for one in found]
    if dry_run:
        _preview(plans, out)
    else:
        _run(catalog, plans, command="experiment run")
        name = found[0].family or found[0].name
        if found[0].price is not None:
            _price(catalog, out, name, level=None)
        else:
            _finished(catalog, out, name)


@experiment.command()
@click.argument("name")
@with_output
@with_catalog
def resume(catalog: "Catalog", out: Output, name: str) -> None:
    """Go on with experiment NAME where it stopped, with the settings it was started with.

    Of a sweep, with every point that was started; `experiment run` with the same file starts the others too.
    """
    from provenance.catalog.experiments import members
    from provenance.recursion.in_catalog import plan_experiment, stored_experiment

    plans = [plan_experiment(catalog, stored_experiment(catalog, member)) for member in members(catalog, name)]
    _run(catalog, plans, command="experiment resume")
    _finished(catalog, out, name)


def _run(catalog: "Catalog", plans: "list[Plan]", *, command: str) -> None:
    from provenance.recursion.in_catalog import run_in_catalog
    from provenance.recursion.run import help_train, helps

    if helps():
        for plan in plans:
            help_train(plan)
        raise click.exceptions.Exit(0)
    runs = sum(len(plan.runs) for plan in plans)
    total = sum(len(plan.runs) * (plan.experiment.generations + 1) for plan in plans)
    kept = seconds = 0.0
    with progress_bar(plans[0].experiment.name, total=total) as (bar, task):
        for plan in plans:
            for result in run_in_catalog(catalog, plan, command=command):
                kept += result.resumed
                seconds += 0.0 if result.resumed else result.summary["seconds"]
                bar.update(task, advance=1, description=f"{result.run.run_id} generation {result.generation}")
    kept_or_shared = f"{int(kept)} of them kept or shared with another policy"
    note(f"{total} generations in {runs} runs, {kept_or_shared}, {seconds:.1f} s of training")


def _finished(catalog: "Catalog", out: Output, name: str) -> None:
    """The last generation of each policy, and where the rest is."""
    from provenance.catalog.experiments import members
    from provenance.catalog.outcomes import last_generation

    columns, rows = last_generation(catalog, name)
    out.rows("provenance.experiment.run/1", columns, rows)
    _note_unfinished(catalog, name)
    note(f"from the first generation, with the range over seeds: provenance experiment show {name}")
    if len(members(catalog, name)) > 1:
        note(f"as a figure over the sweep: provenance report build {name}")
    else:
        note(f"generation by generation, and what it costs: provenance experiment compare {name} METRIC")


def _note_unfinished(catalog: "Catalog", name: str) -> list[str]:
    """Say which runs are not at their end: what they lack is in no mean."""
    from provenance.catalog.outcomes import unfinished

    found = [
        f"{experiment}/{policy}-s{seed} " + (f"at {reached} of {wanted}" if reached >= 0 else "not begun")
        for experiment, policy, seed, reached, wanted in unfinished(catalog, name)
    ]
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        note(f"not finished: {', '.join(found[:5])}{more}; go on with: provenance experiment resume {name}")
    return found


def _preview(plans: "list[Plan]", out: Output) -> None:
    from provenance.recursion.preview import preview

    plan, seen = plans[0], preview(plans)
    record = {
        "experiment": plan.experiment.family or plan.experiment.name,
        "points": len(plans),
        "runs": seen.runs,
        "generations": seen.generations,
        "finished": seen.finished,
        "seconds": seen.seconds,
        "disk_bytes": seen.disk_bytes,
        "growing": seen.growing,
        "machine": seen.machine,
    }
    # The first generations are tried, and where data accumulate the later ones are larger.
    about = "at least" if seen.growing else "about"
    lines = [
        f"experiment   {record['experiment']} (world {plan.experiment.world})",
        f"policies     {', '.join(policy.name for policy in plan.policies)}",
        f"points       {len(plans)}",
        f"runs         {seen.runs} ({len(plan.policies)} policies, {len(plan.experiment.seeds)} seeds)",
        f"generations  {seen.generations}, {seen.finished} of them finished",
        f"time         {about} {seen.seconds:.0f} s on this machine ({seen.machine})",
        f"disk         {about} {human_bytes(seen.disk_bytes)}",
    ]
    out.record("provenance.experiment.plan/1", record, text="\n".join(lines))


@experiment.command(name="ls")
@with_output
@with_catalog
def list_(catalog: "Catalog", out: Output) -> None:
    """The experiments of this catalog."""
    from provenance.catalog.experiments import LIST_COLUMNS, list_experiments

    empty = "no experiments yet: provenance experiment run RECIPE"
    out.rows("provenance.experiment.ls/1", LIST_COLUMNS, list_experiments(catalog), empty=empty)


@experiment.command()
@click.argument("name")
@with_output
@with_catalog
def show(catalog: "Catalog", out: Output, name: str) -> None:
    """Every metric of experiment NAME at its first and last generation, per policy, with the range over seeds."""
    from provenance.catalog.outcomes import SHOW_COLUMNS, show_experiment

    out.rows("provenance.experiment.show/1", SHOW_COLUMNS, show_experiment(catalog, name))
    _note_unfinished(catalog, name)


@experiment.command()
@click.argument("name")
@click.argument("metric")
@click.option(
    "--within",
    type=click.FloatRange(min=0),
    default=0.1,
    show_default=True,
    help="What counts as holding the metric: this much worse than the control, as a share of its value.",
)
@with_output
@with_catalog
def compare(catalog: "Catalog", out: Output, name: str, metric: str, *, within: float) -> None:
    """METRIC of experiment NAME: a row per generation, a column per policy, means over seeds.

    Then what lost provenance costs: the last generation of `replace` against the control's mean; what a detector and
    every other policy buys back of it; and the smallest share of human text that holds the metric. Intervals are 95 %,
    over seeds. --json has the same under `costs`.
    """
    from dataclasses import asdict

    from provenance.catalog.experiments import members
    from provenance.catalog.outcomes import compare_policies
    from provenance.recursion.cost import costs_of, statements

    columns, rows = compare_policies(catalog, name, metric)
    costs = costs_of(catalog, members(catalog, name)[0], metric, within=within)
    said = statements(costs, metric, within=within)
    beside = {"costs": [asdict(cost) for cost in costs], "within": within, "statements": said}
    out.rows("provenance.experiment.compare/1", columns, rows, beside=beside)
    for sentence in said:
        note(sentence)
    _note_unfinished(catalog, name)


@experiment.command()
@click.argument("name")
@click.option("--level", type=float, help="Good enough for the metric. Default: what the experiment file says.")
@with_output
@with_catalog
def price(catalog: "Catalog", out: Output, name: str, level: float | None) -> None:
    """The price of lost provenance: the smallest amount of verified human data that keeps NAME's metric good enough.

    NAME is an experiment file with a [price] table and a sweep over that amount. One row per policy and setting of the
    other axes; amounts are shares of the training set, low and high a 95 % band. An empty cell: not even the largest
    amount tried was enough.
    """
    _price(catalog, out, name, level=level)


def _price(catalog: "Catalog", out: Output, name: str, *, level: float | None) -> None:
    from provenance.recursion.priced import price_of

    priced = price_of(catalog, name, level)
    rows = [
        (point.policy, *map(point.setting.get, priced.axes), point.smallest, point.low, point.high)
        for point in priced.points
    ]
    out.rows("provenance.experiment.price/1", ["policy", *priced.axes, "smallest", "low", "high"], rows)
    better = "at least" if priced.higher_is_better else "at most"
    control = "no value" if priced.control is None else f"{priced.control:.4g}"
    note(f"good enough: {priced.metric} {better} {priced.level:g}, where the control has {control}")


@experiment.command()
@click.argument("name")
@click.argument("run", metavar="POLICY-sSEED")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--generation", type=click.IntRange(min=0), default=0, show_default=True, help="Whose model.")
@with_catalog
def export(catalog: "Catalog", name: str, run: str, folder: Path, *, generation: int) -> None:
    """Write a language model of experiment NAME to FOLDER, as transformers' from_pretrained reads it.

    Generation 0's model is always stored, later ones with keep_models = true in the experiment file.
    """
    from provenance.recursion.in_catalog import export_model

    export_model(catalog, name, run, folder, generation=generation)
    click.echo(f"wrote {folder}: the model of {name}/{run}, generation {generation}")


@experiment.command()
@click.argument("name")
@dry_run_option
@with_catalog
def rm(catalog: "Catalog", name: str, *, dry_run: bool) -> None:
    """Forget experiment NAME's numbers, or those of a whole sweep, and delete its files. Corpora it wrote stay."""
    from provenance.catalog.experiments import members
    from provenance.recursion.in_catalog import remove

    for member in members(catalog, name):
        if not dry_run:
            remove(catalog, member)
        click.echo(f"{'would remove' if dry_run else 'removed'} experiment {member}")


@experiment.command()
@click.argument("name", required=False)
def recipes(name: str | None) -> None:
    """The experiments and policies that ship, with what each one shows; with NAME the file itself, to start from."""
    from provenance.mixing.policy import shipped_file
    from provenance.recursion.in_catalog import shipped

    if name is not None:
        click.echo(shipped_file(name), nl=False)
        return
    for kind, each, description in shipped():
        click.echo(f"{kind:<11} {each:<24} {description}")


@experiment.command()
@click.option("--quick", is_flag=True, help="Under a minute on two cores; otherwise 16 times the replicas.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another draw of the same checks."
)
@with_output
def theory(out: Output, *, quick: bool, seed: int) -> None:
    """Hold the engine to closed-form theory: T1 to T20, predicted against simulated.

    A law holds within four standard errors. Rows whose id ends in - are controls, wrong on purpose: they must be
    rejected. Exit code 1 when any row is not as it should be.
    """
    from provenance.errors import CheckFailedError
    from provenance.recursion.theory.run import run_checks

    checks = []
    with progress_bar("theory", total=None) as (bar, task):
        for check in run_checks(quick=quick, seed=seed):
            checks.append(check)
            bar.update(task, advance=1, description=f"{check.id} {check.what}")
    columns = ["id", "what", "predicted", "simulated", "stderr", "slack", "standard_errors", "verdict", "note"]
    rows = [[getattr(check, column) for column in columns] for check in checks]
    out.rows("provenance.experiment.theory/1", columns, rows)
    bad = [check for check in checks if not check.ok]
    if bad:
        raise CheckFailedError(
            f"{len(bad)} of {len(checks)} rows are not as they should be: {', '.join(f'{c.id} {c.what}' for c in bad)}"
        )
    laws = sum(not check.control for check in checks)
    note(f"{len(checks)} rows: {laws} laws hold, {len(checks) - laws} controls are rejected")

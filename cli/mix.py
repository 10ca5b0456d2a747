"""The `mix` group: plan, lock, build, ls, show, diff."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import Output, dry_run_option, note, progress_bar, with_catalog, with_output

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog
    from provenance.mixing.lock import Lock
    from provenance.mixing.plan import MixPlan

FORMATS = ("parquet", "jsonl", "hf", "mds", "webdataset")
SUBGROUPS_SHOWN = 8


@click.group()
def mix() -> None:
    """Training mixes: shares of the catalog's documents, chosen in SQL, that can be rebuilt byte for byte."""


@mix.command()
@click.argument("policy")
@with_output
@with_catalog
def plan(catalog: "Catalog", out: Output, policy: str) -> None:
    """Show what POLICY (a TOML file, or a shipped name) would draw; write nothing."""
    from provenance.mixing.plan import plan_mix
    from provenance.mixing.policy import load_policy

    _print_plan(out, plan_mix(catalog, load_policy(policy)))


@mix.command()
@click.argument("policy")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write it. Default: NAME.lock.json.")
@click.option("--check", is_flag=True, help="Only say whether the lock there is still what would be written.")
@dry_run_option
@with_output
@with_catalog
def lock(catalog: "Catalog", out: Output, policy: str, output: Path | None, *, check: bool, dry_run: bool) -> None:
    """Pin what POLICY draws to its very documents, in a file that needs no time, path or machine to be rebuilt."""
    from provenance.errors import CheckFailedError
    from provenance.mixing.lock import ROW_LAYOUT, make_lock
    from provenance.mixing.plan import plan_mix
    from provenance.mixing.policy import load_policy

    drawn = plan_mix(catalog, load_policy(policy))
    _note_held_out(drawn)
    made = make_lock(drawn)
    path = output or Path(f"{made.name}.lock.json")
    there = path.read_bytes() if path.exists() else b""
    if check:
        # How an earlier version laid out the rows says nothing about which documents are drawn.
        layouts = (made.model_copy(update={"layout": number}) for number in range(ROW_LAYOUT, 0, -1))
        made = next((lock for lock in layouts if lock.canonical() == there), made)
    same = there == made.canonical()
    if check and not same:
        raise CheckFailedError(
            f"{path} is not what {policy} draws now", hint=f"see what changed: provenance mix diff {path} {policy}"
        )
    if not (check or dry_run or same):
        staged = path.with_name(f".{path.name}.part")
        staged.write_bytes(made.canonical())
        staged.replace(path)
    verb = "unchanged:" if same else "would write" if dry_run else "wrote"
    record = {
        "path": path,
        "sha256": made.sha256,
        "documents": made.documents,
        "tokens": made.tokens,
        "unchanged": same,
    }
    out.record(
        "provenance.mix.lock/1", record, text=f"{verb} {path}: {made.documents:,} documents, sha256 {made.sha256}"
    )


@mix.command()
@click.argument("lock_file", type=click.Path(path_type=Path), metavar="LOCK")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the texts to this file or folder.")
@click.option("--as", "as_", type=click.Choice(FORMATS), help="Format of the output. Default: what its ending says.")
@click.option("--locked", is_flag=True, help="Build the very documents of LOCK or fail. Default: draw anew.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Shards read at a time.")
@dry_run_option
@with_output
@with_catalog
def build(
    catalog: "Catalog",
    out: Output,
    lock_file: Path,
    output: Path | None,
    as_: str | None,
    workers: int,
    *,
    locked: bool,
    dry_run: bool,
) -> None:
    """Record the mix of LOCK in the catalog, and with -o write its texts in training order.

    The policy of LOCK is drawn anew from the catalog as it is, and LOCK is updated if that gives something else; what
    changed is said. With --locked exactly the documents of LOCK are built, byte for byte, or none where their corpora
    are not here as they were or, with -o, where this version lays out the rows otherwise than the one that made LOCK
    (for Parquet, also where another library writes it); how many of them would no longer be drawn, because tags
    changed since, is said.

    \b
    provenance mix build human-first.lock.json --locked -o train.parquet
    provenance mix build human-first.lock.json -o shards --as mds
    """
    from provenance.mixing.build import build_mix
    from provenance.mixing.lock import read_lock

    wanted = read_lock(lock_file)
    with progress_bar(wanted.name, total=wanted.documents) as (bar, task):
        result = build_mix(
            catalog,
            wanted,
            output=output,
            format=as_,
            locked=locked,
            workers=workers,
            dry_run=dry_run,
            on_progress=lambda done: bar.update(task, completed=done),
        )
    for drift in result.drift:
        note(f"drifted: {drift}")
    for reason, count in result.unfit.items():
        note(f"{count:,} of {result.named:,} documents {reason}; without --locked the mix is drawn anew")
    if result.lock != wanted:
        if not dry_run:
            staged = lock_file.with_name(f".{lock_file.name}.part")
            staged.write_bytes(result.lock.canonical())
            staged.replace(lock_file)
        changed = f"{result.entered:,} documents entered, {result.left:,} left"
        if not (result.entered or result.left):
            changed = "the same documents, described otherwise"
        note(f"{'would draw anew and update' if dry_run else 'drew anew and updated'} {lock_file}: {changed}")
    ref = result.mix.ref if result.mix else wanted.name
    verb = "would build" if dry_run else "built"
    text = f"{verb} mix:{ref}: {result.documents:,} documents, lock sha256 {result.lock.sha256}"
    if result.written:
        text += f"\nwrote {result.written.path}: {result.written.format}, sha256 {result.written.sha256}"
    record = {
        "mix": ref,
        "documents": result.documents,
        "lock_sha256": result.lock.sha256,
        "drift": [str(drift) for drift in result.drift],
        "entered": result.entered,
        "left": result.left,
        "unfit": result.unfit,
        "path": output,
        "format": result.written.format if result.written else None,
        "sha256": result.written.sha256 if result.written else None,
    }
    out.record("provenance.mix.build/1", record, text=text)


@mix.command()
@with_output
@with_catalog
def ls(catalog: "Catalog", out: Output) -> None:
    """List built mixes."""
    from provenance.catalog.mixes import list_mixes

    rows = [(m.ref, m.documents, m.tokens, m.seed, m.lock_sha256[:16]) for m in list_mixes(catalog)]
    columns = ["mix", "documents", "tokens", "seed", "lock_sha256"]
    out.rows(
        "provenance.mix.ls/1", columns, rows, empty="no mixes yet; run: provenance mix lock POLICY, then mix build"
    )


@mix.command()
@click.argument("ref")
@with_output
@with_catalog
def show(catalog: "Catalog", out: Output, ref: str) -> None:
    """A built mix: its policy, corpora, and what each line asked for and got."""
    from provenance.catalog.mixes import get_mix

    found = get_mix(catalog, ref)
    lines = [f"mix:{found.ref}: {found.documents:,} documents, about {found.tokens:,} tokens, seed {found.seed}"]
    lines += [f"  from {part['corpus']}@{part['version']}  {part['content_root']}" for part in found.pool]
    lines += [f"  line {line['share']}{_group_text(line)}: {_line_text(line)}" for line in found.realised]
    record = {
        "mix": found.ref,
        "documents": found.documents,
        "tokens": found.tokens,
        "seed": found.seed,
        "lock_sha256": found.lock_sha256,
        "policy": found.policy,
        "pool": found.pool,
        "lines": found.realised,
    }
    out.record("provenance.mix.show/1", record, text="\n".join(lines))


@mix.command()
@click.argument("a")
@click.argument("b")
@click.option("--documents", is_flag=True, help="List every document, not only how many.")
@with_output
@with_catalog
def diff(catalog: "Catalog", out: Output, a: str, b: str, *, documents: bool) -> None:
    """Which documents entered or left from mix A to mix B, and why. Each is a built mix, a lock file or a policy."""
    from provenance.mixing.compare import diff_mixes

    found = diff_mixes(catalog, _lock_of(catalog, a), _lock_of(catalog, b))
    for setting in found.settings:
        note(setting)
    note(f"{found.common:,} documents in both")
    rows: list[tuple[Any, ...]]
    if documents:
        columns = ["doc_id", "change", "reason"]
        rows = [(change.doc_id, change.change, change.reason) for change in found.changes]
    else:
        columns = ["change", "reason", "documents"]
        rows = [(*key, n) for key, n in found.by_reason().items()]
    out.rows("provenance.mix.diff/1", columns, rows, empty="the same documents")


def _lock_of(catalog: "Catalog", source: str) -> "Lock":
    from provenance.catalog.mixes import get_mix
    from provenance.mixing.lock import make_lock, read_lock
    from provenance.mixing.plan import plan_mix
    from provenance.mixing.policy import load_policy

    if source.endswith(".toml"):
        return make_lock(plan_mix(catalog, load_policy(source)))
    if source.endswith(".json"):
        return read_lock(Path(source))
    return read_lock(catalog.root / get_mix(catalog, source).lock_file)


def _print_plan(out: Output, drawn: "MixPlan") -> None:
    columns = ["line", "group", "requested", "drawn", "available", "documents", "tokens", "subgroups", "where"]
    rows = [
        (
            line.share,
            line.group,
            line.requested,
            line.drawn,
            line.available,
            line.documents,
            line.tokens,
            _largest(line.by_subgroup) if out.format == "table" else line.by_subgroup,
            " ".join(line.where.split()),
        )
        for line in drawn.lines
    ]
    note(
        f"{drawn.policy.name}: {drawn.documents:,} documents, about {drawn.tokens:,} tokens, from "
        f"{', '.join(info.ref for info in drawn.corpora)} ({drawn.unit} requested, drawn, available)"
    )
    _note_held_out(drawn)
    out.rows("provenance.mix.plan/1", columns, rows)


def _note_held_out(drawn: "MixPlan") -> None:
    if drawn.held_out:
        left_out = ", ".join(f"{n:,} {reason}" for reason, n in drawn.held_out.items())
        note(f"left out because held-out text reaches them: {left_out}")
    for held, names in drawn.never_compared.items():
        note(
            f"near-duplicates of held-out {held} were not looked for in {', '.join(names)}; "
            f"run: provenance corpus dedup {' '.join(names)} --against {held}"
        )


def _largest(counts: dict[str, int]) -> str:
    """The largest groups: with a subgroup per author there are thousands."""
    shown = sorted(counts, key=lambda name: -counts[name])[:SUBGROUPS_SHOWN]
    rest = f" and {len(counts) - len(shown):,} more" if len(counts) > len(shown) else ""
    return ", ".join(f"{name} {counts[name]:,}" for name in shown) + rest


def _group_text(line: dict[str, Any]) -> str:
    return "" if line["group"] is None else f" ({line['group']})"


def _line_text(line: dict[str, Any]) -> str:
    return f"{' '.join(line['where'].split())}: {line['drawn']:,} of {line['requested']:,} requested"

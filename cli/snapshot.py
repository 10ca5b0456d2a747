"""The `snapshot` group: create, ls, show, diff, checkout, sign, keygen."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import Output, dry_run_option, with_catalog, with_output

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog


@click.group()
def snapshot() -> None:
    """Named states of the catalog that can be compared, signed and given out."""


@snapshot.command()
@click.argument("name")
@click.option("--note", default="", help="What it is for.")
@dry_run_option
@with_output
@with_catalog
def create(catalog: "Catalog", out: Output, name: str, note: str, *, dry_run: bool) -> None:
    """Name the present state: the newest version of every corpus, and the ledger up to now."""
    from provenance.catalog.snapshots import create_snapshot

    made = create_snapshot(catalog, name, note=note, dry_run=dry_run)
    verb = "would create" if dry_run else "created"
    record = {"snapshot": made.name, "root": made.root, "corpora": made.corpora, "ledger_seq": made.ledger_seq}
    text = (
        f"{verb} snapshot:{made.name}: {len(made.corpora)} corpora at ledger entry {made.ledger_seq}\nroot {made.root}"
    )
    out.record("provenance.snapshot.create/1", record, text=text)


@snapshot.command()
@with_output
@with_catalog
def ls(catalog: "Catalog", out: Output) -> None:
    """List snapshots."""
    from provenance.catalog.snapshots import list_snapshots
    from provenance.lineage.audit import signature_path

    rows = [
        (
            s.name,
            s.created_at,
            len(s.corpora),
            s.ledger_seq,
            s.root[:16],
            signature_path(catalog, s.name).exists(),
            s.note,
        )
        for s in list_snapshots(catalog)
    ]
    columns = ["snapshot", "created_at", "corpora", "ledger_seq", "root", "signed", "note"]
    out.rows("provenance.snapshot.ls/1", columns, rows, empty="no snapshots yet; run: provenance snapshot create NAME")


@snapshot.command()
@click.argument("name")
@with_output
@with_catalog
def show(catalog: "Catalog", out: Output, name: str) -> None:
    """A snapshot's root and corpora."""
    from provenance.catalog.snapshots import get_snapshot

    found = get_snapshot(catalog, name)
    lines = [f"snapshot:{found.name} of {found.created_at:%Y-%m-%d %H:%M:%S} at ledger entry {found.ledger_seq}"]
    lines += [f"root {found.root}", *([found.note] if found.note else [])]
    lines += [
        f"  {c['corpus']}@{c['version']}: {c['documents']:,} documents  {c['content_root']}" for c in found.corpora
    ]
    record = {
        "snapshot": found.name,
        "created_at": found.created_at,
        "root": found.root,
        "note": found.note,
        "corpora": found.corpora,
        "ledger_seq": found.ledger_seq,
        "ledger_sha256": found.ledger_sha256,
    }
    out.record("provenance.snapshot.show/1", record, text="\n".join(lines))


@snapshot.command()
@click.argument("a")
@click.argument("b")
@click.option("--documents", is_flag=True, help="List every document, not only how many.")
@with_output
@with_catalog
def diff(catalog: "Catalog", out: Output, a: str, b: str, *, documents: bool) -> None:
    """Documents that entered, left or changed tag from snapshot A to snapshot B, and why."""
    from .verify import print_differences

    one, two = (f"snapshot:{name.removeprefix('snapshot:')}" for name in (a, b))
    print_differences(catalog, out, one, two, documents=documents)


@snapshot.command()
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@dry_run_option
@with_output
@with_catalog
def checkout(catalog: "Catalog", out: Output, name: str, folder: Path, *, dry_run: bool) -> None:
    """Write the corpora of snapshot NAME to FOLDER as they were, with the tags they had then, and a manifest."""
    from provenance.lineage.checkout import checkout as write

    written = write(catalog, name, folder, dry_run=dry_run)
    verb = "would write" if dry_run else "wrote"
    out.rows("provenance.snapshot.checkout/1", ["file", "documents", "sha256"], written, empty=f"{verb} nothing")


@snapshot.command()
@click.argument("name")
@click.option(
    "--key", "key_file", type=click.Path(exists=True, path_type=Path), required=True, help="Private key (PEM)."
)
@dry_run_option
@with_catalog
def sign(catalog: "Catalog", name: str, key_file: Path, *, dry_run: bool) -> None:
    """Sign snapshot NAME with an Ed25519 key: an in-toto statement over its root."""
    from provenance.catalog.snapshots import get_snapshot
    from provenance.lineage.audit import sign_snapshot, signature_path

    if dry_run:
        click.echo(f"would sign snapshot:{get_snapshot(catalog, name).name}")
        return
    key_id = sign_snapshot(catalog, name, key_file)
    click.echo(f"signed snapshot:{name} with key {key_id[:16]}: {signature_path(catalog, name)}")


@snapshot.command()
@click.argument("path", type=click.Path(path_type=Path))
@dry_run_option
def keygen(path: Path, *, dry_run: bool) -> None:
    """Write a new Ed25519 key to PATH and its public half to PATH.pub."""
    from provenance.lineage.signing import make_key

    if dry_run:
        click.echo(f"would write {path} and {path}.pub")
        return
    key_id = make_key(path)
    click.echo(f"wrote {path} (keep it to yourself) and {path}.pub, key {key_id[:16]}")

"""The commands `verify` and `diff`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import Output, note, with_catalog, with_output

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog


@click.command()
@click.argument("what", required=False, metavar="[REF|FILE]")
@click.option(
    "--public-key", type=click.Path(exists=True, path_type=Path), help="Signatures must be by this key (PEM)."
)
@click.option("--text", "text_file", type=click.Path(exists=True, path_type=Path), help="The text a proof is about.")
@click.option("--signature", type=click.Path(exists=True, path_type=Path), help="A signed snapshot a proof must fit.")
@click.option("--catalog", "catalog_path", type=click.Path(path_type=Path), envvar="PROVENANCE_CATALOG",
              help="The catalog folder. Default: .provenance/ here or in a parent folder.")  # fmt: skip
@with_output
def verify(
    out: Output,
    what: str | None,
    public_key: Path | None,
    text_file: Path | None,
    signature: Path | None,
    catalog_path: Path | None,
) -> None:
    """Recompute every hash and name the first thing that does not match; exit 1 if anything does not.

    Without an argument: the whole catalog. REF: one corpus, mix:NAME or snapshot:NAME. FILE: an inclusion proof from
    `lineage prove`, checked without any catalog.
    """
    from provenance.errors import CheckFailedError

    if what is not None and Path(what).is_file():
        _verify_proof(out, Path(what), text_file, signature, public_key)
        return
    from provenance.lineage.audit import verify as recheck

    from .common import open_catalog

    found = list(recheck(open_catalog(catalog_path), what, public_key=public_key, on_progress=note))
    rows = [(finding.check, finding.where, finding.what) for finding in found]
    if rows or out.format == "json":
        out.rows("provenance.verify/1", ["check", "where", "what"], rows)
    if found:
        raise CheckFailedError(
            f"{len(found)} thing{'s do' if len(found) > 1 else ' does'} not match; first: {found[0]}",
            hint="nothing was changed; a signature must be by the key you brought: check which key that is"
            if public_key is not None and all(finding.check == "signature" for finding in found)
            else "nothing was changed; restore what is named from a backup or its source",
        )
    note("everything matches")


def _verify_proof(
    out: Output, path: Path, text_file: Path | None, signature: Path | None, public_key: Path | None
) -> None:
    from provenance.errors import CheckFailedError, UsageError
    from provenance.lineage import signing
    from provenance.lineage.proof import check_proof, read_proof

    if public_key is not None and signature is None:
        raise UsageError(
            "--public-key needs --signature where a proof is checked",
            hint="a proof is not signed itself; bring the signed snapshot it must fit (.dsse.json)",
        )
    proof = read_proof(path)
    check_proof(proof, text=text_file.read_text(encoding="utf-8") if text_file else None)
    signed_by = None
    if signature is not None:
        if public_key is None:
            raise UsageError(
                "--signature needs --public-key", hint="bring the signer's public key from where you trust it"
            )
        signed = signing.check(signature.read_bytes(), signing.read_public_key(public_key), signature.name)
        stated = {(c["corpus"], c["version"]): c for c in signed.predicate["corpora"]}.get(
            (proof.corpus, proof.version), {}
        )
        if stated.get("content_root") != proof.content_root:
            raise CheckFailedError(
                f"{signed.subject} does not have corpus {proof.corpus}@{proof.version} with this root"
            )
        # Some paths fit more than one size: the root alone does not settle it.
        if stated.get("documents") != proof.size:
            raise CheckFailedError(
                f"the proof says {proof.corpus}@{proof.version} has {proof.size:,} documents, {signed.subject} says "
                f"{stated.get('documents')}",
                hint="the proof was changed",
            )
        signed_by = signed.key_id
    record = {
        "doc_id": proof.doc_id,
        "corpus": f"{proof.corpus}@{proof.version}",
        "content_root": proof.content_root,
        "signed_by": signed_by,
    }
    text = f"doc:{proof.doc_id} is document {proof.index + 1} of {proof.size:,} under {proof.content_root}"
    if signed_by:
        text += f", signed by key {signed_by[:16]}"
    out.record("provenance.verify.proof/1", record, text=text)


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--documents", is_flag=True, help="List every document, not only how many.")
@click.option("--exit-code", is_flag=True, help="Exit 1 if there is any difference.")
@with_output
@with_catalog
def diff(catalog: "Catalog", out: Output, a: str, b: str, *, documents: bool, exit_code: bool) -> None:
    """What entered, left or changed from A to B, and why: corpora (web@1 web@2) or snapshots (snapshot:NAME)."""
    from provenance.errors import CheckFailedError

    if print_differences(catalog, out, a, b, documents=documents) and exit_code:
        raise CheckFailedError(f"{a} and {b} differ")


def print_differences(catalog: "Catalog", out: Output, a: str, b: str, *, documents: bool) -> int:
    """Print the differences between A and B; gives how many there are."""
    from provenance.catalog.differences import count_by_reason
    from provenance.catalog.differences import diff as compare

    found = compare(catalog, a, b)
    rows: list[tuple[Any, ...]]
    if documents:
        columns = ["doc_id", "corpus", "key", "change", "reason"]
        rows = [(d.doc_id, d.corpus, d.key, d.change, d.reason) for d in found]
    else:
        columns = ["change", "reason", "documents"]
        rows = [(*key, n) for key, n in count_by_reason(found).items()]
    out.rows("provenance.diff/1", columns, rows, empty=f"{a} and {b} hold the same")
    return len(found)

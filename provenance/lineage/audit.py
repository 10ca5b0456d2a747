"""`verify`: recomputes every hash of a catalog, its files and its signatures, and names what does not match.

Texts are read shard by shard, so memory stays flat. Nothing is changed.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from provenance.catalog.corpora import CorpusInfo, get_corpus, list_corpora
from provenance.catalog.finding import Finding
from provenance.catalog.ledger import newest_outputs, outputs_of
from provenance.catalog.mixes import MixInfo, get_mix, list_mixes, mix_rows
from provenance.catalog.snapshots import (
    SnapshotInfo,
    get_snapshot,
    list_snapshots,
    snapshot_in_ledger,
    snapshot_root,
)
from provenance.catalog.store import Catalog, file_hashes
from provenance.catalog.verify import check_rows, corpus_leaves, not_sealed, shard_rows
from provenance.errors import CheckFailedError, DataError, ProvenanceError
from provenance.ids import document_id_bytes, sha256_text
from provenance.lineage import signing
from provenance.lineage.merkle import inclusion_proof, merkle_root
from provenance.lineage.proof import ROOT_PREFIX, InclusionProof
from provenance.mixing.lock import locked_rows, parse_lock

SIGNATURES, KEYS = "signatures", "keys"
SIGNED = "signature:"


def verify(
    catalog: Catalog,
    ref: str | None = None,
    *,
    public_key: Path | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Iterator[Finding]:
    """Everything that does not match, in all of the catalog or in one corpus, mix or snapshot.

    With `public_key`, signatures must be by that key. Raises NotFoundError for an unknown reference.
    """
    say = on_progress or (lambda _: None)
    if ref is None:
        say("ledger, seals, tags")
        yield from check_rows(catalog)
        for rows in not_sealed(catalog):
            say(f"not covered: {rows}")
        say("detectors")
        yield from check_detectors(catalog, say)
        corpora, mixes, snapshots = (
            list_corpora(catalog, every_version=True),
            list_mixes(catalog),
            list_snapshots(catalog),
        )
    elif ref.startswith("mix:"):
        corpora, mixes, snapshots = [], [get_mix(catalog, ref)], []
    elif ref.startswith("snapshot:"):
        corpora, mixes, snapshots = [], [], [get_snapshot(catalog, ref)]
    else:
        corpora, mixes, snapshots = [get_corpus(catalog, ref.removeprefix("corpus:"))], [], []
    for info in corpora:
        say(f"corpus {info.ref}")
        yield from check_corpus(catalog, info)
    for mix in mixes:
        say(f"mix {mix.ref}")
        yield from check_mix(catalog, mix)
    for snapshot in snapshots:
        say(f"snapshot {snapshot.name}")
        yield from check_snapshot(catalog, snapshot, public_key)


def check_detectors(catalog: Catalog, say: Callable[[str], None]) -> Iterator[Finding]:
    """The files of detectors trained here, against what the newest training of each noted of them."""
    trained = newest_outputs(catalog, "detector train", "detector")
    parent = catalog.root / "detectors"
    there = {path.name for path in parent.iterdir() if path.is_dir()} if parent.exists() else set()
    for name in sorted(there | trained.keys()):
        noted = dict(output.split(" sha256:") for output in trained.get(name, []) if " sha256:" in output)
        if not noted:
            say(f"not covered: no training noted the hashes of the files of detector {name}")
            continue
        found = {f"file:{path}": digest for path, digest in file_hashes(catalog.root, parent / name).items()}
        for file in sorted(found.keys() | noted.keys()):
            if found.get(file) != noted.get(file):
                what = "is missing" if file not in found else "was added" if file not in noted else "was changed"
                yield Finding(check="detector", where=f"detector {name}", what=f"{Path(file).name} {what}")


def check_corpus(catalog: Catalog, info: CorpusInfo) -> Iterator[Finding]:
    """A corpus version: ids, content root, shard files, texts."""
    leaves = corpus_leaves(catalog, info)
    where = f"corpus {info.ref}"
    if leaves.num_rows != info.documents:
        yield Finding(
            check="corpus", where=where, what=f"has {leaves.num_rows} documents, was added with {info.documents}"
        )
    ids = leaves["doc_id"].cast(pa.binary(16)).to_pylist()
    keys = leaves["key"].to_pylist()
    hashes = leaves["text_sha256"].to_pylist()
    for raw, key, digest in zip(ids, keys, hashes, strict=True):
        if document_id_bytes(info.corpus, key, digest) != raw:
            what = "is not the hash of its corpus, key and text hash"
            yield Finding(check="corpus", where=f"doc:{UUID(bytes=raw)} of {info.ref}", what=what)
            break
    if ROOT_PREFIX + merkle_root(b"".join(hashes)).hex() != info.content_root:
        yield Finding(check="corpus", where=where, what="its documents do not have its content root")
    known = dict(zip(ids, hashes, strict=True))
    for _, path, documents, sha256 in shard_rows(catalog, info):
        yield from _check_shard(catalog.root / path, info, documents, sha256, known)
    for raw in sorted(known)[:1]:
        what = "has no text in any shard" + (f", like {len(known) - 1} more" if len(known) > 1 else "")
        yield Finding(check="shard", where=f"doc:{UUID(bytes=raw)} of {info.ref}", what=what)


def _check_shard(
    path: Path, info: CorpusInfo, documents: int, sha256: str, known: dict[bytes, bytes]
) -> Iterator[Finding]:
    """One text file; takes the documents it finds out of `known`."""
    where = f"shard {path.name} of {info.ref}"
    if not path.exists():
        yield Finding(check="shard", where=where, what="is missing")
        return
    with path.open("rb") as handle:
        same = hashlib.file_digest(handle, "sha256").hexdigest() == sha256
    before, rows = len(known), 0
    place = ""
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                start, size = _span(file, group)
                place = f"row group {group} (bytes {start} to {start + size})"
                table = file.read_row_group(group, columns=["doc_id", "text"])
                rows += table.num_rows
                for raw, text in zip(
                    table["doc_id"].cast(pa.binary(16)).to_pylist(), table["text"].to_pylist(), strict=True
                ):
                    expected = known.pop(raw, None)
                    if expected is None:
                        yield Finding(
                            check="shard", where=where, what=f"{place}: doc:{UUID(bytes=raw)} is not in the catalog"
                        )
                        return
                    if sha256_text(text) != expected:
                        yield Finding(
                            check="shard", where=where, what=f"{place}: the text of doc:{UUID(bytes=raw)} was changed"
                        )
                        return
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        yield Finding(
            check="shard", where=where, what=f"{place or 'its footer'} cannot be read: {str(error).splitlines()[0]}"
        )
        return
    if rows != documents or before - len(known) != documents:
        yield Finding(check="shard", where=where, what=f"holds {rows} documents, was written with {documents}")
    elif not same:
        yield Finding(
            check="shard", where=where, what=f"has other bytes than were written, though its {rows} texts are right"
        )


def _span(file: pq.ParquetFile, group: int) -> tuple[int, int]:
    """Where a row group's bytes start, and how many there are."""
    columns = [file.metadata.row_group(group).column(i) for i in range(file.metadata.num_columns)]
    start = min(column.dictionary_page_offset or column.data_page_offset for column in columns)
    return start, sum(column.total_compressed_size for column in columns)


def check_mix(catalog: Catalog, mix: MixInfo) -> Iterator[Finding]:
    """A mix: its lock's bytes, and its rows against the lock."""
    where = f"mix {mix.ref}"
    path = catalog.root / mix.lock_file
    try:
        found = path.read_bytes()
        lock = parse_lock(found, path.name)
    except FileNotFoundError:
        yield Finding(check="mix", where=where, what=f"its lock {mix.lock_file} is missing")
        return
    except ProvenanceError as error:
        yield Finding(check="mix", where=where, what=error.message)
        return
    if lock.sha256 != mix.lock_sha256:
        yield Finding(check="mix", where=where, what=f"its lock has SHA-256 {lock.sha256}, not {mix.lock_sha256}")
    expected, rows = locked_rows(lock).table, mix_rows(catalog, mix)
    if expected.num_rows != rows.num_rows:
        yield Finding(check="mix", where=where, what=f"has {rows.num_rows} documents, its lock {expected.num_rows}")
        return
    for name in ("doc_id", "share", "weight"):
        mine, locked = rows[name].to_pylist(), expected[name].to_pylist()
        at = next((i for i, (a, b) in enumerate(zip(mine, locked, strict=True)) if a != b), None)
        if at is not None:
            yield Finding(
                check="mix", where=where, what=f"position {at}: {name} is {mine[at]}, its lock says {locked[at]}"
            )
            return


def check_snapshot(catalog: Catalog, snapshot: SnapshotInfo, public_key: Path | None = None) -> Iterator[Finding]:
    """A snapshot: its root, its place in the ledger, its corpora, its signature."""
    where = f"snapshot {snapshot.name}"
    if snapshot_root(snapshot.corpora, snapshot.ledger_seq, snapshot.ledger_sha256) != snapshot.root:
        yield Finding(check="snapshot", where=where, what="its root is not the hash of its corpora and ledger entry")
    if not snapshot_in_ledger(catalog, snapshot):
        yield Finding(
            check="snapshot", where=where, what=f"ledger entry {snapshot.ledger_seq} is not the one it was made at"
        )
    roots = {info.ref: info.content_root for info in list_corpora(catalog, every_version=True)}
    for part in snapshot.corpora:
        ref = f"{part['corpus']}@{part['version']}"
        if roots.get(ref, part["content_root"]) != part["content_root"]:
            yield Finding(check="snapshot", where=where, what=f"corpus {ref} had content root {part['content_root']}")
    yield from _check_signature(catalog, snapshot, public_key)


def signature_path(catalog: Catalog, snapshot: str) -> Path:
    """Where the signature of a snapshot lies."""
    return catalog.root / SIGNATURES / f"{snapshot}.dsse.json"


def _check_signature(catalog: Catalog, snapshot: SnapshotInfo, public_key: Path | None) -> Iterator[Finding]:
    path = signature_path(catalog, snapshot.name)
    where = f"signature of snapshot {snapshot.name}"
    noted = [name.removeprefix(SIGNED) for name in outputs_of(catalog, "snapshot sign", "name", snapshot.name)]
    if not path.exists():
        if noted or public_key is not None:
            yield Finding(check="signature", where=where, what="is missing")
        return
    try:
        envelope = path.read_bytes()
        if hashlib.sha256(envelope).hexdigest() not in noted:
            yield Finding(check="signature", where=where, what="is not one the ledger has seen made")
        keys = [public_key] if public_key else sorted((catalog.root / KEYS).glob("*.pub"))
        signed = _first_valid(envelope, keys, path.name)
    except (CheckFailedError, DataError) as error:
        yield Finding(check="signature", where=where, what=error.message)
        return
    if signed.subject != f"snapshot:{snapshot.name}" or signed.sha256 != snapshot.root:
        yield Finding(
            check="signature",
            where=where,
            what=f"is over {signed.subject} with root {signed.sha256}, not {snapshot.root}",
        )


def _first_valid(envelope: bytes, keys: Sequence[Path], source: str) -> signing.Signed:
    failure: ProvenanceError = CheckFailedError(f"{source}: there is no public key to check it with")
    for key in keys:
        try:
            return signing.check(envelope, signing.read_public_key(key), source)
        except CheckFailedError as error:
            failure = error
    raise failure


def sign_snapshot(catalog: Catalog, name: str, key_file: Path) -> str:
    """Sign a snapshot that holds, and keep signature and public key in the catalog; gives the key id.

    Raises CheckFailedError when the snapshot does not hold: nothing that was tampered with gets signed.
    """
    snapshot = get_snapshot(catalog, name)
    key = signing.read_private_key(key_file)
    for finding in check_snapshot(catalog, snapshot):
        if finding.check != "signature":
            raise CheckFailedError(f"not signed: {finding}", hint="run: provenance verify")
    predicate = {
        "corpora": snapshot.corpora,
        "ledger": {"seq": snapshot.ledger_seq, "sha256": snapshot.ledger_sha256},
        "note": snapshot.note,
    }
    path = signature_path(catalog, snapshot.name)
    before = path.read_bytes() if path.exists() else None
    envelope = signing.sign(key, f"snapshot:{snapshot.name}", snapshot.root, predicate, before)
    key_id = signing.key_id(key.public_key())
    with catalog.activity("snapshot sign", {"name": snapshot.name, "key_id": key_id}) as activity:
        activity.inputs.append(f"snapshot:{snapshot.name}")
        catalog.folder(KEYS).joinpath(f"{key_id[:16]}.pub").write_bytes(signing.public_pem(key.public_key()))
        path.parent.mkdir(exist_ok=True)
        staged = path.with_suffix(".part")
        staged.write_bytes(envelope)
        staged.replace(path)
        activity.outputs.append(f"{SIGNED}{hashlib.sha256(envelope).hexdigest()}")
    return key_id


def prove(catalog: Catalog, doc_id: UUID, ref: str | None = None) -> InclusionProof:
    """The proof that a document is in a corpus (its newest version unless `ref` names one). Raises DataError."""
    candidates = [get_corpus(catalog, ref)] if ref else list_corpora(catalog, every_version=True)[::-1]
    for info in candidates:
        leaves = corpus_leaves(catalog, info)
        ids = leaves["doc_id"].cast(pa.binary(16)).to_pylist()
        if doc_id.bytes not in ids:
            continue
        index = ids.index(doc_id.bytes)
        packed = b"".join(leaves["text_sha256"].to_pylist())
        return InclusionProof(
            doc_id=doc_id,
            corpus=info.corpus,
            version=info.version,
            key=leaves["key"][index].as_py(),
            text_sha256=packed[index * 32 : index * 32 + 32].hex(),
            index=index,
            size=len(ids),
            path=[node.hex() for node in inclusion_proof(packed, index)],
            content_root=info.content_root,
        )
    raise DataError(f"doc:{doc_id} is in no corpus{f' version {ref}' if ref else ' that is still here'}")

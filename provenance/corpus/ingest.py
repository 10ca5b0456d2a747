"""Adding corpora: sources to a committed corpus in one step, all of it or nothing. Knows both files and the catalog.

Order of events, so that a kill at any moment leaves a whole catalog: shards are written into staging, moved into place
under the corpus's own folder, and only then do catalog rows and ledger row appear, in one transaction. A folder without
rows is a leftover that is in nobody's way until `provenance doctor` removes it.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from provenance.catalog.corpora import CorpusInfo, check_name, insert_corpus, same_as_latest
from provenance.catalog.depth import settle_depths
from provenance.catalog.ledger import Activity
from provenance.catalog.store import Catalog, publish
from provenance.corpus.prepare import Fields, Reject, prepare
from provenance.corpus.readers import discover, read
from provenance.corpus.writer import CorpusWriter, Lineage, Staged
from provenance.errors import DataError
from provenance.types import Origin

REJECTS_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AddResult:
    """What `add_corpus` did."""

    corpus: CorpusInfo | None
    """None in a dry run."""
    unchanged: bool
    """The newest version already held just this."""
    documents: int
    bytes: int
    rejected: int
    rejects_file: Path | None
    stripped_documents: int
    """Documents that held invisible characters; their evidence kind is hygiene."""
    absent_fields: list[str]
    """Fields that were named and that no row has: most often a slip of the pen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where an ingest stands. `n_bytes` and `total_bytes` are input bytes as stored."""

    n_bytes: int
    total_bytes: int | None
    documents: int
    rejected: int


def add_corpus(
    catalog: Catalog,
    name: str,
    paths: Sequence[str],
    fields: Fields,
    *,
    origin: Origin | None = None,
    generator: str | None = None,
    license: str | None = None,  # noqa: A002
    source_uri: str | None = None,
    held_out: bool = False,
    strict: bool = False,
    dry_run: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> AddResult:
    """Read `paths` into a new version of corpus `name`.

    Raises DataError when no row is a document, when a file is damaged, or with `strict` when any row is rejected.
    Nothing is changed then, but the rejects file stays.
    """
    check_name(name)
    params = {"name": name, "paths": list(paths), "origin": origin, "generator": generator, "held_out": held_out}
    if dry_run:
        with catalog.staging(f"dry-run-{name}") as folder:
            staged, absent = _stage(folder, name, paths, fields, origin, generator, on_progress)
        return _result(None, staged, None, absent, unchanged=False)
    with catalog.activity("corpus add", params) as activity, catalog.staging(str(activity.activity_id)) as folder:
        activity.inputs.extend(str(p) for p in paths)
        staged, absent = _stage(folder, name, paths, fields, origin, generator, on_progress)
        rejects_file = _write_rejects(catalog, name, staged.rejects)
        _check(name, staged, fields, rejects_file, strict=strict)
        described = (source_uri, license, origin and origin.value, generator, held_out)
        same = same_as_latest(catalog, name, staged, described)
        if same is not None:
            return _result(same, staged, rejects_file, absent, unchanged=True)
        info = commit_staged(
            catalog, activity, name, staged,
            source_uri=source_uri, license=license, origin=origin, generator=generator, held_out=held_out,
            also=lambda con, info: settle_depths(con, info.corpus_id),
        )  # fmt: skip
        return _result(info, staged, rejects_file, absent, unchanged=False)


def _stage(
    folder: Path,
    name: str,
    paths: Sequence[str],
    fields: Fields,
    origin: Origin | None,
    generator: str | None,
    on_progress: Callable[[Progress], None] | None,
) -> tuple[Staged, list[str]]:
    """The staged corpus, and the named fields that no row has."""
    sources = discover(list(paths))
    sizes = [s.n_bytes for s in sources]
    total = None if any(n is None for n in sizes) else sum(n or 0 for n in sizes)
    done = 0
    absent = fields.named()
    with CorpusWriter(folder, Lineage(origin=origin and origin.value, generator=generator)) as writer:
        for source in sources:
            here = 0

            def consumed(n_bytes: int) -> None:
                nonlocal here
                here = n_bytes

            for rows in read(source, consumed):
                writer.add(prepare(name, rows, fields))
                absent = [f for f in absent if not any(row.record is not None and f in row.record for row in rows)]
                if on_progress is not None:
                    on_progress(
                        Progress(
                            n_bytes=done + here, total_bytes=total, documents=writer.documents, rejected=writer.rejected
                        )
                    )
            done += source.n_bytes or 0
        return writer.finish(), absent


def _check(name: str, staged: Staged, fields: Fields, rejects_file: Path | None, *, strict: bool) -> None:
    first = "; ".join(f"{r.file}:{r.line}: {r.reason}" for r in staged.rejects[:REJECTS_SHOWN])
    if strict and staged.rejects:
        raise DataError(
            f"{len(staged.rejects)} bad rows: {first}",
            hint=f"all are in {rejects_file}; without --strict they are skipped",
        )
    if staged.documents == 0:
        if staged.rejects:
            raise DataError(
                f"corpus {name!r} would be empty: all {len(staged.rejects)} rows were rejected ({first})",
                hint=f"the text was looked for in field {fields.text!r}; name another with --text-field"
                if staged.rejects[0].reason.startswith("no text")
                else "correct the data or leave that field out; nothing was added",
            )
        raise DataError(f"corpus {name!r} would be empty: no rows", hint="check the paths; nothing was added")


def _write_rejects(catalog: Catalog, name: str, rejects: list[Reject]) -> Path | None:
    """The newest rejects file of a corpus name; an ingest without rejects removes an older one."""
    path = catalog.folder("rejects") / f"{name}.jsonl"
    if not rejects:
        path.unlink(missing_ok=True)
        return None
    staged = path.with_suffix(".part")
    with staged.open("wb") as handle:
        for reject in rejects:
            handle.write(orjson.dumps({"file": reject.file, "line": reject.line, "reason": reject.reason}) + b"\n")
    staged.replace(path)
    return path


def commit_staged(
    catalog: Catalog,
    activity: Activity,
    name: str,
    staged: Staged,
    *,
    source_uri: str | None = None,
    license: str | None = None,  # noqa: A002
    origin: Origin | None = None,
    generator: str | None = None,
    held_out: bool = False,
    also: Callable[[Any, CorpusInfo], None] | None = None,
) -> CorpusInfo:
    """Publish staged shards and write every row of the corpus in one transaction that also ends the activity.

    `also(con, corpus)` runs inside that transaction.
    """
    relative = f"corpora/{name}/{activity.activity_id}"
    final = catalog.root / relative
    shards = staged.folder / "shards"
    shards.mkdir()
    for shard in staged.shards:
        (staged.folder / shard.file).rename(shards / shard.file)
    publish(shards, final)
    try:
        with activity.commit() as con:
            info = insert_corpus(
                con,
                name=name,
                staged=staged,
                folder=relative,
                activity_id=activity.activity_id,
                at=activity.started_at,
                source_uri=source_uri,
                license=license,
                declared_origin=origin.value if origin else None,
                declared_generator=generator,
                held_out=held_out,
            )
            activity.outputs.append(f"corpus:{info.ref}")
            if also is not None:
                also(con, info)
    except BaseException:
        shutil.rmtree(final, ignore_errors=True)
        raise
    return info


def _result(
    info: CorpusInfo | None, staged: Staged, rejects_file: Path | None, absent: list[str], *, unchanged: bool
) -> AddResult:
    return AddResult(
        corpus=info,
        unchanged=unchanged,
        documents=staged.documents,
        bytes=staged.text_bytes,
        rejected=len(staged.rejects),
        rejects_file=rejects_file,
        stripped_documents=staged.stripped_documents,
        absent_fields=absent,
    )

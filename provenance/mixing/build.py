"""A lock back to texts: find its documents in the catalog, write them in the order of the mix, record the mix.

Texts are sorted through files on disk, so memory holds one slice of the mix whatever its size; neither the number of
workers nor how documents lie in shards changes a byte of the result.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock as Mutex
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from provenance.catalog.corpora import CorpusInfo, list_corpora
from provenance.catalog.mixes import MixInfo, insert_mix, list_mixes, locate, read_pool
from provenance.catalog.pool import PoolEvaluator
from provenance.catalog.store import Catalog
from provenance.corpus.export import Written, export, format_of
from provenance.errors import CheckFailedError, ConfigError, DataError
from provenance.ids import sha256_text
from provenance.mixing.lock import (
    ROW_LAYOUT,
    Group,
    Lock,
    LockedRows,
    document_names,
    locked_rows,
    make_lock,
    parquet_writer_version,
)
from provenance.mixing.plan import MixPlan, looks_around, named_columns, plan_mix
from provenance.mixing.policy import Share

SLICE_BYTES = 128 * 1024 * 1024

SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string()),
        pa.field("text", pa.string()),
        pa.field("corpus", pa.string()),
        pa.field("key", pa.string()),
        pa.field("origin", pa.string()),
        pa.field("generation", pa.int32()),
        pa.field("weight", pa.float64()),
        pa.field("share", pa.int32()),
        pa.field("value", pa.string()),
    ]
)
"""A row of a built mix. Nothing in it depends on where or when it was built. `share` is the number of the `[[share]]`
in the policy file, from 1, and `value` the group of its `by` column. Whoever changes what a row is raises
`lock.ROW_LAYOUT`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One way in which the catalog is no longer what the lock was made on."""

    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.what}: the lock has {self.expected}, here is {self.found}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What `build_mix` did."""

    mix: MixInfo | None
    """None in a dry run."""
    lock: Lock
    """The lock that was built: another one than given where it had to be made anew."""
    drift: list[Drift]
    written: Written | None
    documents: int
    named: int
    """Documents that the lock which was given names, each counted once."""
    entered: int
    """Documents that the lock which was given does not name."""
    left: int
    """Documents that it names and that were not built."""
    unfit: dict[str, int]
    """Documents that were built because the lock names them and would not be drawn today, by reason."""


def find_drift(catalog: Catalog, lock: Lock) -> tuple[list[CorpusInfo], list[Drift]]:
    """The corpora here that hold what the lock pins, by content and not by version number, and what does not match."""
    known = list_corpora(catalog, every_version=True)
    matched: list[CorpusInfo] = []
    drift: list[Drift] = []
    for pinned in lock.pool:
        named = [info for info in known if info.corpus == pinned.corpus]
        same = [info for info in named if info.content_root == pinned.content_root and not info.held_out]
        if same:
            matched.append(min(same, key=lambda info: (info.version != pinned.version, -info.version)))
        elif named:
            here = named[-1]
            drift.append(
                Drift(what=f"corpus {pinned.corpus}", expected=f"content root {pinned.content_root} (version "
                      f"{pinned.version}, {pinned.documents} documents)",
                      found=f"{here.content_root} (version {here.version}, {here.documents} documents)")
            )  # fmt: skip
        else:
            drift.append(
                Drift(
                    what=f"corpus {pinned.corpus}",
                    expected=f"content root {pinned.content_root}",
                    found="no such corpus",
                )
            )
    names = {info.corpus for info in matched}
    nearest = [info for info in known if info.corpus in {p.corpus for p in lock.pool} - names and info.latest]
    rows = locked_rows(lock).table
    here_ids = set(_raw(locate(catalog, [*matched, *nearest], rows["doc_id"])["doc_id"]))
    gone = sorted(set(_raw(rows["doc_id"])) - here_ids)
    if gone:
        drift.append(
            Drift(
                what="documents",
                expected=f"doc:{UUID(bytes=gone[0])}" + (f" and {len(gone) - 1} more" if len(gone) > 1 else ""),
                found="no such document: its text, key or corpus name is another",
            )
        )
    return matched, drift


def build_mix(
    catalog: Catalog,
    lock: Lock,
    *,
    output: Path | None = None,
    format: str | None = None,  # noqa: A002
    locked: bool = False,
    workers: int = 1,
    dry_run: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> BuildResult:
    """Record the mix of `lock` and, with `output`, write its texts.

    With `locked`, exactly the documents of the lock are built, whatever their tags say by now, and CheckFailedError is
    raised where that cannot be done. Without, the policy is drawn anew from the catalog as it is, and where that gives
    something else the result holds the new lock. Raises DataError when a text is not what its hash says, and what
    `plan_mix` raises.
    """
    chosen = format_of(output, format) if output is not None else None
    corpora, drift = find_drift(catalog, lock)
    if chosen is not None and lock.layout != ROW_LAYOUT:
        here = f"a version that writes layout {ROW_LAYOUT}"
        drift.append(Drift(what="rows", expected=f"layout {lock.layout}", found=here))
    if chosen == "parquet" and lock.writer != (mine := parquet_writer_version()):
        drift.append(Drift(what="Parquet writer", expected=lock.writer, found=mine))
    if drift and locked:
        raise CheckFailedError(
            f"the mix cannot be rebuilt as locked; {'; '.join(map(str, drift))}",
            hint="add the corpora as they were, or use the versions that the lock was made with; or build without "
            "--locked to draw anew",
        )
    given = built = document_names(lock)
    unfit: dict[str, int] = {}
    if locked:
        unfit = _unfit(catalog, corpora, lock)
    else:
        plan = _drawn_anew(catalog, lock)
        anew = make_lock(plan)
        # How many documents were there to choose from may differ as long as the choice does not.
        if drift or _members(anew) != _members(lock):
            lock, corpora, built = anew, plan.corpora, document_names(anew)
    rows = locked_rows(lock)
    result = BuildResult(
        mix=None, lock=lock, drift=drift, written=None, documents=rows.table.num_rows, named=len(given),
        entered=len(built - given), left=len(given - built), unfit=unfit,
    )  # fmt: skip
    if dry_run:
        return result
    params = {"name": lock.name, "lock": lock.sha256, "output": str(output) if output else None, "format": chosen}
    with catalog.activity("mix build", params) as activity:
        activity.inputs.extend(f"corpus:{info.ref}" for info in corpora)
        located = _located(catalog, corpora, rows)
        written = None
        if output is not None:
            with catalog.staging(str(activity.activity_id)) as folder:
                batches = _batches(catalog.root, folder, _numbered(located, lock), workers, on_progress)
                written = export(output, batches, SCHEMA, format=chosen)
            activity.outputs.append(f"file:{output.name} sha256:{written.sha256}")
        mix = _same_as_newest(catalog, lock)
        if mix is None:
            with activity.commit() as con:
                mix = _record(con, catalog, lock, corpora, located, activity.activity_id)
                activity.outputs.append(f"mix:{mix.ref}")
        else:
            activity.outputs.append(f"mix:{mix.ref}")
    return replace(result, mix=mix, written=written)


def _drawn_anew(catalog: Catalog, lock: Lock) -> MixPlan:
    try:
        return plan_mix(catalog, lock.mix_policy())
    except ConfigError as error:
        raise ConfigError(
            error.message, hint=f"{error.hint}; or build with --locked the documents that the lock names"
        ) from error


def _members(lock: Lock) -> list[tuple[int, str | None, list[Group]]]:
    """What a lock chose and what it says of it."""
    return [(line.share, line.group, line.groups) for line in lock.lines if line.groups]


def _unfit(catalog: Catalog, corpora: Sequence[CorpusInfo], lock: Lock) -> dict[str, int]:
    """How many of the lock's documents its policy would not draw from the same corpora today, by reason."""
    policy = lock.mix_policy()
    pool = read_pool(catalog, corpora, named_columns(policy), ordered=looks_around(policy)).table
    with PoolEvaluator() as evaluator:
        said = evaluator.evaluate(pool, [Share(where=line.where, take="all") for line in lock.lines], policy=lock.name)
    found = {"are reached by held-out text": 0, "no longer match their share": 0}
    known = pool["doc_id"].cast(pa.binary(16)).combine_chunks()
    for line, value in zip(lock.lines, said, strict=True):
        ids = pa.array([bytes.fromhex(name) for group in line.groups for name in group.documents], pa.binary(16))
        at = pc.index_in(ids, value_set=known)
        found["are reached by held-out text"] += at.null_count
        found["no longer match their share"] += int(np.sum(~value.matches[at.drop_null().to_numpy()]))
    return {reason: count for reason, count in found.items() if count}


def _same_as_newest(catalog: Catalog, lock: Lock) -> MixInfo | None:
    known = [info for info in list_mixes(catalog) if info.mix == lock.name]
    return known[-1] if known and known[-1].lock_sha256 == lock.sha256 else None


def _record(
    con: Any, catalog: Catalog, lock: Lock, corpora: Sequence[CorpusInfo], located: pa.Table, activity_id: UUID
) -> MixInfo:
    mix = insert_mix(
        con,
        name=lock.name,
        policy=lock.policy,
        seed=lock.seed,
        lock_sha256=lock.sha256,
        tokens=lock.tokens,
        realised=[line.model_dump(exclude={"groups"}) for line in lock.lines],
        pool=[{"corpus": info.corpus, "version": info.version, "content_root": info.content_root} for info in corpora],
        rows=located.select(["position", "doc_id", "corpus", "weight", "share"]),
        activity_id=activity_id,
    )
    path = catalog.folder("mixes") / Path(mix.lock_file).name
    staged = path.with_suffix(".part")
    staged.write_bytes(lock.canonical())
    staged.replace(path)
    return mix


def _located(catalog: Catalog, corpora: Sequence[CorpusInfo], rows: LockedRows) -> pa.Table:
    """The mix's rows in order, with corpus, key, text hash, size and shard of each document."""
    found = locate(catalog, corpora, rows.table["doc_id"])
    index = {raw: i for i, raw in enumerate(_raw(found["doc_id"]))}
    which = pa.array([index[raw] for raw in _raw(rows.table["doc_id"])], pa.int64())
    table = rows.table
    for name in ("corpus", "key", "text_sha256", "n_tokens", "path"):
        table = table.append_column(name, found[name].take(which))
    return table


def _numbered(located: pa.Table, lock: Lock) -> pa.Table:
    """The same with the share's number in the policy file and its group instead of the line of the written-out one."""
    lines = located["share"]
    place = located.column_names.index("share")
    shares = pa.array([line.share for line in lock.lines], pa.int32()).take(lines)
    groups = pa.array([line.group for line in lock.lines], pa.string()).take(lines)
    return located.set_column(place, "share", shares).append_column("value", groups)


def _batches(
    root: Path, folder: Path, located: pa.Table, workers: int, on_progress: Callable[[int], None] | None
) -> Iterator[pa.RecordBatch]:
    """The mix's texts in order. Every shard is read once; what it holds is dealt to one file per slice of the mix."""
    ends = np.cumsum(located["n_tokens"].to_numpy() * 4 + 64) // SLICE_BYTES
    starts = np.flatnonzero(np.diff(ends, prepend=-1))
    slices = _Slices(folder, starts)
    paths = pc.unique(located["path"]).to_pylist()

    def read(path: str) -> None:
        wanted = located.filter(pc.equal(located["path"], path)).select(["position", "doc_id", "text_sha256"])
        slices.deal(_texts(root / path, wanted))

    with slices:
        if workers > 1:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(read, paths))
        else:
            for path in paths:
                read(path)
    done = 0
    for number, start in enumerate(starts):
        stop = starts[number + 1] if number + 1 < len(starts) else located.num_rows
        texts = slices.read(number).sort_by("position")
        part = located.slice(start, stop - start)
        if texts.num_rows != part.num_rows:
            raise DataError(f"{part.num_rows - texts.num_rows} texts of the mix are not in their shards",
                            hint="run: provenance verify")  # fmt: skip
        ids = pa.array([str(UUID(bytes=raw)) for raw in _raw(part["doc_id"])])
        columns = {"doc_id": ids, "text": texts["text"]}
        columns |= {name: part[name] for name in SCHEMA.names if name not in columns}
        yield from pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA).to_batches(8192)
        done += part.num_rows
        if on_progress is not None:
            on_progress(done)


def _texts(path: Path, wanted: pa.Table) -> Iterator[pa.Table]:
    """position and text of the wanted documents of one shard. Raises DataError when a text has another hash."""
    ids = wanted["doc_id"].cast(pa.binary(16))
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["doc_id", "text"]):
                at = pc.index_in(ids, value_set=batch["doc_id"].storage)
                hits = pc.is_valid(at)
                if not pc.any(hits).as_py():
                    continue
                rows = wanted.filter(hits)
                text = batch["text"].take(at.combine_chunks().drop_null())
                for value, expected, raw in zip(
                    text.to_pylist(), rows["text_sha256"].to_pylist(), _raw(rows["doc_id"]), strict=True
                ):
                    if sha256_text(value) != expected:
                        raise DataError(
                            f"the text of doc:{UUID(bytes=raw)} in {path.name} is not the one its hash was taken of",
                            hint="run: provenance verify; then add the corpus again from its source",
                        )
                yield pa.table({"position": rows["position"], "text": text})
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"shard {path.name} cannot be read: {str(error).splitlines()[0]}", hint="run: provenance verify"
        ) from error


class _Slices:
    """One Arrow file per slice of the mix, filled in any order."""

    _SCHEMA = pa.schema([pa.field("position", pa.int64()), pa.field("text", pa.string())])

    def __init__(self, folder: Path, starts: np.ndarray[Any, Any]) -> None:
        self._folder, self._starts = folder, starts
        self._stack = ExitStack()
        self._writers: list[Any] = []
        self._mutex = Mutex()

    def __enter__(self) -> "_Slices":
        for number in range(len(self._starts)):
            sink = self._stack.enter_context((self._folder / f"slice-{number:05d}.arrow").open("wb"))
            self._writers.append(self._stack.enter_context(pa.ipc.new_stream(sink, self._SCHEMA)))
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def deal(self, found: Iterator[pa.Table]) -> None:
        """Put each row into the file of the slice its position falls in."""
        for table in found:
            which = np.searchsorted(self._starts, table["position"].to_numpy(), side="right") - 1
            for number in np.unique(which):
                part = table.filter(pa.array(which == number)).cast(self._SCHEMA)
                with self._mutex:
                    self._writers[number].write_table(part)

    def read(self, number: int) -> pa.Table:
        """All rows dealt to a slice; the file is removed."""
        path = self._folder / f"slice-{number:05d}.arrow"
        with path.open("rb") as source, pa.ipc.open_stream(source) as stream:
            table = stream.read_all()
        path.unlink()
        return table


def _raw(column: pa.ChunkedArray) -> list[bytes]:
    found: list[bytes] = column.cast(pa.binary(16)).to_pylist()
    return found

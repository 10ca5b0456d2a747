"""A mix pinned down to its documents: canonical JSON (RFC 8785) without times or paths. Knows no texts and no catalog.

A document's id is a hash over its corpus, key and text, so a list of ids pins every byte of the mix. Origin and
generation are pinned beside them, because tags may change after the lock was made.
"""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import rfc8785
from pydantic import Field

from provenance import seeds, tables
from provenance.config import Config, checked
from provenance.errors import DataError, NotFoundError
from provenance.mixing.plan import MixPlan, packed_ids
from provenance.mixing.policy import MixPolicy

SCHEMA = "provenance.mix-lock/1"
ROW_LAYOUT = 2
"""How this version lays out the rows of a built mix (`build.SCHEMA`). Since 2 they carry `value`, and count shares from
1."""
_MAKE_ONE = "make one: provenance mix lock POLICY.toml -o LOCK"


class PinnedCorpus(Config):
    """A corpus the mix draws from, by what it holds."""

    corpus: str
    version: int
    content_root: str
    documents: int


class Group(Config):
    """Documents of one line with the same origin and generation."""

    origin: str
    generation: int | None
    documents: list[str]
    """32 hexadecimal digits each, sorted."""
    weights: list[float] | None = None
    """What each counts for in training; absent where all count 1."""
    repeats: dict[str, int] = Field(default={})
    """Documents that come more than once, and how often."""


class LockedLine(Config):
    """One line of the written-out policy with what it drew."""

    share: int
    """The `[[share]]` it belongs to, from 1."""
    where: str
    group: str | None
    """The value of the share's `by` column; None without one."""
    requested: int
    drawn: int
    available: int
    groups: list[Group]


class Lock(Config):
    """Everything needed to rebuild a mix."""

    schema_: str = Field(default=SCHEMA, alias="schema", pattern=r"^provenance\.mix-lock/1$")
    name: str
    seed: int
    policy: dict[str, Any]
    pool: list[PinnedCorpus]
    lines: list[LockedLine]
    documents: int
    tokens: int
    writer: str
    """What wrote the Parquet of this mix: another version may compress to other bytes."""
    layout: int = Field(default=1, ge=1)
    """The `ROW_LAYOUT` the lock was made with. Locks that are older than this number have layout 1."""

    def canonical(self) -> bytes:
        """The one byte string of this lock."""
        # A lock that is older than the number keeps its bytes, and with them its hash.
        left_out = {"layout"} if self.layout == 1 else None
        return rfc8785.dumps(self.model_dump(mode="json", by_alias=True, exclude=left_out))

    @property
    def sha256(self) -> str:
        """Of the canonical bytes."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def mix_policy(self) -> MixPolicy:
        """The policy the lock was made from."""
        return checked(MixPolicy, self.policy, f"lock of {self.name!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedRows:
    """The documents of a lock in the order of the mix."""

    table: pa.Table
    """position, doc_id (UUID), weight, share (line of the written-out policy, from 0), origin, generation."""


def parquet_writer_version() -> str:
    """The `created_by` of the Parquet files written here."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": pa.array([], pa.int8())}), sink)
    return str(pq.ParquetFile(pa.BufferReader(sink.getvalue())).metadata.created_by)


def make_lock(plan: MixPlan) -> Lock:
    """Pin a plan."""
    ids = packed_ids(plan.pool["doc_id"])
    rows = plan.drawn.rows
    origins = plan.pool["origin"].take(pa.array(rows)).to_pylist()
    generations = plan.pool["generation"].take(pa.array(rows)).to_pylist()
    members: list[dict[tuple[str, int | None], Counter[str]]] = [defaultdict(Counter) for _ in plan.lines]
    weights: dict[tuple[int, str], float] = {}
    for i, row in enumerate(rows.tolist()):
        name = ids[row * 16 : row * 16 + 16].hex()
        line = int(plan.drawn.share[i])
        members[line][origins[i], generations[i]][name] += 1
        weights[line, name] = float(plan.drawn.weight[i])
    return Lock(
        name=plan.policy.name,
        seed=plan.policy.seed,
        policy=plan.policy.model_dump(mode="json", by_alias=True, exclude_none=True),
        pool=[
            PinnedCorpus(corpus=c.corpus, version=c.version, content_root=c.content_root, documents=c.documents)
            for c in plan.corpora
        ],
        lines=[
            LockedLine(
                share=line.share, where=line.where, group=line.group, requested=line.requested, drawn=line.drawn,
                available=line.available, groups=_groups(number, members[number], weights),
            )
            for number, line in enumerate(plan.lines)
        ],
        documents=plan.documents,
        tokens=plan.tokens,
        writer=parquet_writer_version(),
        layout=ROW_LAYOUT,
    )  # fmt: skip


def _groups(
    line: int, members: dict[tuple[str, int | None], Counter[str]], weights: dict[tuple[int, str], float]
) -> list[Group]:
    found = []
    for (origin, generation), names in sorted(
        members.items(), key=lambda item: (item[0][0], -1 if item[0][1] is None else item[0][1])
    ):
        listed = sorted(names)
        counted = [weights[line, name] for name in listed]
        found.append(
            Group(
                origin=origin,
                generation=generation,
                documents=listed,
                weights=counted if any(weight != 1.0 for weight in counted) else None,
                repeats={name: n for name, n in sorted(names.items()) if n > 1},
            )
        )
    return found


def read_lock(path: Path) -> Lock:
    """The lock in a file. Raises NotFoundError, and DataError when it is no lock or is not in canonical form."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file", hint=_MAKE_ONE) from None
    return parse_lock(found, str(path))


def parse_lock(found: bytes, source: str) -> Lock:
    """A lock from its bytes; see `read_lock`."""
    try:
        value = orjson.loads(found)
    except orjson.JSONDecodeError as error:
        raise DataError(f"{source}: not JSON at byte {error.pos}: {error.msg}", hint=_MAKE_ONE) from None
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise DataError(f"{source}: not a mix lock", hint=_MAKE_ONE)
    lock = checked(Lock, value, source)
    canonical = lock.canonical()
    if found != canonical:
        at = next(
            (i for i, (a, b) in enumerate(zip(found, canonical, strict=False)) if a != b),
            min(len(found), len(canonical)),
        )
        raise DataError(
            f"{source}: not in canonical form from byte {at} on: it was changed after it was written",
            hint="make it again: provenance mix lock POLICY.toml -o LOCK",
        )
    listed = sum(len(g.documents) + sum(n - 1 for n in g.repeats.values()) for line in lock.lines for g in line.groups)
    if listed != lock.documents:
        raise DataError(f"{source}: says {lock.documents} documents and lists {listed}")
    return lock


def locked_rows(lock: Lock) -> LockedRows:
    """Every document of the mix, shuffled by the lock's seed: the place depends on seed, id and copy number alone."""
    ids: list[bytes] = []
    columns: dict[str, list[Any]] = {"weight": [], "share": [], "origin": [], "generation": [], "copy": []}
    for number, line in enumerate(lock.lines):
        for group in line.groups:
            weights = group.weights or [1.0] * len(group.documents)
            for name, weight in zip(group.documents, weights, strict=True):
                for copy in range(group.repeats.get(name, 1)):
                    ids.append(bytes.fromhex(name))
                    columns["weight"].append(weight)
                    columns["share"].append(number)
                    columns["origin"].append(group.origin)
                    columns["generation"].append(group.generation)
                    columns["copy"].append(copy)
    packed = b"".join(ids)
    copies = np.array(columns.pop("copy"), dtype=np.int64)
    keys = np.empty(len(ids))
    for copy in np.unique(copies):
        here = np.flatnonzero(copies == copy)
        raw = packed if len(here) == len(ids) else b"".join(ids[i] for i in here)
        keys[here] = seeds.units(seeds.integer(lock.seed, "order", int(copy)), raw)
    words = np.frombuffer(packed, dtype=">u8").reshape(-1, 2)
    order = np.lexsort((copies, words[:, 1], words[:, 0], keys))
    table = pa.table(
        {
            "doc_id": tables.uuids(ids),
            "weight": pa.array(columns["weight"], pa.float64()),
            "share": pa.array(columns["share"], pa.int32()),
            "origin": pa.array(columns["origin"], pa.string()),
            "generation": pa.array(columns["generation"], pa.int32()),
        }
    ).take(pa.array(order))
    return LockedRows(table=table.add_column(0, "position", pa.array(np.arange(len(ids)))))


def document_names(lock: Lock) -> set[str]:
    """The distinct documents of a lock, 32 hexadecimal digits each."""
    return {name for line in lock.lines for group in line.groups for name in group.documents}

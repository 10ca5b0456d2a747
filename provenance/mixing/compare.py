"""Two locks side by side: which documents entered or left a mix, and why. Knows locks and tags, no texts."""

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import pyarrow as pa

from provenance.catalog.corpora import CorpusInfo, list_corpora
from provenance.catalog.mixes import POOL_COLUMNS, read_pool
from provenance.catalog.pool import PoolEvaluator
from provenance.catalog.store import Catalog
from provenance.mixing.lock import Lock, document_names
from provenance.mixing.plan import packed_ids
from provenance.mixing.policy import Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One document that is in one mix and not in the other."""

    doc_id: UUID
    change: str
    """`entered` or `left`."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MixDiff:
    """From mix A to mix B."""

    changes: list[Change]
    common: int
    settings: list[str]
    """What differs besides documents: seed, pool, lines of the policy."""

    def by_reason(self) -> dict[tuple[str, str], int]:
        """How many documents entered or left for each reason."""
        return dict(sorted(Counter((c.change, c.reason) for c in self.changes).items()))


def diff_mixes(catalog: Catalog, a: Lock, b: Lock) -> MixDiff:
    """Compare two locks. Reasons follow from the tags as they are now."""
    mine, theirs = document_names(a), document_names(b)
    changes = [
        Change(doc_id=doc_id, change=change, reason=reason)
        for change, ids, other in (("left", mine - theirs, b), ("entered", theirs - mine, a))
        for doc_id, reason in _why_not(catalog, [UUID(hex=name) for name in sorted(ids)], other).items()
    ]
    return MixDiff(changes=changes, common=len(mine & theirs), settings=_settings(a, b))


def _settings(a: Lock, b: Lock) -> list[str]:
    found = []
    if a.seed != b.seed:
        found.append(f"seed: {a.seed} and {b.seed}")
    pools = [{p.corpus: (p.version, p.content_root) for p in lock.pool} for lock in (a, b)]
    for corpus in sorted(pools[0].keys() | pools[1].keys()):
        one, two = pools[0].get(corpus), pools[1].get(corpus)
        if one is None or two is None:
            found.append(f"corpus {corpus}: only in the {'second' if one is None else 'first'}")
        elif one != two:
            found.append(f"corpus {corpus}: version {one[0]} and version {two[0]}")
    wheres = [[(line.where, line.group, line.requested) for line in lock.lines] for lock in (a, b)]
    pairs = zip(a.lines, *wheres, strict=False)
    found += [f"line {line.share}: {x} and {y}" for line, x, y in pairs if x != y]
    if len(wheres[0]) != len(wheres[1]):
        found.append(f"lines: {len(wheres[0])} and {len(wheres[1])}")
    return found


def _why_not(catalog: Catalog, ids: list[UUID], lock: Lock) -> dict[UUID, str]:
    """Why each of `ids` is not in the mix of `lock`."""
    if not ids:
        return {}
    roots = {(p.corpus, p.content_root) for p in lock.pool}
    corpora = [info for info in list_corpora(catalog, every_version=True) if (info.corpus, info.content_root) in roots]
    pool = read_pool(catalog, _newest(corpora), POOL_COLUMNS).table
    raw = pa.array([doc_id.bytes for doc_id in ids], pa.binary(16))
    names = packed_ids(pool["doc_id"])
    here = {names[i * 16 : i * 16 + 16]: i for i in range(pool.num_rows)}
    shares = [Share(where=line.where, take="all") for line in lock.lines]
    with PoolEvaluator() as evaluator:
        said = evaluator.evaluate(pool, shares, policy=lock.name)
    matched = np.zeros(pool.num_rows, dtype=np.bool_)
    for value in said:
        matched |= value.matches
    reasons = {}
    for doc_id, name in zip(ids, raw.to_pylist(), strict=True):
        row = here.get(name)
        if row is None:
            reasons[doc_id] = "not in that mix's pool"
        elif not matched[row]:
            reasons[doc_id] = "matches no share there"
        else:
            reasons[doc_id] = "matches, but others were drawn"
    return reasons


def _newest(corpora: list[CorpusInfo]) -> list[CorpusInfo]:
    return list({info.corpus: info for info in sorted(corpora, key=lambda info: info.version)}.values())

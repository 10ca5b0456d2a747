"""`corpus dedup` on a catalog: index what is new, compare, choose, and commit all of it in one transaction.

Nothing is deleted: documents are kept or set aside, each with a reason, and a policy leaves out what is set aside with
`where = "not duplicate"`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from provenance.catalog import duplicates
from provenance.catalog.corpora import CorpusInfo, get_corpus
from provenance.catalog.duplicates import Crowd
from provenance.catalog.ledger import Activity
from provenance.catalog.store import Catalog
from provenance.dedup.bands import DEFAULT_THRESHOLD, Banding, check_threshold
from provenance.dedup.candidates import Rows, pack
from provenance.dedup.choose import Edges
from provenance.dedup.keep import UNDATED, Keep, Standing, prefer
from provenance.dedup.minhash import Sketch
from provenance.dedup.near import Found, find_near_duplicates
from provenance.dedup.outcome import decisions, new_pairs, recovered_outputs, uuids
from provenance.dedup.scope import Scope, open_scope, store_fresh_segments
from provenance.errors import UsageError

CROWD_SHARE = 0.01
CROWD_DOCUMENTS = 3
"""Two documents are a pair, not a template, however small their source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupResult:
    """What a run found and decided."""

    corpora: list[str]
    against: list[str]
    threshold: float
    documents: int
    indexed: int
    """Documents that no earlier run had indexed."""
    compared: int
    """Candidate pairs whose texts were compared in this run."""
    clusters: int
    kept: int
    """Documents of clusters that stay; those in no cluster are not counted."""
    set_aside: int
    reasons: dict[str, int]
    recovered: int
    """New lineage edges to recorded model outputs."""
    lapsed: int
    """Earlier decisions on other corpora that no longer hold, because the document they kept is now set aside."""
    crowds: list[Crowd]


def dedup_corpora(
    catalog: Catalog,
    names: Sequence[str],
    *,
    against: Sequence[str] = (),
    threshold: float = DEFAULT_THRESHOLD,
    keep: Keep = Keep.HUMAN_FIRST,
    dry_run: bool = False,
) -> DedupResult:
    """Find near-duplicates in corpora `names`, and between them and `against`; decide which documents stay.

    Earlier decisions on `names` are replaced, those on `against` stand. With `dry_run` nothing is written.
    """
    check_threshold(threshold)
    infos, given = _corpora(catalog, names), _corpora(catalog, against)
    both = {info.corpus for info in infos} & {info.corpus for info in given}
    if both:
        raise UsageError(f"{', '.join(sorted(both))} cannot be compared against itself", hint="name it once")
    question = _Question(catalog=catalog, infos=infos, given=given, threshold=threshold, keep=keep)
    if dry_run:
        return _answer(question, scratch=None).result(recovered=0, lapsed=0)
    refs = {"corpora": [i.ref for i in infos], "against": [i.ref for i in given]}
    with catalog.activity("corpus dedup", {**refs, "threshold": threshold, "keep": keep.value}) as activity:
        activity.inputs.extend(f"corpus:{info.ref}" for info in (*infos, *given))
        with catalog.staging(str(activity.activity_id)) as staging:
            answer = _answer(question, scratch=staging)
            recovered, lapsed = answer.commit(activity, staging)
    return answer.result(recovered=recovered, lapsed=lapsed)


def _corpora(catalog: Catalog, names: Sequence[str]) -> list[CorpusInfo]:
    found = {info.ref: info for info in (get_corpus(catalog, name) for name in names)}
    return list(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    catalog: Catalog
    infos: list[CorpusInfo]
    given: list[CorpusInfo]
    threshold: float
    keep: Keep

    @property
    def corpus_ids(self) -> list[int]:
        return [info.corpus_id for info in (*self.infos, *self.given)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answer:
    question: _Question
    scope: Scope
    found: Found
    fixed: NDArray[np.bool_]
    joined: list[tuple[int, int]]
    """Pairs of segments that are fully compared now."""
    pairs: pa.Table
    decided: pa.Table
    recovered: pa.Table

    def commit(self, activity: Activity, staging: Path) -> tuple[int, int]:
        """Write everything; returns the number of lineage edges and of lapsed decisions."""
        question = self.question
        stored = store_fresh_segments(question.catalog, self.scope, staging)
        ids = [row.segment_id for row in self.scope.segment_rows]
        with activity.commit() as con:
            return duplicates.commit_decisions(
                con,
                activity,
                question.infos,
                threshold=question.threshold,
                segments=stored,
                joined=[(ids[s], ids[t]) for s, t in self.joined],
                pairs=self.pairs,
                decided=self.decided,
                recovered=self.recovered,
            )

    def result(self, *, recovered: int, lapsed: int) -> DedupResult:
        """The numbers a person wants to see."""
        question, decided = self.question, self.decided
        kept = int(np.count_nonzero(decided["kept"].to_numpy()))
        return DedupResult(
            corpora=[info.ref for info in question.infos],
            against=[info.ref for info in question.given],
            threshold=question.threshold,
            documents=int(np.count_nonzero(self.scope.live & ~self.fixed)),
            indexed=sum(len(s) for s, fresh in zip(self.scope.segments, self.scope.fresh, strict=True) if fresh),
            compared=self.found.candidates,
            clusters=len(np.unique(self.found.choice.cluster[~self.fixed[self.found.choice.rows]])),
            kept=kept,
            set_aside=len(decided) - kept,
            reasons=dict(Counter(decided["reason"].to_pylist()).most_common()),
            recovered=recovered,
            lapsed=lapsed,
            crowds=duplicates.crowds(
                question.catalog, question.infos, decided, share=CROWD_SHARE, at_least=CROWD_DOCUMENTS
            ),
        )


def _answer(question: _Question, *, scratch: Path | None) -> _Answer:
    catalog, threshold = question.catalog, question.threshold
    sketch = Sketch()
    scope = open_scope(
        catalog, (*question.infos, *question.given), sketch, Banding.for_threshold(threshold, sketch.num_perm)
    )
    given_names = {info.corpus for info in question.given}
    given = np.array([row.corpus in given_names for row in scope.segment_rows], dtype=np.bool_)
    fixed = given[scope.segment_of]
    aside = np.zeros(len(fixed), dtype=np.bool_)
    if question.given:
        ids = duplicates.documents_set_aside(catalog, [info.corpus_id for info in question.given])
        aside[scope.rows_of(ids)] = True
    wanted = _wanted(catalog, scope, given, threshold)
    seen: list[tuple[Standing, NDArray[np.bool_]]] = []

    def preference(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        standing, recorded = _standing(question, scope, rows, fixed)
        seen.append((standing, recorded))
        ordered = prefer(standing, question.keep)
        # A given document that was set aside in its own corpus is no reason to set aside another.
        return ordered[~aside[ordered]]

    known: list[NDArray[np.uint64]] = []

    def known_edges(rows: Rows) -> Edges:
        edges = _known_edges(catalog, scope, rows)
        known.append(edges.pairs)
        return edges

    found = find_near_duplicates(
        scope.segments,
        scope.files,
        threshold=threshold,
        prefer=preference,
        live=scope.live,
        fixed=fixed,
        wanted=wanted,
        known=known_edges,
        scratch=scratch,
    )
    standing, recorded = seen[-1]
    near = found.compared.at_least(threshold)
    return _Answer(
        question=question,
        scope=scope,
        found=found,
        fixed=fixed,
        joined=_fully_joined(scope, wanted),
        pairs=new_pairs(scope, found, wanted, known[0]),
        decided=decisions(scope, found, fixed, standing, question.keep),
        recovered=recovered_outputs(scope, found.rows, near, standing.rows, recorded),
    )


def _wanted(catalog: Catalog, scope: Scope, given: NDArray[np.bool_], threshold: float) -> NDArray[np.bool_]:
    """Which segments to compare: not two given ones, and not two that an earlier run compared."""
    wanted = ~(given[:, None] & given[None, :])
    joined = duplicates.joined_segments(catalog, threshold)
    for s, left in enumerate(scope.segment_rows):
        for t, right in enumerate(scope.segment_rows):
            wanted[s, t] &= (left.segment_id, right.segment_id) not in joined
    return wanted


def _fully_joined(scope: Scope, wanted: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Segments compared now of which no document was left out."""
    whole = np.ones(len(scope.segments), dtype=np.bool_)
    whole[scope.segment_of[~scope.live]] = False
    return [(s, t) for s, t in np.argwhere(np.triu(wanted)).tolist() if whole[s] and whole[t]]


def _known_edges(catalog: Catalog, scope: Scope, rows: Rows) -> Edges:
    table = duplicates.known_pairs(catalog)
    a, b = (scope.rows_of(table[name].combine_chunks().cast(pa.binary(16))) for name in ("doc_id", "other_id"))
    a, b = np.where(a >= 0, rows.leader[a], -1), np.where(b >= 0, rows.leader[b], -1)
    usable = (a >= 0) & (b >= 0) & (a != b)
    return Edges.of(pack(a[usable], b[usable]), table["jaccard"].to_numpy()[usable])


def _standing(
    question: _Question, scope: Scope, rows: NDArray[np.int64], fixed: NDArray[np.bool_]
) -> tuple[Standing, NDArray[np.bool_]]:
    """What the catalog knows of clustered rows, and which of them are recorded model outputs."""
    asked = pa.table({"row": rows, "doc_id": uuids(scope, rows)})
    table = duplicates.standing_of(question.catalog, question.corpus_ids, asked)
    standing = Standing(
        rows=table["row"].to_numpy(),
        origin=np.array(table["origin"].to_pylist(), dtype=np.str_),
        created_us=table["created_us"].fill_null(UNDATED).to_numpy(),
        n_chars=table["n_chars"].to_numpy().astype(np.int64),
        fixed=fixed[table["row"].to_numpy()],
        id_rank=table["id_rank"].to_numpy(),
    )
    return standing, table["recorded"].to_numpy()

"""Documents declared human that the evidence takes for a model's, with the piece that weighs most as it counts here."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from provenance.catalog.corpora import CorpusInfo, list_corpora
from provenance.catalog.evidence import evidence_of
from provenance.catalog.store import Catalog
from provenance.catalog.tags import conflicting_tags
from provenance.tagging.resolve import merge_marks, weigh
from provenance.tagging.rules import Rules
from provenance.tagging.stage import read_locally
from provenance.types import EvidenceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One contradiction between a source's word and the evidence."""

    doc_id: UUID
    corpus: str
    key: str
    declared_origin: str
    declared_by: str
    """declared (as the corpus was added), dpi, hf_card."""
    p_model: float
    strongest_evidence: str | None
    log_lr: float | None
    """What that evidence weighs under the local calibration of its corpus; None where it asserts and is not weighed."""


def find_conflicts(catalog: Catalog, info: CorpusInfo | None, limit: int) -> list[Conflict]:
    """The `limit` strongest, over one corpus or all of them."""
    rows = conflicting_tags(catalog, info, limit)
    infos = {one.corpus_id: one for one in list_corpora(catalog)}
    strongest: dict[UUID, tuple[str, float | None]] = {}
    for corpus_id in {row[1] for row in rows}:
        strongest |= _strongest(catalog, infos[corpus_id], [row[0] for row in rows if row[1] == corpus_id])
    return [
        Conflict(
            doc_id=doc_id,
            corpus=infos[corpus_id].corpus,
            key=key,
            declared_origin=declared,
            declared_by=declared_by,
            p_model=p_model,
            strongest_evidence=strongest.get(doc_id, (None, None))[0],
            log_lr=strongest.get(doc_id, (None, None))[1],
        )
        for doc_id, corpus_id, key, declared, declared_by, p_model in rows
    ]


def _strongest(catalog: Catalog, info: CorpusInfo, doc_ids: Sequence[UUID]) -> dict[UUID, tuple[str, float | None]]:
    """The name and weight of what speaks most for a model, per document; what is declared does not count."""
    rules = Rules()
    evidence = merge_marks(read_locally(catalog, info, evidence_of(catalog, info, doc_ids), rules)[0])
    found: dict[UUID, tuple[str, float | None]] = {}
    for row, log_lr in zip(evidence.to_pylist(), weigh(evidence, rules).tolist(), strict=True):
        if row["kind"] == EvidenceKind.DECLARED.value:
            continue
        weighed = log_lr if np.isfinite(log_lr) else None
        if weighed is None and not (row["score"] or 0) > 0:
            continue
        best = found.get(row["doc_id"])
        # An assertion (lineage, a reviewer) outweighs anything that is weighed.
        if best is None or (best[1] is not None and (weighed is None or weighed > best[1])):
            found[row["doc_id"]] = (f"{row['kind']}:{row['name']}", weighed)
    return found

"""Documents declared human that the evidence takes for a model's, with the piece that weighs most as it counts here."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

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
    local_p_value: float | None
    """Share of known-human local texts that score as high (`tag calibrate`), times the number of such detectors."""
    strongest_evidence: str | None
    log_lr: float | None
    """What that evidence weighs under the local calibration of its corpus; None where it asserts and is not weighed."""


def find_conflicts(catalog: Catalog, info: CorpusInfo | None, limit: int) -> list[Conflict]:
    """The `limit` strongest, over one corpus or all of them."""
    rows = conflicting_tags(catalog, info, limit)
    infos = {one.corpus_id: one for one in list_corpora(catalog)}
    strongest: dict[UUID, tuple[str, float | None]] = {}
    p_values: dict[UUID, float] = {}
    for corpus_id in {row[1] for row in rows}:
        evidence = evidence_of(catalog, infos[corpus_id], [row[0] for row in rows if row[1] == corpus_id])
        read, ranks, _ = read_locally(catalog, infos[corpus_id], evidence, Rules())
        strongest |= _strongest(read)
        p_values |= _smallest(evidence["doc_id"].to_pylist(), ranks)
    return [
        Conflict(
            doc_id=doc_id,
            corpus=infos[corpus_id].corpus,
            key=key,
            declared_origin=declared,
            declared_by=declared_by,
            p_model=p_model,
            local_p_value=p_values.get(doc_id),
            strongest_evidence=strongest.get(doc_id, (None, None))[0],
            log_lr=strongest.get(doc_id, (None, None))[1],
        )
        for doc_id, corpus_id, key, declared, declared_by, p_model in rows
    ]


def _smallest(doc_ids: Sequence[UUID], p_values: NDArray[np.float64]) -> dict[UUID, float]:
    """The smallest p-value of each document times how many it has (Bonferroni)."""
    by_document: dict[UUID, list[float]] = {}
    for doc_id, p_value in zip(doc_ids, p_values.tolist(), strict=True):
        if np.isfinite(p_value):
            by_document.setdefault(doc_id, []).append(p_value)
    return {doc_id: min(1.0, min(found) * len(found)) for doc_id, found in by_document.items()}


def _strongest(evidence: pa.Table) -> dict[UUID, tuple[str, float | None]]:
    """The name and weight of what speaks most for a model, per document; what is declared does not count."""
    rules = Rules()
    evidence = merge_marks(evidence)
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

"""Evidence to tags: recorded > attested > reviewed > declared > inferred > none. Knows evidence rows, no texts.

logit p = logit prior + a sum of log likelihood ratios. Detectors read the same text, so their ratios are not
independent: they are pooled into one weighted mean first. No detector alone makes a text human.
"""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from provenance.tagging.log_lr import p_value_log_lr
from provenance.tagging.rules import Rules
from provenance.types import Basis, EvidenceKind, Origin

TAG = pa.schema(
    [
        pa.field("doc_id", pa.uuid(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("p_model", pa.float64()),
        pa.field("basis", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
    ]
)
"""Tags before an activity stamps them."""

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def resolve(
    doc_ids: pa.UuidArray,
    evidence: pa.Table,
    rules: Rules,
    *,
    p_values: Floats | None = None,
    silenced: str | None = None,
) -> pa.Table:
    """One tag (TAG) per id of `doc_ids`, in that order, from rows of `tables.EVIDENCE`.

    Rows about other documents are ignored. A row's `score` says what an assertion asserts: 1 model, -1 human, 0 mixed.
    `p_values` (one per evidence row, NaN where there is none) are ranks among local human texts: a document that has
    one is called a model's by its rank, not by p_model. `silenced` says why ranks may not flag here at all.
    """
    # Arrow has no index_in over its uuid type; the 16 bytes underneath it do.
    index = pc.index_in(evidence["doc_id"].cast(pa.binary(16)), value_set=doc_ids.cast(pa.binary(16)))
    about = np.asarray(pc.is_valid(index))
    evidence = merge_marks(evidence.filter(pa.array(about)))
    rows = np.asarray(index.drop_null(), dtype=np.int64)
    kind = np.asarray(evidence["kind"].to_pylist(), dtype=object)
    score = _floats(evidence["score"])
    log_lr = weigh(evidence, rules)
    num = len(doc_ids)

    others, other_spoke = _sum(rows, log_lr, (kind != EvidenceKind.DETECTOR.value), num)
    pooled, detector_spoke = _pool(rows, log_lr, kind, evidence["name"].to_pylist(), rules, num)
    prior = math.log(rules.prior / (1 - rules.prior))
    p_model = _logistic(prior + pooled + others)
    spoke = other_spoke | detector_spoke

    origin = np.full(num, Origin.UNKNOWN.value, dtype=object)
    basis = np.full(num, Basis.NONE.value, dtype=object)
    rule = np.full(num, "no evidence", dtype=object)
    basis[spoke] = Basis.INFERRED.value
    rule[spoke] = f"{rules.human_below:g} < p_model < {rules.model_above:g}"

    ranked, smallest = _ranks(rows, p_values[about] if p_values is not None else None, num)
    certain = spoke & (_logistic(prior + others) >= rules.model_above)
    is_model = spoke & np.where(ranked, certain, p_model >= rules.model_above)
    origin[is_model], rule[is_model] = Origin.MODEL.value, f"p_model >= {rules.model_above:g}"
    flagged = ranked & ~certain & (smallest <= rules.flag_at)
    if silenced is None:
        origin[flagged], rule[flagged] = Origin.MODEL.value, f"local p-value <= {rules.flag_at:g}"
    else:
        rule[ranked & ~certain] = silenced

    for_human = np.zeros(num, dtype=bool)
    for_human[rows[(kind != EvidenceKind.DETECTOR.value) & (log_lr < 0)]] = True
    low = spoke & (p_model <= rules.human_below) & (origin != Origin.MODEL.value)
    rule[low & ~for_human] = f"p_model <= {rules.human_below:g}, from detectors alone"
    is_human = low & for_human
    origin[is_human], rule[is_human] = Origin.HUMAN.value, f"p_model <= {rules.human_below:g}"

    # Weakest assertion first, so a stronger one overwrites it.
    asserted = (
        (EvidenceKind.DECLARED, Basis.DECLARED, "the source says so"),
        (EvidenceKind.REVIEW, Basis.REVIEWED, "a person looked"),
        (EvidenceKind.WATERMARK, Basis.ATTESTED, f"watermark, p <= {rules.attested_p_value:g}"),
        (EvidenceKind.RECORDED, Basis.RECORDED, "a lineage record"),
    )
    for asserting, on, why in asserted:
        members = kind == asserting.value
        says = _verdict(rows[members], score[members], num, rules if asserting is EvidenceKind.WATERMARK else None)
        for value, name, known in ((1, Origin.MODEL, 1.0), (-1, Origin.HUMAN, 0.0), (0, Origin.MIXED, 0.5)):
            hit = says == value
            origin[hit], basis[hit], rule[hit] = name.value, on.value, why
            if on is not Basis.DECLARED:
                p_model[hit] = known
                spoke[hit] = True
    return pa.Table.from_arrays(
        [
            doc_ids,
            pa.array(origin.tolist(), type=pa.string()),
            pa.array(p_model, mask=~spoke),
            pa.array(basis.tolist(), type=pa.string()),
            pa.array(rule.tolist(), type=pa.string()),
        ],
        schema=TAG,
    )


def merge_marks(evidence: pa.Table) -> pa.Table:
    """Watermarks sought with several keys as one: the most telling, paid for by the number of keys (Bonferroni).

    The other rows of the document claim nothing any more. Merging again changes nothing.
    """
    marks = np.asarray(pc.equal(evidence["kind"], EvidenceKind.WATERMARK.value))
    score, log_lr = _floats(evidence["score"]), _floats(evidence["log_lr"])
    tried = marks & np.isfinite(score)
    if not tried.any():
        return evidence
    of = np.asarray(evidence["doc_id"].cast(pa.binary(16)).combine_chunks().dictionary_encode().indices)[tried]
    own = score[tried]
    best_first = np.lexsort((-own, of))
    best = np.zeros(len(own), dtype=bool)
    best[best_first[np.unique(of[best_first], return_index=True)[1]]] = True
    keys = np.bincount(of)[of]
    paid = np.where(best, np.maximum(own - np.log10(keys), 0.0), np.nan)
    log_lr[tried] = np.where(keys == 1, log_lr[tried], p_value_log_lr(np.power(10.0, -paid)))
    score[tried] = paid
    for name, values in (("score", score), ("log_lr", log_lr)):
        at = evidence.schema.get_field_index(name)
        evidence = evidence.set_column(at, evidence.schema.field(at), pa.array(values, mask=np.isnan(values)))
    return evidence


def weigh(evidence: pa.Table, rules: Rules) -> Floats:
    """The log likelihood ratio each row may claim under `rules`; NaN where it claims none."""
    log_lr = _floats(evidence["log_lr"])
    score = _floats(evidence["score"])
    kind = np.asarray(evidence["kind"].to_pylist(), dtype=object)
    declared = kind == EvidenceKind.DECLARED.value
    log_lr[declared] = rules.declared_log_lr * score[declared]
    similar = (kind == EvidenceKind.NEAR_DUPLICATE.value) & np.isnan(log_lr)
    log_lr[similar] = rules.near_duplicate_log_lr * score[similar]
    return np.clip(log_lr, -rules.max_log_lr, rules.max_log_lr)


def _sum(rows: Rows, log_lr: Floats, chosen: NDArray[np.bool_], num: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Sum per document of the chosen rows that claim something, and which documents have such a row."""
    chosen = chosen & np.isfinite(log_lr)
    total, spoke = np.zeros(num), np.zeros(num, dtype=bool)
    np.add.at(total, rows[chosen], log_lr[chosen])
    spoke[rows[chosen]] = True
    return total, spoke


def _pool(
    rows: Rows, log_lr: Floats, kind: NDArray[np.object_], names: list[str], rules: Rules, num: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """The weighted mean of the detectors' ratios (a log-linear pool): never more than the boldest of them."""
    weight = np.array([rules.weight_of(name) for name in names], dtype=np.float64)
    chosen = (kind == EvidenceKind.DETECTOR.value) & np.isfinite(log_lr) & (weight > 0)
    total, weights = np.zeros(num), np.zeros(num)
    np.add.at(total, rows[chosen], (weight * log_lr)[chosen])
    np.add.at(weights, rows[chosen], weight[chosen])
    return np.divide(total, weights, out=np.zeros(num), where=weights > 0), weights > 0


def _ranks(rows: Rows, p_values: Floats | None, num: int) -> tuple[NDArray[np.bool_], Floats]:
    """Which documents have a local p-value, and the smallest times how many there are (Bonferroni)."""
    count, smallest = np.zeros(num), np.full(num, np.inf)
    if p_values is not None:
        known = np.isfinite(p_values)
        np.add.at(count, rows[known], 1)
        np.minimum.at(smallest, rows[known], p_values[known])
    return count > 0, smallest * np.maximum(count, 1)


def _verdict(rows: Rows, score: Floats, num: int, attest: Rules | None) -> Floats:
    """What the assertions of one kind say per document; see `agreed`."""
    if attest is not None:
        # A watermark's score is -log10 of its p-value; it can only ever speak for a model.
        found = score >= -math.log10(attest.attested_p_value)
        rows, score = rows[found], np.ones(int(found.sum()))
    return agreed(rows, score, num)


def agreed(rows: Rows, score: Floats, num: int) -> Floats:
    """What several say of the same document: 1, -1, 0, or NaN where there is none or they disagree."""
    known = np.isfinite(score)
    rows, score = rows[known], np.sign(score[known])
    total, count, extreme = np.zeros(num), np.zeros(num), np.zeros(num)
    np.add.at(total, rows, score)
    np.add.at(count, rows, 1)
    np.add.at(extreme, rows, np.abs(score))
    mean = np.divide(total, count, out=np.full(num, np.nan), where=count > 0)
    says = np.where(np.abs(mean) > 0.5, np.sign(mean), np.nan)
    says[(count > 0) & (extreme == 0)] = 0.0
    return says


def _logistic(logit: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.array(column.to_numpy(zero_copy_only=False), dtype=np.float64)

"""Evidence to tags: recorded > attested > reviewed > declared > inferred > none. Knows evidence rows, no texts.

logit p = logit prior + a sum of log likelihood ratios. Detectors read the same text, so their ratios are not
independent: they are pooled into one weighted mean first. No detector alone makes a text human.
"""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

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


def resolve(doc_ids: pa.UuidArray, evidence: pa.Table, rules: Rules) -> pa.Table:
    """One tag (TAG) per id of `doc_ids`, in that order, from rows of `tables.EVIDENCE`.

    Rows about other documents are ignored. A row's `score` says what an assertion asserts: 1 model, -1 human, 0 mixed.
    """
    # Arrow has no index_in over its uuid type; the 16 bytes underneath it do.
    index = pc.index_in(evidence["doc_id"].cast(pa.binary(16)), value_set=doc_ids.cast(pa.binary(16)))
    evidence = evidence.filter(pc.is_valid(index))
    rows = np.asarray(index.drop_null(), dtype=np.int64)
    kind = np.asarray(evidence["kind"].to_pylist(), dtype=object)
    score = _floats(evidence["score"])
    num = len(doc_ids)

    weight_log_lr, has_weight = fuse_rows(rows, kind, evidence, rules, num)
    prior = math.log(rules.prior / (1 - rules.prior))
    p_model = 1.0 / (1.0 + np.exp(-(prior + weight_log_lr)))
    origin = np.full(num, Origin.UNKNOWN.value, dtype=object)
    basis = np.full(num, Basis.NONE.value, dtype=object)
    rule = np.full(num, "no evidence", dtype=object)

    basis[has_weight] = Basis.INFERRED.value
    rule[has_weight] = f"{rules.human_below:g} < p_model < {rules.model_above:g}"
    is_model = has_weight & (p_model >= rules.model_above)
    origin[is_model], rule[is_model] = Origin.MODEL.value, f"p_model >= {rules.model_above:g}"
    speaks_for_human = np.zeros(num, dtype=bool)
    speaks_for_human[rows[(kind != EvidenceKind.DETECTOR) & (_floats(evidence["log_lr"]) < 0)]] = True
    low = has_weight & (p_model <= rules.human_below)
    rule[low] = f"p_model <= {rules.human_below:g}, from detectors alone"
    is_human = low & speaks_for_human
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
        for value, name, certain in ((1, Origin.MODEL, 1.0), (-1, Origin.HUMAN, 0.0), (0, Origin.MIXED, 0.5)):
            hit = says == value
            origin[hit], basis[hit], rule[hit] = name.value, on.value, why
            if on is not Basis.DECLARED:
                p_model[hit] = certain
                has_weight[hit] = True
    return pa.Table.from_arrays(
        [
            doc_ids,
            pa.array(origin.tolist(), type=pa.string()),
            pa.array(p_model, mask=~has_weight),
            pa.array(basis.tolist(), type=pa.string()),
            pa.array(rule.tolist(), type=pa.string()),
        ],
        schema=TAG,
    )


def fuse_rows(
    rows: NDArray[np.int64], kind: NDArray[np.object_], evidence: pa.Table, rules: Rules, num: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """The summed log likelihood ratio of each document, and whether anything spoke to it."""
    log_lr = np.clip(_floats(evidence["log_lr"]), -rules.max_log_lr, rules.max_log_lr)
    speaks = np.isfinite(log_lr)
    is_detector = (kind == EvidenceKind.DETECTOR.value) & speaks
    names = evidence["name"].to_pylist()
    weight = np.array([rules.weight_of(name) for name in names], dtype=np.float64)
    total, weights = np.zeros(num), np.zeros(num)
    np.add.at(total, rows[is_detector], (weight * np.nan_to_num(log_lr))[is_detector])
    np.add.at(weights, rows[is_detector], weight[is_detector])
    fused = np.divide(total, weights, out=np.zeros(num), where=weights > 0)
    others = speaks & ~is_detector
    np.add.at(fused, rows[others], log_lr[others])
    spoken = weights > 0
    spoken[rows[others]] = True
    return fused, spoken


def _verdict(rows: NDArray[np.int64], score: Floats, num: int, attest: Rules | None) -> Floats:
    """What the assertions of one kind say per document: 1, -1, 0, or NaN where there is none or they disagree."""
    if attest is not None:
        # A watermark's score is -log10 of its p-value; it can only ever speak for a model.
        found = score >= -math.log10(attest.attested_p_value)
        rows, score = rows[found], np.ones(int(found.sum()))
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


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)

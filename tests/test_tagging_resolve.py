"""Evidence to tags: who overrules whom, how evidence adds up, and what may never be said."""

import math
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

from provenance import tables
from provenance.errors import ConfigError
from provenance.tagging.resolve import merge_marks, resolve
from provenance.tagging.rules import Rules, read_rules

DOC = UUID(int=1)
RULES = Rules()


def tag(*rows: tuple[str, str, float | None, float | None], p_value: float | None = None, **extra: str) -> dict:
    """The tag of one document with evidence rows (kind, name, score, log_lr)."""
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    evidence = pa.Table.from_arrays(
        [
            tables.uuids([DOC.bytes] * len(rows)),
            pa.array(columns[0], pa.string()),
            pa.array(columns[1], pa.string()),
            pa.array(["1"] * len(rows)),
            pa.array(columns[2], pa.float64()),
            pa.array(columns[3], pa.float64()),
            pa.nulls(len(rows), pa.string()),
        ],
        schema=tables.EVIDENCE,
    )
    p_values = np.full(len(rows), np.nan if p_value is None else p_value)
    return resolve(tables.uuids([DOC.bytes]), evidence, RULES, p_values=p_values, **extra).to_pylist()[0]


RECORDED = ("recorded", "lineage", 1.0, None)
WATERMARK = ("watermark", "watermark", 6.0, 9.0)
REVIEWED_HUMAN = ("review", "ann", -1.0, None)
DECLARED_HUMAN = ("declared", "declared", -1.0, None)
SURE = ("detector", "stack", 4.0, 5.0)
ORDER = [RECORDED, WATERMARK, REVIEWED_HUMAN, DECLARED_HUMAN, SURE]
BASES = ["recorded", "attested", "reviewed", "declared", "inferred"]


@pytest.mark.parametrize("at", range(5))
def test_the_strongest_basis_decides(at: int) -> None:
    assert tag(*reversed(ORDER[at:]))["basis"] == BASES[at]


def test_without_evidence_a_document_is_unknown_and_has_no_probability() -> None:
    found = tag()
    assert (found["origin"], found["basis"], found["p_model"]) == ("unknown", "none", None)


def test_asserted_tags_survive_detection_and_the_probability_still_tells() -> None:
    found = tag(DECLARED_HUMAN, SURE)
    assert (found["origin"], found["basis"]) == ("human", "declared")
    assert found["p_model"] == pytest.approx(1 / (1 + math.exp(-(5.0 - 1.5))))


def test_no_detector_alone_makes_a_text_human() -> None:
    found = tag(("detector", "stack", -9.0, -9.0))
    assert found["origin"] == "unknown"
    assert found["p_model"] < 0.01


def test_an_old_date_may_make_a_text_human() -> None:
    assert tag(("date", "date", -7.0, -7.0))["origin"] == "human"


def test_detectors_are_averaged_not_added() -> None:
    # Weights: stack 1, transformer 1. Mean of 2 and 4 is 3.
    found = tag(("detector", "stack", 1.0, 2.0), ("detector", "transformer", 1.0, 4.0))
    assert found["p_model"] == pytest.approx(1 / (1 + math.exp(-3.0)))


def test_independent_kinds_are_added_and_capped() -> None:
    found = tag(("detector", "stack", 1.0, 2.0), ("near_duplicate", "registry", 9.0, 100.0))
    assert found["p_model"] == pytest.approx(1 / (1 + math.exp(-(2.0 + RULES.max_log_lr))))


def test_a_near_duplicate_of_a_recorded_output_weighs_by_its_similarity() -> None:
    found = tag(("near_duplicate", "near_duplicate", 0.8, None))
    assert found["p_model"] == pytest.approx(1 / (1 + math.exp(-0.8 * RULES.near_duplicate_log_lr)))


def test_reviewers_who_disagree_leave_the_question_open() -> None:
    assert tag(REVIEWED_HUMAN, ("review", "bob", 1.0, None))["basis"] == "none"
    assert tag(REVIEWED_HUMAN, ("review", "bob", 1.0, None), ("review", "cyn", -1.0, None))["origin"] == "unknown"
    four = [("review", name, 1.0, None) for name in "abcd"]
    assert tag(REVIEWED_HUMAN, *four)["origin"] == "model"
    assert tag(("review", "ann", 0.0, None))["origin"] == "mixed"


def test_a_weak_watermark_attests_nothing() -> None:
    assert tag(("watermark", "watermark", 2.0, 1.0))["basis"] == "inferred"


def test_a_mark_found_with_one_of_several_keys_counts_and_pays_for_the_others() -> None:
    # Best of two keys: p = 2 x 0.01 = 0.02, and -ln(-e p ln p) = -ln(2.71828 x 0.02 x 3.91202) = 1.5480.
    found = tag(("watermark", "watermark", 2.0, 2.0), ("watermark", "watermark", 0.1, 0.0))
    assert found["p_model"] == pytest.approx(1 / (1 + math.exp(-1.5480)), abs=1e-4)
    assert tag(("watermark", "watermark", 0.1, 0.0), WATERMARK)["basis"] == "attested"


def test_merging_marks_again_changes_nothing_and_leaves_other_evidence_alone() -> None:
    evidence = pa.Table.from_arrays(
        [
            tables.uuids([UUID(int=of).bytes for of in (1, 1, 2, 1)]),
            pa.array(["watermark", "watermark", "watermark", "detector"]),
            pa.array(["watermark", "watermark", "watermark", "stack"]),
            pa.array(["one key", "another", "one key", "1"]),
            pa.array([2.0, 0.1, 5.0, 3.0]),
            pa.array([1.0, 1.0, 1.0, 2.5]),
            pa.nulls(4, pa.string()),
        ],
        schema=tables.EVIDENCE,
    )
    once = merge_marks(evidence)
    assert once["score"].to_pylist()[2:] == [5.0, 3.0]
    assert once["log_lr"].to_pylist()[2:] == [1.0, 2.5]
    assert once["score"].to_pylist()[1] is None
    assert merge_marks(once).equals(once)
    assert merge_marks(evidence.slice(0, 0)).num_rows == 0


def test_with_a_local_reference_the_rank_decides_not_the_probability() -> None:
    assert tag(SURE)["origin"] == "model"
    assert tag(SURE, p_value=0.02)["origin"] == "unknown"
    flagged = tag(("detector", "stack", 4.0, 0.1), p_value=0.005)
    assert flagged["origin"] == "model"
    assert flagged["rule"] == "local p-value <= 0.01"


def test_a_silenced_rank_flags_nothing_and_says_why() -> None:
    found = tag(SURE, p_value=0.001, silenced="too few humans")
    assert (found["origin"], found["rule"]) == ("unknown", "too few humans")


def test_other_certain_evidence_decides_beside_a_rank() -> None:
    assert tag(SURE, ("near_duplicate", "registry", 9.0, 8.0))["origin"] == "model"


def test_evidence_about_other_documents_is_ignored() -> None:
    evidence = pa.Table.from_pylist([], schema=tables.EVIDENCE)
    assert resolve(tables.uuids([DOC.bytes]), evidence, RULES).num_rows == 1
    assert resolve(tables.uuids([]), evidence, RULES).num_rows == 0


def test_rules_come_from_toml_and_wrong_ones_name_the_key(tmp_path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text("model_above = 0.8\n[detector_weight]\nngram = 2\n")
    rules = read_rules(path)
    assert (rules.model_above, rules.weight_of("ngram"), rules.weight_of("other")) == (0.8, 2, 0.1)
    for text, message in (
        ("model_abov = 0.8", "unknown rule 'model_abov'"),
        ("model_above = 2", "must be in"),
        ("model_above = 'x'", "must be a number"),
        ("human_below = 0.95", "must be under"),
        ("= 3", "cannot be read"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            read_rules(path)

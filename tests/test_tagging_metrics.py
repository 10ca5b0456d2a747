"""Metrics against answers worked out by hand and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.tagging.attacks import ATTACKS
from provenance.tagging.crossval import Labelled, domain_folds, generator_folds, held_out_scores
from provenance.tagging.evaluate import fairness
from provenance.tagging.leaks import leak_report
from provenance.tagging.metrics import (
    auroc,
    average_precision,
    by_slice,
    calibration_error,
    clopper_pearson,
    quality,
    tpr_at,
)


def arrays(*values: float) -> np.ndarray:
    return np.sort(np.array(values, dtype=np.float64))


def test_auroc_counts_pairs_with_ties_as_half() -> None:
    # Pairs: 2>1, 2=2 (half), 3>1, 3>2: 3.5 of 4.
    assert auroc(arrays(1, 2), arrays(2, 3)) == 3.5 / 4


def test_tpr_uses_a_threshold_that_at_most_the_rate_of_humans_exceed() -> None:
    humans = arrays(*range(100))
    # At 5 % five humans may exceed the threshold: 94.
    assert tpr_at(humans, arrays(94, 94.5, 95, 200), 0.05) == 3 / 4
    assert tpr_at(humans, arrays(99, 99.5), 0.0) == 1 / 2


scores = st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=30)


@settings(max_examples=25, deadline=None)
@given(scores, scores)
def test_areas_agree_with_scikit_learn(human: list[float], model: list[float]) -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    truth = [0] * len(human) + [1] * len(model)
    h, m = np.sort(np.array(human)), np.sort(np.array(model))
    assert auroc(h, m) == pytest.approx(roc_auc_score(truth, human + model))
    assert average_precision(h, m) == pytest.approx(average_precision_score(truth, human + model))


def test_an_abstention_is_counted_and_left_out() -> None:
    found = quality(np.array([0.0, 1.0, np.nan, 2.0, 3.0]), np.array([0, 0, 0, 1, 1], dtype=bool), name="all")
    assert (found.num_human, found.num_model, found.abstained) == (2, 2, 1)
    assert found.auroc is not None
    assert found.auroc.value == 1.0
    assert found.tpr_at[0.01] is None


def test_one_class_has_no_figures() -> None:
    assert quality(np.zeros(3), np.ones(3, dtype=bool), name="x").auroc is None


def test_a_generator_is_read_against_the_humans_of_its_domains() -> None:
    values = np.array([0.0, 1.0, 5.0, 6.0, 0.5, 9.0])
    is_model = np.array([0, 0, 0, 0, 1, 1], dtype=bool)
    slices = {"domain": list("aabbab"), "generator": ["", "", "", "", "m", "n"]}
    found = {one.slice: one for one in by_slice(values, is_model, slices, against="domain")}
    assert found["generator=m"].num_human == 2
    assert found["generator=n"].num_human == 2


def test_a_length_that_no_human_text_has_is_not_read_against_humans_of_other_lengths() -> None:
    values = np.array([0.0, 1.0, 0.5, 9.0])
    slices = {"domain": list("aaaa"), "length": ["30-49", "30-49", "200+", "200+"]}
    found = {one.slice: one for one in by_slice(values, np.array([0, 0, 1, 1], dtype=bool), slices, against="domain")}
    assert (found["length=200+"].num_human, found["length=200+"].num_model) == (0, 2)
    assert found["length=200+"].auroc is None


def test_clopper_pearson_at_its_corners() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    low, high = clopper_pearson(0, 299)
    assert low == 0.0
    assert high == pytest.approx(1 - 0.025 ** (1 / 299))
    assert clopper_pearson(5, 5)[1] == 1.0


def test_calibration_error_worked_out_by_hand() -> None:
    # Two bins of two: predicted .1 and .9, observed .5 and 1. (|.5-.1|*2 + |1-.9|*2) / 4 = .25
    p = np.array([0.1, 0.1, 0.9, 0.9])
    assert calibration_error(p, np.array([0, 1, 1, 1], dtype=bool)) == pytest.approx(0.25)


def test_the_leak_report_finds_line_breaks_and_the_normaliser_removes_them() -> None:
    texts = ["One line\nand another.\nAnd more."] * 5 + ["One line and another. And more."] * 5
    report = leak_report(texts, np.arange(10) >= 5, ["d"] * 10)
    breaks = next(leak for leak in report if leak.trace == "line_breaks")
    assert breaks.raw == 1.0
    assert breaks.normalised == 0.5
    assert leak_report(texts, np.zeros(10, dtype=bool), ["d"] * 10) == []


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_an_attack_changes_a_text_repeatably_and_survives_odd_ones(name: str) -> None:
    text = "However, the quick fox was significant. It jumped over many lazy dogs and went home again. " * 5
    once = ATTACKS[name](text, np.random.default_rng(1))
    assert once != text
    assert once == ATTACKS[name](text, np.random.default_rng(1))
    for odd in ("", "word", "  ", "\n"):
        assert isinstance(ATTACKS[name](odd, np.random.default_rng(1)), str)


def test_a_fold_is_a_domain_and_no_generator_is_in_two_folds(labelled: Labelled) -> None:
    folds = domain_folds(labelled)
    assert len({(f, d) for f, d in zip(folds.tolist(), labelled.domains, strict=True)}) == len(set(labelled.domains))
    data = Labelled(
        texts=["t"] * 6, is_model=np.array([1, 1, 1, 1, 0, 0], dtype=bool), domains=["d"] * 6,
        generators=["a", "b", "a", "b", "", ""],
    )  # fmt: skip
    fold = generator_folds(data)
    assert fold[0] == fold[2] != fold[1] == fold[3]


class Memorised:
    """A detector that knows which domains it was fitted on."""

    def __init__(self, seen: frozenset[str] = frozenset()) -> None:
        self.seen = seen

    def fit(self, texts: list[str], is_model: np.ndarray, groups: list[str]) -> "Memorised":
        return Memorised(frozenset(texts))

    def score(self, texts: list[str]) -> np.ndarray:
        return np.array([float(text in self.seen) for text in texts])


def test_held_out_scores_come_from_a_detector_that_never_saw_the_fold() -> None:
    data = Labelled(
        texts=[str(i) for i in range(12)],
        is_model=np.arange(12) % 2 == 0,
        domains=["a", "b", "c"] * 4,
        generators=["m" if i % 2 == 0 else "" for i in range(12)],
    )
    assert held_out_scores(Memorised(), data, domain_folds(data)).tolist() == [0.0] * 12  # type: ignore[arg-type]


def test_false_positives_are_counted_per_group_of_writers() -> None:
    data = Labelled(
        texts=[""] * 200, is_model=np.zeros(200, dtype=bool), domains=["d"] * 200, generators=[""] * 200,
        writers=["native"] * 100 + ["learner"] * 100,
    )  # fmt: skip
    # The ten highest scores, 5 % of all, are learners'.
    found = fairness(np.arange(200, dtype=np.float64), data)
    rates = {(one.group, one.rate): one.observed.value for one in found}
    assert rates["learner", 0.05] == 0.1
    assert rates["native", 0.05] == 0.0

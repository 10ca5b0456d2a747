"""Calibrated ratios claim what their data show; conformal rates hold; too little data abstains."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import DataError
from provenance.seeds import stream
from provenance.tagging.calibrate import Calibration, fit_calibration
from provenance.tagging.conformal import HumanReference, needed_humans
from provenance.tagging.few_labels import calibrate_few
from provenance.tagging.local import LocalReading, calibrate_locally, calibrate_on_labels
from provenance.tagging.log_lr import p_value_log_lr, to_log_lr
from provenance.tagging.metrics import calibration_error
from provenance.tagging.reading import Reading
from provenance.tagging.shift import SHIFT_LIMIT, Profile
from provenance.types import EvidenceKind


def two_normals(num: int, distance: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = stream(seed, "normals")
    return (
        np.concatenate([rng.normal(0, 1, num), rng.normal(distance, 1, num)]),
        np.r_[np.zeros(num, dtype=bool), np.ones(num, dtype=bool)],
    )


def test_two_normals_give_the_ratio_of_their_densities() -> None:
    # log N(x; 2, 1) / N(x; 0, 1) = 2x - 2.
    scores, labels = two_normals(20_000, 2.0)
    fitted = fit_calibration(scores, labels, missed_share=0.0)
    assert fitted.slope == pytest.approx(2.0, abs=0.1)
    assert fitted.intercept == pytest.approx(-2.0, abs=0.1)


def test_the_share_of_model_text_in_the_calibration_set_does_not_matter() -> None:
    scores, labels = two_normals(4000, 2.0)
    few = np.r_[np.arange(4000), np.arange(4000, 4400)]
    balanced, skewed = fit_calibration(scores, labels), fit_calibration(scores[few], labels[few])
    assert skewed.intercept == pytest.approx(balanced.intercept, abs=0.3)


def test_no_ratio_exceeds_what_the_calibration_set_can_show() -> None:
    scores, labels = two_normals(50, 5.0)
    log_lr = fit_calibration(scores, labels).log_lr(np.array([1e6, -1e6]))
    assert log_lr[0] == math.log(51)
    assert log_lr[1] >= -math.log(51)


def test_a_low_score_says_at_most_what_the_missed_share_allows() -> None:
    fitted = Calibration(slope=2.0, intercept=-2.0, num_human=1000, num_model=1000, missed_share=0.3)
    assert fitted.log_lr(np.array([-100.0]))[0] == pytest.approx(math.log(0.3))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=2, max_size=20))
def test_ratios_rise_with_the_score(scores: list[float]) -> None:
    fitted = Calibration(slope=1.5, intercept=-1.0, num_human=200, num_model=200, missed_share=0.2)
    log_lr = fitted.log_lr(np.sort(np.array(scores)))
    assert (np.diff(log_lr) >= -1e-12).all()


def test_a_detector_worse_than_chance_says_nothing() -> None:
    scores, labels = two_normals(200, -3.0)
    assert fit_calibration(scores, labels).log_lr(np.array([-9.0, 9.0])) == pytest.approx([0, 0], abs=0.02)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.zeros(40), np.arange(40) < 20, "nothing to calibrate"),
        (np.arange(40.0), np.arange(40) < 5, "10 scored texts of each class"),
        (np.full(40, np.nan), np.arange(40) < 20, "got 0 human, 0 model"),
    ],
)
def test_scores_that_cannot_be_calibrated_are_an_error(scores: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit_calibration(scores, labels)


def elsewhere(places: Sequence[float]) -> Reading:
    """What is known of other domains: humans of unlike means, one generator a domain at these distances from them."""
    rng = stream(3, "elsewhere")
    human = [rng.normal(5 * k, 1.0, 300) for k in range(len(places))]
    model = [rng.normal(5 * k + place, 1.0, 300) for k, place in enumerate(places)]
    names = [f"domain{k}" for k in range(len(places)) for _ in range(300)]
    return Reading(
        detector="d", version="1", anywhere=fit_calibration(*two_normals(200, 2.0)), local=None,
        human_scores=np.concatenate(human), human_domains=names,
        model_scores=np.concatenate(model), model_domains=names, model_generators=names,
        profile=Profile.of([]),
    )  # fmt: skip


def test_twenty_and_twenty_local_labels_calibrate_within_five_points() -> None:
    # Human scores lie around 7, model scores 2 above: the right line is 2 (x - 7) - 2, whatever holds elsewhere.
    known = elsewhere([0.5, 3.5])
    errors: dict[str, list[float]] = {"few": [], "platt": []}
    for seed in range(40):
        scores, labels = two_normals(20, 2.0, seed)
        new, truth = two_normals(500, 2.0, seed + 1000)
        fits = {
            "few": calibrate_few(scores[~labels] + 7, scores[labels] + 7, known),
            "platt": fit_calibration(scores + 7, labels),
        }
        for name, fitted in fits.items():
            assert fitted is not None
            errors[name].append(calibration_error(1 / (1 + np.exp(-fitted.log_lr(new + 7))), truth))
    assert np.mean(errors["few"]) < 0.05 + 4 * np.std(errors["few"]) / np.sqrt(40)
    # What is known elsewhere is worth having: paired over the same draws, 4 sigma.
    gain = np.array(errors["platt"]) - np.array(errors["few"])
    assert gain.mean() > 4 * gain.std() / np.sqrt(40)


def test_a_few_labels_need_two_domains_elsewhere_and_ten_model_texts() -> None:
    scores, labels = two_normals(20, 2.0)
    assert calibrate_few(scores[~labels], scores[labels], elsewhere([2.0])) is None
    with pytest.raises(DataError, match="10 model texts with a score, got 9"):
        calibrate_few(scores[~labels], scores[labels][:9], elsewhere([1.0, 2.0]))


def test_local_labels_are_read_on_the_scale_of_the_local_humans() -> None:
    scores, labels = two_normals(20, 3.0)
    raw = calibrate_few(np.concatenate([local().human.scores, scores[~labels]]), scores[labels], elsewhere([1.0, 2.0]))
    assert raw is not None
    done = calibrate_on_labels(local(), elsewhere([1.0, 2.0]), scores, labels)
    np.testing.assert_allclose(done.log_lr(scores), raw.log_lr(scores))
    # 200 local humans and 20 labelled ones, however many are known elsewhere.
    assert done.log_lr(np.array([99.0]))[0] == pytest.approx(math.log(221))


def test_p_values_are_ranks_among_the_human_scores() -> None:
    reference = HumanReference.of(np.array([3.0, 1.0, np.nan, 2.0]))
    assert reference.p_values(np.array([0.0, 2.0, 9.0, np.nan]))[:3].tolist() == [1.0, 3 / 4, 1 / 4]
    assert np.isnan(reference.p_values(np.array([np.nan]))[0])


def test_99_humans_can_flag_at_one_percent_and_98_cannot() -> None:
    assert needed_humans(0.01) == 99
    assert HumanReference.of(np.arange(99.0)).can_flag_at(0.01)
    assert not HumanReference.of(np.arange(98.0)).can_flag_at(0.01)


def test_the_promised_rate_holds_for_any_distribution() -> None:
    rng = stream(0, "conformal")
    flagged = []
    for _ in range(300):
        draw = rng.lognormal(0, 2, 400)
        flagged.append(np.mean(HumanReference.of(draw[:200]).p_values(draw[200:]) <= 0.05))
    assert np.mean(flagged) < 0.05 + 4 * np.std(flagged) / np.sqrt(300)


def test_human_texts_that_cannot_be_scored_are_an_error() -> None:
    with pytest.raises(DataError, match="none of the 3"):
        HumanReference.of(np.full(3, np.nan))


def local(num: int = 200) -> LocalReading:
    human = np.sort(stream(1, "local").normal(0, 1, num))
    return LocalReading(
        detector="d", version="1", human_ref="h@1", human=HumanReference.of(human), calibration=None,
        model_scores=np.full(100, 3.0),
    )  # fmt: skip


def test_too_few_humans_and_too_little_power_are_reasons_not_to_flag() -> None:
    assert local(200).why_not_flag_at(0.01) is None
    assert "needs 99 local human texts" in (local(50).why_not_flag_at(0.01) or "")
    assert "needs 999" in (local(200).why_not_flag_at(0.001) or "")
    weak = local(200)
    weak = LocalReading.from_row(weak.to_row("c", None), None)
    assert weak.why_not_flag_at(0.01) is None  # nothing known of models: the rate still holds
    low = LocalReading(
        detector="d", version="1", human_ref="h@1", human=weak.human, calibration=None,
        model_scores=np.zeros(100),
    )  # fmt: skip
    assert "too little power" in (low.why_not_flag_at(0.01) or "")


def test_local_labels_replace_the_carried_over_calibration() -> None:
    scores, labels = two_normals(20, 3.0)
    done = calibrate_on_labels(local(), None, scores, labels)
    assert (done.log_lr(np.array([4.0])) > 0).all()
    again = LocalReading.from_row(done.to_row("c", "l@1"), None)
    np.testing.assert_allclose(again.log_lr(scores), done.log_lr(scores))


def test_a_reading_without_any_calibration_gives_ranks_but_no_ratio() -> None:
    reading = calibrate_locally("d", "1", None, "h@1", np.arange(150.0))
    assert np.isnan(reading.log_lr(np.array([500.0]))).all()
    assert reading.p_values(np.array([500.0]))[0] == 1 / 151


def test_a_p_value_supports_what_vovk_and_sellke_allow() -> None:
    # 1 / (-e p ln p) at p = 0.01: 1 / (2.71828 * 0.01 * 4.60517) = 7.988.
    assert np.exp(p_value_log_lr(np.array([0.01]))[0]) == pytest.approx(7.988, rel=1e-3)
    assert p_value_log_lr(np.array([0.5, 1.0])) == pytest.approx([0, 0])
    ratio = to_log_lr(EvidenceKind.NEAR_DUPLICATE, "minus_log10_p", np.array([-2.0, 2.0]), None)
    assert ratio[0] == -ratio[1] < 0


def test_a_rule_that_does_not_hit_says_nothing() -> None:
    ratios = to_log_lr(EvidenceKind.HYGIENE, "log_lr", np.array([0.0, 2.0]), None)
    assert np.isnan(ratios[0])
    assert ratios[1] == 2.0


def test_the_shift_check_tells_halves_from_another_kind_of_text(written) -> None:
    texts = written(80, tic="Moreover,")
    profile = Profile.of(texts[:40])
    assert profile.shift(texts[40:]) < SHIFT_LIMIT
    other = ["no capitals here and no stops at all only words and more words that go on " * 5] * 40
    assert profile.shift(other) > SHIFT_LIMIT
    assert profile.far_off(other).all()
    assert not profile.far_off(texts).all()
    assert math.isnan(profile.shift(["too short"]))

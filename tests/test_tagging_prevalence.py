"""The share of model text: bounds hold, intervals cover, and without local humans there is no figure."""

import numpy as np
import pytest

from provenance.errors import DataError
from provenance.seeds import stream
from provenance.tagging.prevalence import ModelReference, estimate_share

SHARES = (0.0, 0.05, 0.25, 0.5, 0.9, 1.0)


def reference(rng: np.random.Generator) -> ModelReference:
    """Model scores of eight generators elsewhere, about 2.5 standard deviations above their humans."""
    return ModelReference(cells=[rng.normal(m, 1.1, 120) for m in rng.normal(2.5, 0.5, 8)], local=False)


def corpus(rng: np.random.Generator, share: float, num: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """(scores of a corpus, scores of 200 local humans); the humans of this domain score 0.7 higher than elsewhere."""
    model = rng.random(num) < share
    place = 0.7 + rng.normal(2.5, 0.5)
    scores = np.where(model, rng.normal(place, 1.1, num), rng.normal(0.7, 1.0, num))
    return scores, rng.normal(0.7, 1.0, 200)


def test_intervals_cover_the_truth_from_no_model_text_to_nothing_else() -> None:
    covered, bounded, error = [], [], []
    for share in SHARES:
        for trial in range(8):
            rng = stream(trial, "prevalence", str(share))
            scores, humans = corpus(rng, share)
            found = estimate_share(scores, humans, reference(rng), seed=trial)
            assert found.share is not None
            covered.append(found.share.low - 1e-9 <= share <= found.share.high + 1e-9)
            bounded.append(found.lower_bound <= share + 1e-9)
            error.append(abs(found.share.value - share))
    # 48 trials: 0.95 less four standard errors, and what a slightly wrong shape costs.
    assert np.mean(covered) >= 0.84
    assert np.mean(bounded) >= 0.95 - 4 * np.sqrt(0.05 * 0.95 / 48)
    assert np.mean(error) < 0.06


def test_model_texts_known_elsewhere_alone_set_no_upper_end() -> None:
    rng = stream(0, "hidden")
    humans, like_people = rng.normal(0, 1, 200), rng.normal(-0.2, 0.7, 150)
    scores = np.r_[rng.normal(0, 1, 350), like_people]
    found = estimate_share(scores, humans, reference(rng))
    assert found.share is not None
    assert found.share.low <= 0.3 <= found.share.high == 1.0
    assert found.high_if_known is not None
    assert found.high_if_known < 0.3


def test_models_that_scatter_more_widely_than_most_are_still_inside_the_interval() -> None:
    """Known generators scatter by 0.8 to 1.4, this corpus's by 1.5: an interval for their average scatter misses."""
    covered = []
    for trial in range(24):
        rng = stream(trial, "scatter")
        known = ModelReference(cells=[rng.normal(2.5, s, 150) for s in np.linspace(0.8, 1.4, 8)], local=False)
        scores = np.r_[rng.normal(2.5, 1.5, 375), rng.normal(0, 1, 125)]
        found = estimate_share(scores, rng.normal(0, 1, 200), known, seed=trial)
        assert found.share is not None
        assert found.high_if_known is not None
        covered.append(found.share.low <= 0.75 <= found.high_if_known)
    assert np.mean(covered) >= 0.95 - 4 * np.sqrt(0.05 * 0.95 / 24)


def test_local_model_texts_that_cannot_be_told_apart_leave_the_share_open() -> None:
    rng = stream(0, "open")
    humans, alike = rng.normal(0, 1, 200), rng.normal(0, 1, 300)
    found = estimate_share(rng.normal(0, 1, 400), humans, ModelReference(cells=[alike], local=True))
    assert found.share is not None
    assert found.share.high - found.share.low > 0.5


def test_the_bound_needs_no_model_reference_and_there_is_then_no_point() -> None:
    scores, humans = corpus(stream(0, "x"), 0.6)
    found = estimate_share(scores, humans, None)
    assert found.share is None
    assert 0 < found.lower_bound < 0.6


def test_without_enough_local_humans_there_is_no_figure() -> None:
    with pytest.raises(DataError, match="at least 50 known-human local texts with a score, got 49"):
        estimate_share(np.zeros(10), np.r_[np.arange(49.0), np.nan], None)


def test_abstentions_are_left_out_and_counted() -> None:
    scores, humans = corpus(stream(0, "y"), 0.5)
    with_gaps = np.r_[scores, np.full(100, np.nan)]
    found = estimate_share(with_gaps, humans, reference(stream(0, "z")))
    assert (found.documents, found.judged) == (500, 400)
    assert found.share == estimate_share(scores, humans, reference(stream(0, "z"))).share


def test_the_answer_is_the_same_each_time() -> None:
    scores, humans = corpus(stream(0, "s"), 0.3)
    first, second = (estimate_share(scores, humans, reference(stream(0, "r"))) for _ in range(2))
    assert first == second


def test_humans_who_all_score_alike_are_an_error() -> None:
    with pytest.raises(DataError, match="nothing to calibrate"):
        estimate_share(np.arange(10.0), np.ones(60), reference(stream(0, "r")))

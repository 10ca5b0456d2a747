"""Metrics of generated text and images: answers by hand, or by a straightforward second implementation."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from provenance.recursion.metrics.classes import coverage, representation
from provenance.recursion.metrics.copied import copied
from provenance.recursion.metrics.detection import detector_auroc
from provenance.recursion.metrics.frechet import frechet_distance, precision, recall
from provenance.recursion.metrics.latent import latent_sd
from provenance.recursion.metrics.mauve import frontier_area, mauve
from provenance.recursion.metrics.perplexity import above, below, histogram, perplexity, perplexity_without, quantiles
from provenance.recursion.metrics.repetition import repetition
from provenance.recursion.metrics.self_bleu import self_bleu
from provenance.recursion.metrics.zipf import zipf_exponent


def batch(*documents: list[int]) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array([token for document in documents for token in document], dtype=np.int32)
    return ids, np.cumsum([0, *map(len, documents)]).astype(np.int64)


def slow_self_bleu(documents: list[list[int]]) -> float:
    """BLEU-4 of each document against all others, written down as it is defined, with NLTK's smoothing method 1."""
    scores = []
    for i, text in enumerate(documents):
        others = documents[:i] + documents[i + 1 :]
        score = 0.0
        for n in (1, 2, 3, 4):
            count = Counter(tuple(text[j : j + n]) for j in range(len(text) - n + 1))
            clip: Counter = Counter()
            for other in others:
                clip |= Counter(tuple(other[j : j + n]) for j in range(len(other) - n + 1))
            matched = sum(min(number, clip[gram]) for gram, number in count.items())
            score += math.log((matched or 0.1) / max(1, sum(count.values()))) / 4
        closest = min((len(other) for other in others), key=lambda length: (abs(length - len(text)), length))
        scores.append(math.exp(score + min(0.0, 1 - closest / len(text))))
    return sum(scores) / len(scores)


texts = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=12), min_size=2, max_size=7)


@given(texts)
def test_self_bleu_equals_its_definition(documents: list[list[int]]) -> None:
    assert self_bleu(*batch(*documents)) == pytest.approx(slow_self_bleu(documents))


def test_self_bleu_of_equal_texts_is_one_and_needs_two() -> None:
    same = [[1, 2, 3, 4, 5]] * 3
    assert self_bleu(*batch(*same)) == pytest.approx(1.0)
    assert self_bleu(*batch([], *same, [])) == pytest.approx(1.0)
    assert math.isnan(self_bleu(*batch([1, 2, 3])))
    assert math.isnan(self_bleu(*batch()))


def test_repetition_counts_what_a_text_has_said_before() -> None:
    # 1212 2121 1212 2121 1212: two different 4-grams of five; the second text repeats nothing, the third is too short.
    assert repetition(*batch([1, 2, 1, 2, 1, 2, 1, 2], [1, 2, 3, 4, 5], [7])) == pytest.approx((3 / 5 + 0) / 2)
    assert repetition(*batch([1])) == 0.0


@pytest.mark.parametrize("exponent", [0.7, 1.0, 1.4])
def test_zipf_exponent_is_found_again(exponent: float) -> None:
    counts = np.round(1e6 * np.arange(1, 200.0) ** -exponent).astype(int)
    ids = np.repeat(np.random.default_rng(0).permutation(len(counts)), counts)
    assert zipf_exponent(ids) == pytest.approx(exponent, abs=1e-3)


def test_zipf_exponent_needs_two_tokens() -> None:
    assert math.isnan(zipf_exponent(np.array([3, 3])))
    assert math.isnan(zipf_exponent(np.array([], dtype=int)))


def test_copied_counts_documents_that_share_half_their_8_grams() -> None:
    real = list(range(20))
    whole, half, less = real[2:14], [*real[:10], 90, 91, 92], [*real[:9], 90, 91, 92, 93]
    # 12 tokens have 5 8-grams, all real; of 13 tokens' 6, `half` has 3 and `less` 2; the last text is too short.
    assert copied(*batch(whole, half, less, [1, 2]), *batch(real)) == pytest.approx(2 / 3)
    assert math.isnan(copied(*batch([1, 2]), *batch(real)))


def test_perplexity_is_the_exponential_of_the_mean_loss() -> None:
    nats = np.log(np.array([[2.0, 8.0], [4.0, 4.0]]))
    assert perplexity(nats) == pytest.approx(4.0)
    assert perplexity_without(nats, np.array([[5, 9], [5, 5]]), np.array([9])) == pytest.approx(32 ** (1 / 3))
    assert math.isnan(perplexity(np.empty((0, 3))))


def test_both_tails_of_generated_text_are_seen() -> None:
    real = np.linspace(2, 4, 1001)
    sample = np.array([1.0, 1.5, 3.0, 3.1, 6.0])
    assert below(sample, real) == pytest.approx(0.4)
    assert above(sample, real) == pytest.approx(0.2)
    assert np.isnan(below(sample, real[:19]))
    assert np.isnan(above(sample, real[:19]))
    assert below(real, real) == pytest.approx(0.05, abs=1e-3)
    assert above(real, real) == pytest.approx(0.05, abs=1e-3)
    assert quantiles(sample)["q50"] == pytest.approx(math.exp(3.0))
    assert quantiles(np.array([])) == {}


def test_histogram_is_in_half_octaves_named_by_their_lower_edge() -> None:
    # ln 4 begins the bin of 4; 5 is below 4·√2 ≈ 5.657, 6 is not.
    assert histogram(np.log(np.array([4.0001, 5, 6, 6]))) == {"4": 0.5, "5.657": 0.5}
    assert histogram(np.array([])) == {}


def test_frechet_distance_equals_the_formula_with_a_matrix_root() -> None:
    rng = np.random.default_rng(1)
    one, two = rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5)), rng.normal(1.0, 2.0, size=(300, 5))
    a, b = np.cov(one.T), np.cov(two.T)
    expected = ((one.mean(0) - two.mean(0)) ** 2).sum() + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    assert frechet_distance(one, two) == pytest.approx(expected)
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-9)
    assert math.isnan(frechet_distance(one[:1], two))


def test_precision_and_recall_tell_narrow_from_wide() -> None:
    rng = np.random.default_rng(2)
    real, narrow, elsewhere = rng.normal(size=(500, 3)), 0.1 * rng.normal(size=(500, 3)), rng.normal(50, 1, (500, 3))
    assert precision(narrow, real) == 1.0
    assert recall(narrow, real) < 0.1
    assert precision(elsewhere, real) == recall(elsewhere, real) == 0.0
    assert precision(real, real) == recall(real, real) == 1.0
    assert math.isnan(precision(real, real[:5]))


def test_mauve_area_of_known_histograms() -> None:
    same = np.array([0.5, 0.5])
    assert frontier_area(same, same) == pytest.approx(1.0)
    # Apart: KL(q, λp + (1 − λ)q) = −ln(1 − λ), so the frontier is ((1 − λ)^5, λ^5). The area under y = (1 − x^(1/5))^5
    # is B(5, 6) · 5 = 5 Γ(5) Γ(6) / Γ(11) = 0.003968; 25 trapezia overestimate a convex curve a little.
    apart = frontier_area(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert 0.00397 < apart < 0.0045


def test_mauve_orders_clouds_by_how_much_they_overlap() -> None:
    rng = np.random.default_rng(3)
    real = rng.normal(size=(300, 4)) + 3
    near, far = rng.normal(size=(300, 4)) + 3, rng.normal(size=(300, 4)) - 3
    assert mauve(near, real) > 0.9
    assert mauve(far, real) < 0.1
    assert math.isnan(mauve(real[:19], real))


def test_representation_says_who_vanishes() -> None:
    made, real = np.array([0.6, 0.25, 0.0, 0.15]), np.array([0.4, 0.4, 0.2, 0.0])
    names = ["a", "b", "c", "never there"]
    assert representation(made, real, names) == pytest.approx({"a": 1.5, "b": 0.625, "c": 0.0})
    assert coverage(made, real, names) == pytest.approx(2 / 3)
    assert representation(np.full(4, np.nan), real, names) == {}
    assert math.isnan(coverage(np.full(4, np.nan), real, names))


def test_latent_spread_is_over_samples_and_dimensions() -> None:
    assert latent_sd(np.array([[1.0, -1.0], [1.0, -1.0]])) == 1.0
    assert math.isnan(latent_sd(np.empty((0, 20))))


def test_the_detectors_auroc_counts_pairs_and_leaves_out_what_it_did_not_judge() -> None:
    human = np.array([0.1, 0.4, np.nan, 0.4])
    assert detector_auroc(human, np.array([0.4, 0.9, np.nan])) == pytest.approx((1 + 0.5 + 0.5 + 3) / 6)
    assert np.isnan(detector_auroc(human, np.array([np.nan])))
    assert np.isnan(detector_auroc(np.empty(0), human))

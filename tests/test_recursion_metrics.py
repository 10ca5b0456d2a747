"""Each metric on numbers worked out by hand, and what it says of nothing."""

import math

import numpy as np
import pytest

from provenance.recursion.metrics import categorical, gaussian, mixture
from provenance.recursion.metrics.bits_per_byte import bits_per_byte
from provenance.recursion.metrics.distinct import distinct
from provenance.recursion.metrics.entropy import token_entropy
from provenance.recursion.metrics.regression import coefficient_error
from provenance.recursion.metrics.vocabulary import coverage, rare_coverage, vocabulary

NOTHING = np.array([], dtype=np.int32)


def test_bits_per_byte_divides_and_has_no_answer_for_no_text():
    assert bits_per_byte(24.0, 12) == 2.0
    assert math.isnan(bits_per_byte(0.0, 0))


def test_distinct_n_counts_within_documents():
    ids, offsets = np.array([1, 2, 1, 2, 1, 2]), np.array([0, 4, 6])
    assert distinct(1, ids, offsets) == pytest.approx(2 / 6)
    # 12 21 12 | 12: the pair across the documents (2, 1) does not count.
    assert distinct(2, ids, offsets) == pytest.approx(2 / 4)
    assert distinct(3, ids, offsets) == pytest.approx(2 / 2)
    assert distinct(5, ids, offsets) == 0.0
    assert distinct(2, NOTHING, np.array([0])) == 0.0


def test_distinct_n_is_exact_for_ids_whose_product_does_not_fit():
    ids = np.array([2**31 - 2, 2**31 - 2, 2**31 - 2, 0, 2**31 - 2, 2**31 - 2, 2**31 - 2], dtype=np.int64)
    assert distinct(3, ids, np.array([0, 7])) == pytest.approx(4 / 5)


def test_entropy_of_four_even_tokens_is_two_bits():
    assert token_entropy(np.array([0, 1, 2, 3])) == pytest.approx(2.0)
    assert token_entropy(np.array([7, 7])) == 0.0
    assert token_entropy(NOTHING) == 0.0


def test_vocabulary_and_coverage_by_hand():
    real, sample = np.array([0, 0, 0, 1, 1, 2, 3]), np.array([0, 3, 3, 9])
    assert vocabulary(sample) == 3.0
    assert coverage(real, sample) == pytest.approx(2 / 4)
    assert rare_coverage(real, sample) == pytest.approx(1 / 3)  # rare: 1, 2 and 3
    assert vocabulary(NOTHING) == 0.0
    assert coverage(real, NOTHING) == 0.0
    assert math.isnan(coverage(NOTHING, sample))
    assert math.isnan(rare_coverage(np.array([0, 0, 0]), sample))


def test_gaussian_distances_by_hand():
    mean, sd = np.array([3.0, 0.0]), np.array([1.0, 0.5])
    assert gaussian.w2_squared(mean, sd, 0.0, 1.0) == pytest.approx([9.0, 0.25])
    assert gaussian.kl_divergence((mean, sd, 0.0, 1.0)) == pytest.approx([4.5, 0.5 * (4 - 1 - math.log(4))])
    assert gaussian.variance(np.array([[1.0, 3.0]])) == pytest.approx([5.0])
    assert gaussian.w2_squared(np.array([[1.0, 1.0]]), np.array([[1.0, 3.0]]), 0.0, 1.0) == pytest.approx([6.0])


def test_categorical_distances_by_hand():
    p, real = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]), np.array([0.5, 0.25, 0.25])
    assert categorical.sum_p2(p) == pytest.approx([0.5, 1.0])
    assert categorical.support(p).tolist() == [2.0, 1.0]
    assert categorical.lost_mass(p, real) == pytest.approx([0.25, 0.5])
    assert categorical.total_variation(p, real) == pytest.approx([0.25, 0.5])
    assert categorical.l2_squared(p, real) == pytest.approx([0.125, 0.375])
    assert categorical.reverse_kl(p, real) == pytest.approx([0.5 * math.log(2), math.log(2)])
    assert categorical.absorbed(p).tolist() == [0.0, 1.0]
    assert categorical.tail_coverage(p, real, np.array([False, True, True])) == pytest.approx([0.5, 0.0])


def test_the_effective_sample_size_is_the_one_whose_law_gives_the_vocabulary():
    from provenance.recursion.theory.categorical import effective_samples
    from provenance.recursion.theory.categorical import vocabulary as law

    p = np.full(100, 0.01)
    assert effective_samples(law(4, 250.0, p), 4, p) == pytest.approx(250.0, rel=1e-4)
    assert math.isnan(effective_samples(100.0, 4, p))
    assert math.isnan(effective_samples(0.0, 4, p))


def test_two_equal_mixtures_have_no_distance_and_one_gaussian_has_its_closed_form():
    one = (np.array([[1.0]]), np.zeros((1, 1, 2)), np.eye(2).reshape(1, 1, 2, 2))
    split = (np.array([[0.3, 0.7]]), np.zeros((1, 2, 2)), np.broadcast_to(np.eye(2), (1, 2, 2, 2)))
    assert mixture.l2_distance(one, split) == pytest.approx([0.0])
    far = (one[0], one[1] + 100.0, one[2])
    # Integral of N(0, I)^2 over the plane is 1 / (4 pi); apart they do not overlap.
    assert mixture.l2_distance(one, far) == pytest.approx([2 / (4 * math.pi)])
    assert mixture.component_sd((one[0], one[1], 4.0 * one[2])) == pytest.approx([2.0])


def test_coefficient_error_is_a_squared_distance():
    assert coefficient_error(np.array([[1.0, 3.0], [1.0, 1.0]]), np.ones(2)).tolist() == [4.0, 0.0]

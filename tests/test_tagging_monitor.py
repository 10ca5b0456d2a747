"""The monitor calls collapse what lost its tails, and nothing else."""

from collections.abc import Callable

import numpy as np
import pytest

from provenance.detectors.tokens import hash_word
from provenance.errors import DataError
from provenance.seeds import stream
from provenance.tagging.monitor import _Bigram, _zipf, compare


def zipfian(count: int, exponent: float, seed: int, vocabulary: int = 3000) -> list[str]:
    """Texts of 120 words drawn from a power law."""
    rng = stream(seed, "zipf")
    weights = np.arange(1, vocabulary + 1) ** -exponent
    drawn = rng.choice(vocabulary, size=(count, 120), p=weights / weights.sum())
    letters = np.array(list("abcdefghijklmnop"))
    words = ["".join(letters[[(i >> s) & 15 for s in (0, 4, 8)]]) for i in range(vocabulary)]
    return [" ".join(words[i] for i in row) for row in drawn.tolist()]


def test_two_halves_of_one_source_show_no_sign() -> None:
    texts = zipfian(500, 1.0, 1)
    found = compare(texts[:200], texts[200:])
    assert found.verdict == "no sign"
    assert {one.verdict for one in found.measures} <= {"same", "unsure"}


def test_a_source_that_lost_its_rare_words_is_called_collapsed() -> None:
    found = compare(zipfian(200, 1.6, 2), zipfian(400, 1.0, 3))
    verdicts = {one.name: one.verdict for one in found.measures}
    assert found.verdict == "collapsed"
    assert verdicts["rare_word_coverage"] == verdicts["bits_per_word"] == verdicts["zipf_exponent"] == "collapsed"


def test_a_richer_source_is_not_called_collapsed() -> None:
    found = compare(zipfian(200, 0.6, 4), zipfian(400, 1.0, 5))
    assert found.verdict == "no sign"
    assert {one.name: one.verdict for one in found.measures}["distinct_words"] == "richer"


def test_a_subgroup_that_shrank_is_named() -> None:
    texts = zipfian(500, 1.0, 6)
    groups = ["a"] * 190 + ["b"] * 10
    found = compare(texts[:200], texts[200:], groups=groups, reference_groups=["a", "b"] * 150)
    assert {one.group: one.verdict for one in found.groups} == {"a": "more", "b": "fewer"}


def test_too_little_text_is_an_error_with_the_numbers() -> None:
    with pytest.raises(DataError, match="too few words") as error:
        compare(["a b c"], zipfian(300, 1.0, 7))
    assert "8,000" in error.value.hint


def test_the_zipf_exponent_of_a_power_law_is_its_exponent() -> None:
    counts = np.round(1e5 * np.arange(1, 101) ** -1.2).astype(int)
    words = np.repeat(np.arange(1, 101).astype(np.uint64), counts)
    assert _zipf(words) == pytest.approx(1.2, abs=0.01)


def test_the_fixed_model_hands_out_exactly_all_probability() -> None:
    text = np.array([hash_word(w) for w in ["a", "b", "a", "c", "a", "b", "b", "a"]])
    model = _Bigram(text)
    seen = [hash_word(w) for w in "abc"]
    for before in (hash_word("a"), hash_word("b"), hash_word("never")):
        total = sum(2 ** -model.bits_per_word(np.array([before, word])) for word in [*seen, hash_word("unknown")])
        assert total == pytest.approx(1.0)


def test_the_order_of_the_texts_does_not_matter_beyond_the_shuffle(written: Callable[..., list[str]]) -> None:
    texts = zipfian(400, 1.0, 8)
    assert compare(texts[:150], texts[150:], seed=3) == compare(texts[:150], texts[150:], seed=3)

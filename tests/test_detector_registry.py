"""Registries of known texts: what is found again, what is not, and how often chance is taken for a match."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from provenance.detectors.registry import Chance, HumanRegistry, OutputRegistry
from provenance.errors import DataError
from provenance.seeds import stream

WORDS = [f"{a}{b}{c}" for a in "bdfgklmn" for b in ("ai", "or", "en", "u") for c in ("st", "ra", "vel", "nd")]
N_WORDS = 60


def text_of(rng: np.random.Generator, n: int = N_WORDS) -> list[str]:
    return [WORDS[i] for i in rng.integers(len(WORDS), size=n)]


def reworded(words: list[str], rng: np.random.Generator, share: float) -> str:
    """The words in another order, a share of them exchanged."""
    kept = [word if rng.random() >= share else WORDS[rng.integers(len(WORDS))] for word in words]
    return " ".join(kept[i] for i in rng.permutation(len(kept)))


@pytest.fixture(scope="module")
def known() -> list[list[str]]:
    rng = stream(0, "known")
    return [text_of(rng) for _ in range(100)]


@pytest.fixture(scope="module")
def registry(known: list[list[str]]) -> OutputRegistry:
    rng = stream(0, "unrelated")
    unrelated = [" ".join(text_of(rng)) for _ in range(299)]
    return OutputRegistry().register([" ".join(words) for words in known]).measure_chance(unrelated)


def test_a_copy_and_an_excerpt_are_found_with_the_text_they_come_from(
    registry: OutputRegistry, known: list[list[str]]
) -> None:
    copy, excerpt = " ".join(known[7]), " ".join(text_of(stream(1), 100) + known[8][:30])
    first, second = registry.lookup([copy, excerpt])
    assert (first.copy_of, first.containment, first.p_value) == (7, 1.0, 1 / 300)
    assert second.copy_of == 8
    # 27 of the known text's 57 sequences of four words.
    assert second.containment == pytest.approx(27 / 57)
    assert second.p_value <= 0.01


def test_a_text_in_other_order_with_a_third_of_its_words_exchanged_is_found(
    registry: OutputRegistry, known: list[list[str]]
) -> None:
    rng = stream(2)
    matches = registry.lookup([reworded(words, rng, 1 / 3) for words in known[:20]])
    assert [match.like for match in matches] == list(range(20))
    assert max(match.p_value for match in matches) <= 0.01
    assert max(match.containment for match in matches) < 0.1


def test_a_paraphrase_is_found_among_other_answers_to_the_same_prompt(known: list[list[str]]) -> None:
    """Its original is not much nearer than the original's siblings: there is no margin, but there is a lead."""
    rng = stream(3)
    answers = [reworded(words, rng, 0.25) for words in known for _ in range(4)]
    unrelated = [" ".join(text_of(rng)) for _ in range(299)]
    registry = OutputRegistry().register(answers).measure_chance(unrelated)
    matches = registry.lookup([reworded(words, rng, 0.25) for words in known[:40]])
    assert np.mean([match.margin < 0.1 for match in matches]) > 0.9
    assert max(match.p_value for match in matches) <= 0.01


def test_scores_are_signed_and_absent_for_tiny_texts(registry: OutputRegistry, known: list[list[str]]) -> None:
    texts = [" ".join(known[0]), "too short to tell", ""]
    assert registry.score(texts) == pytest.approx([-np.log10(1 / 300), np.nan, np.nan], nan_ok=True)
    human = HumanRegistry(arrays=registry._arrays)
    assert human.score(texts) == pytest.approx([np.log10(1 / 300), np.nan, np.nan], nan_ok=True)


def test_with_an_encoder_the_nearest_in_meaning_is_named_and_stays_so_after_loading(
    tiny_model: Path, tmp_path: Path, known: list[list[str]]
) -> None:
    pytest.importorskip("transformers")
    texts = [" ".join(words) for words in known[:25]]
    registry = OutputRegistry(model=str(tiny_model)).register(texts).measure_chance(texts[20:])
    match = registry.lookup([texts[3]])[0]
    assert match.like == 3
    # The text itself is known: cosine 1, up to the half precision that vectors are kept in.
    assert match.meaning[0] == pytest.approx(1.0, abs=2e-3)
    assert 0 <= match.meaning[1] <= 2
    assert len(match.measures) == 5
    registry.save(tmp_path)
    again = OutputRegistry.load(tmp_path)
    assert again.version == registry.version
    np.testing.assert_allclose(again.score(texts), registry.score(texts))


def test_an_empty_registry_says_how_it_is_filled() -> None:
    with pytest.raises(DataError, match="registry is empty"):
        OutputRegistry().lookup(["anything"])


def test_chance_by_hand() -> None:
    chance = Chance(np.array([[0.0, 0.0, 0.5, 0.9], [0.1, 0.2, 0.3, 0.0]]))
    # Better than all by both measures: nobody's best rank is 1 beside it.
    assert chance.p_value([1.0, 1.0]) == 1 / 5
    # First by one measure; the text with 0.3 keeps rank 1 by the other.
    assert chance.p_value([1.0, 0.0]) == 2 / 5
    # Second by the first measure (after 0.9), last by the other: 0.9 and 0.3 hold rank 1, 0.2 rank 2 by the second.
    assert chance.p_value([0.6, -1.0]) == 4 / 5
    assert Chance(np.empty((3, 0))).p_value([1.0, 1.0, 1.0]) == 1.0


@given(arrays(np.float64, st.tuples(st.just(3), st.integers(1, 30)), elements=st.integers(0, 4).map(float)))
def test_of_n_like_texts_at_most_k_have_a_p_value_of_k_in_n(values: np.ndarray) -> None:  # type: ignore[type-arg]
    n = values.shape[1]
    p_values = [Chance(np.delete(values, i, axis=1)).p_value(values[:, i]) for i in range(n)]
    for k in range(n + 1):
        assert np.sum(np.array(p_values) <= k / n + 1e-12) <= k

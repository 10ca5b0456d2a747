"""Registries of known texts: what is found again, what is not, and how often chance is taken for a match."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from provenance.detectors.paraphrase import log_likelihood_ratio
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
    assert [match.origin for match in matches] == list(range(20))
    assert max(match.p_value for match in matches) <= 0.01
    assert max(match.containment for match in matches) < 0.1


def test_a_paraphrase_is_found_among_other_answers_to_the_same_prompt() -> None:
    """What all answers to a prompt have in common is no sign of origin; the unrelated texts answer it too."""
    rng = stream(3)
    subjects = [text_of(rng, 20) for _ in range(25)]

    def answer(subject: list[str]) -> list[str]:
        return [subject[rng.integers(20)] if rng.random() < 0.5 else WORDS[rng.integers(len(WORDS))] for _ in range(80)]

    answers = [answer(subject) for subject in subjects for _ in range(4)]
    unrelated = [" ".join(answer(subjects[i % 25])) for i in range(299)]
    registry = OutputRegistry().register([" ".join(words) for words in answers]).measure_chance(unrelated)
    others = [answer(subjects[i // 4]) for i in range(40)]
    changed = [
        " ".join(new if rng.random() < 0.4 else old for old, new in zip(words, other, strict=True))
        for words, other in zip(answers, others, strict=False)
    ]
    matches = registry.lookup(changed)
    assert [match.origin for match in matches] == list(range(40))
    assert max(match.p_value for match in matches) <= 0.01
    assert np.mean([match.p_value <= 0.1 for match in registry.lookup([" ".join(words) for words in others])]) < 0.3


def test_tiny_texts_are_no_measure_of_chance(known: list[list[str]]) -> None:
    registry = OutputRegistry().register([" ".join(words) for words in known])
    unrelated = [" ".join(text_of(stream(5, str(i)))) for i in range(50)]
    tiny = [" ".join(words[:3]) for words in known[:20]]
    assert registry.measure_chance([*unrelated, *tiny]).version == registry.measure_chance(unrelated).version
    with pytest.raises(DataError, match="none of 20 texts given as unrelated has 15 words"):
        registry.measure_chance(tiny)


@pytest.mark.parametrize("texts", [["one two three four"], [""], []])
def test_what_shares_no_word_with_any_known_text_comes_from_none(texts: list[str]) -> None:
    registry = OutputRegistry().register(texts)
    matches = registry.lookup(["seven eight", ""])
    assert [(match.copy_of, match.origin, registry.source(match)) for match in matches] == [(-1, -1, None)] * 2


def test_scores_are_signed_and_absent_for_tiny_texts(registry: OutputRegistry, known: list[list[str]]) -> None:
    texts = [" ".join(known[0]), "too short to tell", ""]
    assert registry.score(texts) == pytest.approx([-np.log10(1 / 300), np.nan, np.nan], nan_ok=True)
    human = HumanRegistry(arrays=registry._arrays)
    assert human.score(texts) == pytest.approx([np.log10(1 / 300), np.nan, np.nan], nan_ok=True)


def test_scores_are_the_same_after_loading(registry: OutputRegistry, known: list[list[str]], tmp_path: Path) -> None:
    texts = [reworded(words, stream(4), 0.5) for words in known[:5]]
    registry.save(tmp_path)
    again = OutputRegistry.load(tmp_path)
    assert again.version == registry.version
    np.testing.assert_allclose(again.score(texts), registry.score(texts))


def test_unrelated_texts_that_are_related_are_reported(known: list[list[str]]) -> None:
    texts = [" ".join(words) for words in known]
    registry = OutputRegistry().register(texts)
    unrelated = [" ".join(text_of(stream(5, str(i)))) for i in range(50)]
    assert registry.measure_chance(unrelated).doubts == []
    (doubt,) = registry.measure_chance([*unrelated, *texts[:2]]).doubts
    assert doubt.startswith("2 of 52 texts given as unrelated look like copies")
    assert "leave them out" in doubt


def test_an_empty_registry_says_how_it_is_filled() -> None:
    with pytest.raises(DataError, match="registry is empty"):
        OutputRegistry().lookup(["anything"])


def test_log_likelihood_ratio_by_hand() -> None:
    # A word every second text on the subject has, unmoved: the density of no shift is 10 if it was taken over and
    # stayed, 2 between independent places, and four in five taken over is the likeliest of the grid.
    one = np.log(0.8 * (0.5 * 10 / 2.001 + 0.5) / 0.5 + 0.2)
    assert log_likelihood_ratio(np.array([0.5]), np.array([0.0])) == pytest.approx(one)
    # Words that the candidate lacks speak against it, least if little was taken over.
    assert log_likelihood_ratio(np.array([0.5, 0.1]), np.array([np.nan, np.nan])) == pytest.approx(np.log(0.9))
    assert log_likelihood_ratio(np.empty(0), np.empty(0)) == -np.inf


def test_chance_by_hand() -> None:
    chance = Chance(np.array([[0.0, 0.0, 0.5, 0.9], [0.1, 0.2, 0.3, 0.0]]), (1, 1))
    # Better than all by both measures: nobody's best rank is 1 beside it.
    assert chance.p_value([1.0, 1.0]) == 1 / 5
    # First by one measure; the text with 0.3 keeps rank 1 by the other.
    assert chance.p_value([1.0, 0.0]) == 2 / 5
    # Second by the first measure (after 0.9), last by the other: 0.9 and 0.3 hold rank 1, 0.2 rank 2 by the second.
    assert chance.p_value([0.6, -1.0]) == 4 / 5
    assert Chance(np.empty((3, 0)), (1, 1, 1)).p_value([1.0, 1.0, 1.0]) == 1.0


def test_a_dear_measure_has_to_stand_out_more() -> None:
    null = np.array([[0.0, 0.0, 0.5, 0.9], [0.1, 0.2, 0.3, 0.0]])
    # First by the dear measure counts as second by the other: 0.3 and 0.2 are as good.
    assert Chance(null, (2, 1)).p_value([1.0, 0.0]) == 3 / 5
    # First by the cheap one: 0.9 is first by the dear one, which is worth a second place.
    assert Chance(null, (2, 1)).p_value([0.0, 1.0]) == 1 / 5


@given(
    arrays(np.float64, st.tuples(st.just(3), st.integers(1, 30)), elements=st.integers(0, 4).map(float)),
    st.tuples(*[st.sampled_from([1.0, 1.5, 4.0])] * 3),
)
def test_of_n_like_texts_at_most_k_have_a_p_value_of_k_in_n(
    values: np.ndarray,  # type: ignore[type-arg]
    cost: tuple[float, float, float],
) -> None:
    n = values.shape[1]
    p_values = [Chance(np.delete(values, i, axis=1), cost).p_value(values[:, i]) for i in range(n)]
    for k in range(n + 1):
        assert np.sum(np.array(p_values) <= k / n + 1e-12) <= k

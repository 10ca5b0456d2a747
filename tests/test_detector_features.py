"""Tokens and features, against counts worked out by hand and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.detectors.ngram_features import NUM_FEATURES, ngram_matrix
from provenance.detectors.scope import Abstention, abstentions
from provenance.detectors.style_features import STYLE_FEATURES, style_matrix
from provenance.detectors.tokens import CAPITAL, MARK, NUMBER, UPPER, WORD, hash_word, tokenise
from provenance.detectors.words import FUNCTION_WORDS, LEXICA

TEXT = "The cat didn't move, but NASA paid 3.5 million. It was gone!"


def feature(texts: list[str], name: str) -> list[float]:
    return style_matrix(tokenise(texts))[:, STYLE_FEATURES.index(name)].tolist()


def test_tokens_of_a_sentence_worked_out_by_hand() -> None:
    tokens = tokenise([TEXT])
    words = [
        "the",
        "cat",
        "didn't",
        "move",
        ",",
        "but",
        "nasa",
        "paid",
        "3.5",
        "million",
        ".",
        "it",
        "was",
        "gone",
        "!",
    ]
    assert len(tokens.hash) == len(words)
    kinds = [MARK if w in ",.!" else NUMBER if w == "3.5" else WORD for w in words]
    assert tokens.kind.tolist() == kinds
    for at, word in enumerate(words):
        if kinds[at] == WORD:
            assert tokens.hash[at] == hash_word(word)
    assert tokens.case[0] == CAPITAL
    assert tokens.case[words.index("nasa")] == UPPER
    assert tokens.length.tolist() == [len(w) for w in words]
    assert FUNCTION_WORDS[tokens.function[0]] == "the"
    assert tokens.function[1] == -1
    assert tokens.mark[words.index(",")] == ord(",")


def test_content_words_of_one_shape_share_a_mask_and_function_words_keep_theirs() -> None:
    tokens = tokenise(["the walking of the talking"])
    assert tokens.mask[1] == tokens.mask[4]
    assert tokens.mask[0] == tokens.hash[0] == tokens.mask[3]
    assert tokens.mask[2] != tokens.mask[0]


def test_a_word_can_be_in_several_families() -> None:
    tokens = tokenise(["vibrant"])
    names = [name for bit, name in enumerate(LEXICA) if int(tokens.families[0]) >> bit & 1]
    assert names == [name for name, words in LEXICA.items() if "vibrant" in words]
    assert len(names) == 2


def test_style_features_worked_out_by_hand() -> None:
    # 11 words and the number 3.5, which counts towards its sentence: two sentences of 9 and 3.
    assert feature([TEXT], "word:the") == pytest.approx([100 / 11])
    assert feature([TEXT], "mark:,") == pytest.approx([100 / 11])
    assert feature([TEXT], "shape:numbers") == pytest.approx([100 / 11])
    assert feature([TEXT], "shape:n_t") == pytest.approx([100 / 11])
    assert feature([TEXT], "shape:all_capitals") == pytest.approx([100 / 11])
    assert feature([TEXT], "shape:words_per_sentence") == pytest.approx([np.log(6)])
    assert feature([TEXT], "shape:words_per_sentence_sd") == pytest.approx([3.0])
    assert feature(["to be or not to be"], "shape:variety_50") == pytest.approx([4 / 6])
    assert feature(["to be or not to be"], "shape:hapax_100") == pytest.approx([2 / 6])
    assert feature(["to be or not to be"], "shape:repeat_bigram") == pytest.approx([1 - 4 / 5])


def test_rates_do_not_change_when_a_text_is_doubled() -> None:
    once = "The road went on and on. We walked until the night came, and then we slept."
    single, double = style_matrix(tokenise([once, f"{once} {once}"]))
    for name in ("word:the", "mark:,", "length:4", "shape:letters_per_word", "shape:words_per_sentence"):
        at = STYLE_FEATURES.index(name)
        assert double[at] == pytest.approx(single[at], rel=1e-5), name


def test_features_do_not_depend_on_the_batch() -> None:
    texts = ["One two three. Four!", "", "7 dogs ran - fast.", TEXT]
    together = style_matrix(tokenise(texts))
    apart = np.vstack([style_matrix(tokenise([text])) for text in texts])
    assert np.array_equal(together, apart)
    apart = np.vstack([ngram_matrix(tokenise([text])).toarray() for text in texts])
    assert (ngram_matrix(tokenise(texts)) != apart).sum() == 0


def test_character_ngrams_agree_with_scikit_learn() -> None:
    from sklearn.feature_extraction.text import CountVectorizer

    text = "abracadabra abracadabra"
    counts = CountVectorizer(analyzer="char", ngram_range=(3, 5)).fit_transform([text]).toarray()[0]
    expected = np.sort(1 + np.log(counts))
    row = ngram_matrix(tokenise([text]))
    found = np.sort(row.data[row.indices >= 2 * NUM_FEATURES // 3])
    assert len(found) == len(expected)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=80), max_size=4))
def test_any_texts_have_finite_features(texts: list[str]) -> None:
    tokens = tokenise(texts)
    assert np.isfinite(style_matrix(tokens)).all()
    assert np.isfinite(ngram_matrix(tokenise(texts)).data).all()
    assert len(abstentions(tokens)) == len(texts)


def test_what_is_out_of_scope_says_why() -> None:
    english = (
        "She said that it was not the time to go, because they had been there before and it was all the same. " * 2
    )
    french = (
        "Le soleil se levait sur la ville et les gens sortaient dans les rues pour aller au travail, et il y avait une "
        "femme qui marchait avec son chien dans le parc pendant que les oiseaux chantaient au-dessus des arbres."
    )
    chinese = "今天天气很好，我们一起去公园散步。" * 20
    code = "x = foo(bar[0]); y += baz[i][j] * 2;\n" * 12
    found = abstentions(tokenise([english, french, chinese, "Too short to say.", "", code])).tolist()
    assert [Abstention(code).name for code in found] == ["NONE", "LANGUAGE", "SCRIPT", "SHORT", "SHORT", "LANGUAGE"]

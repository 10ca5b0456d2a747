"""The normaliser takes out the collector and leaves the writer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.detectors.normalise import MAX_WORDS, latin_share, normalise, visible

PLAIN = "She closed the door and waited. Nobody came until the morning, and then it was only the cat."


@pytest.mark.parametrize(
    "collected",
    [
        "She closed the door and waited.\nNobody came until the morning,\nand then it was only the cat.",
        "She closed the door and waited.\\r\\n\\nNobody came until the morning, and then it was only the cat.",
        "## She closed the door and waited.\n\n- Nobody came until the morning, and then it was only the cat.",
        "She closed   the door and waited.\r\n\tNobody came until the morning, and then it was only the cat. ",
        "**She closed** the door and waited. [Nobody](https://a) came until the morning, and then it was only the cat.",
        "She closed the door and waited . Nobody came until the morning , and then it was only the cat .",
        "She cl\u200bosed the door and w\u00adaited. Nobody came until the morning, and then it was only the cat.",
        "<p>She closed the door and waited.</p> Nobody came until the morning, and then it was only the cat.",
        "Shе clоsed the dооr аnd waited. Nobody came until the morning, and then it was only the cat.",
        "She closed the door and waited. Nobody came until the morning, and then it was only the cat. Then the",
    ],
)
def test_one_text_collected_in_ten_ways_is_one_text(collected: str) -> None:
    assert normalise(collected) == PLAIN


def test_quotes_dashes_and_tokeniser_spacing_are_made_alike() -> None:
    assert normalise("“I do n't know”—she said…") == '"I don\'t know" - she said...'
    assert normalise("``I don't know''--she said...") == '"I don\'t know" - she said...'


def test_hyphens_slashes_and_quotes_that_a_tokeniser_spaced_are_closed_and_dashes_are_not() -> None:
    spaced = 'The well - known cat , it is said , sat on his / her mat . " No , " he said — " not mine " .'
    assert normalise(spaced) == 'The well-known cat, it is said, sat on his/her mat. "No," he said - "not mine".'
    for typed in ("The cat - well known in town - sat on the mat.", "I went - you know ... and then ... home - late."):
        assert normalise(typed) == typed.replace(" ...", "...")


def test_a_latex_command_is_no_written_out_line_break() -> None:
    assert normalise(r"The mass of \nu is small.") == r"The mass of \nu is small."


def test_only_the_first_words_count_and_a_huge_text_is_cut_first() -> None:
    assert len(normalise("word " * 3_000_000).split()) == MAX_WORDS


def test_a_text_that_starts_in_mid_sentence_loses_the_fragment_only_when_it_is_short() -> None:
    rest = "The second sentence is long enough to keep the rest of the text in place. And so is the third one."
    assert normalise(f"of the town. {rest}") == rest
    assert normalise("of the town. Yes.") == "of the town. Yes."


def test_cyrillic_stays_cyrillic() -> None:
    russian = "Она закрыла дверь и ждала."
    assert visible(russian) == russian
    assert latin_share(russian) == 0.0
    assert latin_share("...") == 0.0


@given(st.text(max_size=400))
def test_any_text_normalises_to_one_line_of_visible_characters(text: str) -> None:
    done = normalise(text)
    assert "\n" not in done
    assert "\u200b" not in done
    assert len(done.split()) <= MAX_WORDS


def test_the_empty_text_is_legal() -> None:
    assert normalise("") == ""

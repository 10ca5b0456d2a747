"""Text hygiene: what is stripped, what is kept, and that doing it twice changes nothing more."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.corpus.hygiene import Found, clean

ZWSP, ZWJ, ZWNJ, VS1, VS16 = "\u200b", "\u200d", "\u200c", "\ufe00", "\ufe0f"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("a\r\nb\rc", "a\nb\nc"),
        ("e\u0301", "\u00e9"),
        ("na\u00efve \u201cquotes\u201d \u2014 dash", "na\u00efve \u201cquotes\u201d \u2014 dash"),
        # A family emoji is people joined by ZWJ; Persian writes ZWNJ inside words; one selector chooses a glyph.
        ("\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f467"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
    ],
)
def test_ordinary_text_keeps_its_characters(raw: str, expected: str) -> None:
    assert clean(raw) == (expected, None)


@pytest.mark.parametrize(
    ("raw", "expected", "found"),
    [
        ("a\0b", "ab", Found(nul=1, zero_width=0, variation_selectors=0)),
        (f"wa{ZWSP}ter{ZWNJ}mark\ufeff", "watermark", Found(nul=0, zero_width=3, variation_selectors=0)),
        (f"hi{VS1}{VS16}{VS1}!", "hi!", Found(nul=0, zero_width=0, variation_selectors=3)),
        # Stripping the space brings the joiner next to a Latin letter.
        (f"a{ZWSP}{ZWJ}", "a", Found(nul=0, zero_width=2, variation_selectors=0)),
    ],
)
def test_invisible_characters_are_stripped_and_counted(raw: str, expected: str, found: Found) -> None:
    assert clean(raw) == (expected, found)


@given(
    st.text(
        alphabet=st.sampled_from(
            ["a", "é", "e", "\u0301", "\r", "\n", "\0", ZWSP, ZWJ, ZWNJ, VS1, VS16, "\U000e0041", "م"]
        )
    )
)
def test_cleaning_is_idempotent_normal_and_counts_what_it_takes(raw: str) -> None:
    text, found = clean(raw)
    assert clean(text) == (text, None)
    assert unicodedata.is_normalized("NFC", text)
    assert "\r" not in text
    assert "\0" not in text
    assert (found is None) or found.total > 0

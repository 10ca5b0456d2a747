"""Text hygiene: what is stripped, what is kept, and that doing it twice changes nothing more."""

import sys
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.corpus.hygiene import Found, clean, is_plain

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


def test_every_character_that_is_called_plain_is_left_alone_in_any_order() -> None:
    plain = [c for c in map(chr, range(sys.maxunicode + 1)) if not _is_surrogate(c) and is_plain(c.encode())]
    assert {"a", "é", "\u2019", "\u2014"} <= set(plain)
    assert not {"\r", "\0", ZWSP, ZWJ, VS1, "\u0301", "\u212b"} & set(plain)
    # NFC depends on neighbours only through characters that combine or compose: none of these does either.
    composing = set("".join(_decomposed_tails()))
    for c in plain:
        assert unicodedata.combining(c) == 0
        assert c not in composing
        assert clean(c) == (c, None)


def _is_surrogate(c: str) -> bool:
    return "\ud800" <= c <= "\udfff"


def _decomposed_tails() -> Iterator[str]:
    """What follows the first character in each canonical decomposition: all that can compose with what is before."""
    for c in map(chr, range(sys.maxunicode + 1)):
        mapping = unicodedata.decomposition(c)
        if mapping and not mapping.startswith("<"):
            yield "".join(chr(int(code, 16)) for code in mapping.split()[1:])


@given(
    st.text(alphabet=st.sampled_from(["a", "e", "é", "ß", "\u2019", "\u2026", "\r", "\0", "\u0301", ZWSP, VS1, "م"]))
)
def test_a_text_that_is_called_plain_is_one_that_cleaning_leaves_alone(raw: str) -> None:
    if is_plain(raw.encode()):
        assert clean(raw) == (raw, None)

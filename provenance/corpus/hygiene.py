"""Text hygiene before hashing: NFC, line ends, NUL, invisible characters. Knows one text at a time.

What is stripped is counted, because invisible runs are a known carrier of hidden marks (C2PA text wrappers write
variation selectors; watermark removers leave zero-width characters), and so are evidence about the writer.
"""

import re
import unicodedata
from dataclasses import dataclass

# Zero-width joiner and non-joiner are orthography in Arabic, Indic scripts and emoji; after a Latin letter they are not
# written by hand.
_ZERO_WIDTH = re.compile("[\u180e\u200b\u2060\ufeff\U000e0000-\U000e007f]|(?<=[\\x00-\u024f])[\u200c\u200d]+")
# Accented Latin, quotes, dashes, bullets: whatever their order, with ASCII between, they are in NFC and visible.
_PLAIN = re.compile("[\x80-\u02ff\u2010-\u2027]*")
_PLAIN_ASCII = bytes(byte for byte in range(1, 128) if byte != ord("\r"))
# One variation selector chooses a glyph; a run of them chooses nothing and carries data.
_SELECTOR_RUN = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How many characters of each kind were stripped."""

    nul: int
    zero_width: int
    variation_selectors: int

    @property
    def total(self) -> int:
        """All stripped characters."""
        return self.nul + self.zero_width + self.variation_selectors


def is_plain(encoded: bytes) -> bool:
    """True only where `clean` would change nothing: a quick look at UTF-8 that spares most texts the careful one."""
    if encoded.isascii():
        return b"\r" not in encoded and b"\0" not in encoded
    return _PLAIN.fullmatch(encoded.translate(None, _PLAIN_ASCII).decode()) is not None


def clean(text: str) -> tuple[str, Found | None]:
    """The text as it is hashed and kept, and what was stripped from it (None: nothing). Idempotent."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    nul = 0
    if "\0" in text:
        nul = text.count("\0")
        text = text.replace("\0", "")
    zero_width = selectors = 0
    if not text.isascii():
        # Stripping brings new neighbours together, which can compose or be stripped in turn: repeat until it is still.
        while True:
            if not unicodedata.is_normalized("NFC", text):
                text = unicodedata.normalize("NFC", text)
            if not _may_hold_invisible(text):
                break
            before = len(text)
            text = _SELECTOR_RUN.sub("", text)
            selectors += before - len(text)
            between = len(text)
            text = _ZERO_WIDTH.sub("", text)
            zero_width += between - len(text)
            if len(text) == before:
                break
    if nul or zero_width or selectors:
        return text, Found(nul=nul, zero_width=zero_width, variation_selectors=selectors)
    return text, None


def _may_hold_invisible(text: str) -> bool:
    """False when no pattern can match: a few memory searches, a hundred times faster than the patterns."""
    encoded = text.encode(errors="surrogatepass")
    return (
        "\u200b" in text
        or "\u200c" in text
        or "\u200d" in text
        or "\u2060" in text
        or "\ufeff" in text
        or "\u180e" in text
        # The UTF-8 beginnings of variation selectors and of the tag block, each searched by its rarest byte first.
        or (b"\xef" in encoded and b"\xef\xb8" in encoded)
        or (b"\xf3" in encoded and b"\xf3\xa0" in encoded)
    )

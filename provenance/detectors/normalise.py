"""The one normaliser of training and scoring: takes out what a collector leaves in a text. Knows no detector.

Line breaks alone tell human from model at AUROC 0.98 in one public data set, because one side was scraped and the other
was not. So line breaks, markup, quote and dash styles, tokeniser spacing, partial sentences and length are made alike
before a detector reads a text. Guards (`if "<" in text`) are there for speed: a substring test is 50 times cheaper than
a regular expression that finds nothing.
"""

import html
import re
import unicodedata

NORMALISER_VERSION = 3
"""Part of every detector's version: a text normalised otherwise gets another score."""
MAX_WORDS = 200

_WINDOW_CHARS_PER_WORD = 10
# Cyrillic and Greek letters that look like Latin ones: the homoglyph attack writes English with them.
_LOOKALIKES = "аеорсухіјѕһԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧАВЕКМНОРСТХІЈЅοϲ"
_HOMOGLYPHS = str.maketrans(dict(zip(_LOOKALIKES, "aeopcyxijshdqwABEZHIKMNOPTYXABEKMHOPCTXIJSoc", strict=True)))
_NOT_LATIN = re.compile(r"[\u0370-\u052f]")
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e"
    r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′´ʼ", "'"),
        **dict.fromkeys("“”„‟«»″", '"'),
        **dict.fromkeys("–—―‒", " - "),
        **dict.fromkeys("‐‑", "-"),
        **dict.fromkeys("•·▪●◦‣", " "),
        "…": "...",
    }
)
_LINE_LEAD = re.compile(r"^[ \t]*(?:[>#]+|[-*+•]|\(?\d{1,2}[.)])[ \t]+", re.MULTILINE)
# Line breaks that an export wrote out: \\n, but not the \\nu of LaTeX.
_WRITTEN_BREAK = re.compile(r"(?:\\r)?\\n(?![a-z])")
_LINK = re.compile(r"!?\[([^\]\n]{0,200})\]\([^)\n]{0,400}\)")
_URL = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\w+")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
_DASH = re.compile(r"\s*-{2,}\s*")
# Penn Treebank spacing ("do n't", "word ,", "`` quoted ''") marks the tokeniser, not the writer.
_SPACED_CLITIC = re.compile(r" (n't|'(?:s|re|ve|ll|d|m))\b", re.IGNORECASE)
_SPACED_POINT = re.compile(r" ([,.;:!?%)\]])")
_ALONE_POINT = re.compile(r" [.,](?=\s|$)")
_SPACED_JOIN = re.compile(r"(?<=[A-Za-z0-9]) ([-/]) (?=[A-Za-z0-9])")
_SPACED_QUOTE = re.compile(r'(?<!\S)" ([^"\n]{1,300}?) "(?!\w)')
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?= |$)")


def visible(text: str) -> str:
    """`text` without invisible characters and with look-alike letters written in Latin, if it is mostly Latin."""
    if not text.isascii() and not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    text = _INVISIBLE.sub("", text)
    if not text.isascii() and _NOT_LATIN.search(text) and latin_share(text) > 0.5:
        text = text.translate(_HOMOGLYPHS)
    return text


def latin_share(text: str) -> float:
    """The share of `text`'s letters that are ASCII letters; 0.0 where there are none."""
    letters = [c for c in text if c.isalpha()]
    return sum(c.isascii() for c in letters) / len(letters) if letters else 0.0


def normalise(text: str, max_words: int = MAX_WORDS) -> str:
    """The first `max_words` words of `text` as plain running text on one line, whole sentences where possible."""
    text = _plain(visible(text[: _WINDOW_CHARS_PER_WORD * max_words]))
    words = text.split()
    text = " ".join(words[:max_words])
    if " '" in text or " n't" in text or " N'T" in text:
        text = _SPACED_CLITIC.sub(r"\1", text)
    if " ," in text or " ." in text:
        text = _SPACED_POINT.sub(r"\1", text).replace("( ", "(").replace("[ ", "[")
    return _whole_sentences(text)


def _plain(text: str) -> str:
    """Markup, links and typographic variants taken out."""
    # Before dashes are written as " - ": a tokenised hyphen would pass for one. A single spaced point is a slip.
    if (" ," in text or " ." in text) and len(_ALONE_POINT.findall(text)) >= 2:
        text = _SPACED_QUOTE.sub(r'"\1"', _SPACED_JOIN.sub(r"\1", text))
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    if "://" in text or "www." in text or "@" in text:
        text = _URL.sub(" ", text)
    if "\\n" in text:
        text = _WRITTEN_BREAK.sub("\n", text)
    if "\n" in text or text[:1] in ">#-*+•(0123456789":
        text = _LINE_LEAD.sub("", text)
    if not text.isascii():
        text = text.translate(_TYPOGRAPHY)
    if "--" in text:
        text = _DASH.sub(" - ", text)
    text = text.replace("``", '"').replace("''", '"').replace("`", "'")
    for mark in "*_#~|":
        text = text.replace(mark, " ")
    return text


def _whole_sentences(text: str) -> str:
    """Drop a sentence cut at the start or the end, as long as most of the text stays."""
    if text and text[-1] not in ".!?\"')]":
        end = max(text.rfind(mark) for mark in (". ", "! ", "? ", '." ', '!" ', '?" '))
        if end >= 0.6 * len(text):
            text = text[: end + 1]
    if text[:1].islower():
        start = _SENTENCE_END.search(text)
        if start is not None and start.end() < 0.25 * len(text):
            text = text[start.end() :].lstrip()
    return text

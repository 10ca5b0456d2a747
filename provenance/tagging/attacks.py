"""Ways to disguise a text, for measuring what they cost a detector. Knows texts and a random stream; no detector.

None of these is a paraphrase by a language model (DIPPER and the like), which costs published detectors the most.
"""

import re
from collections.abc import Callable

import numpy as np

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_HOMOGLYPHS = str.maketrans("aeopcxiy", "аеорсхіу")
_REWORDED = {
    "however": "but", "moreover": "also", "furthermore": "also", "additionally": "also", "utilize": "use",
    "utilizes": "uses", "numerous": "many", "significant": "big", "significantly": "a lot", "demonstrate": "show",
    "demonstrates": "shows", "demonstrating": "showing", "obtain": "get", "purchase": "buy", "require": "need",
    "requires": "needs", "assist": "help", "ensure": "make sure", "ensures": "makes sure", "provide": "give",
    "provides": "gives", "large": "big", "small": "little", "begin": "start", "began": "started", "important": "key",
    "essential": "key", "crucial": "key", "various": "different", "enhance": "improve", "enhances": "improves",
    "therefore": "so", "thus": "so", "although": "though", "individuals": "people", "approximately": "about",
    "difficult": "hard", "challenging": "hard", "beautiful": "lovely", "quickly": "fast", "observe": "see",
    "observed": "saw", "discover": "find", "discovered": "found", "explore": "look at", "remarkable": "striking",
    "delicious": "tasty", "ultimately": "in the end", "within": "in", "upon": "on", "many": "a lot of",
    "it is": "it's", "do not": "don't", "does not": "doesn't", "cannot": "can't", "i am": "i'm", "we are": "we're",
}  # fmt: skip
_REWORD = re.compile(r"\b(" + "|".join(sorted(_REWORDED, key=len, reverse=True)) + r")\b", re.IGNORECASE)

Attack = Callable[[str, np.random.Generator], str]


def _delete_words(text: str, rng: np.random.Generator) -> str:
    """One word in ten goes."""
    words = text.split(" ")
    return " ".join(word for word, kept in zip(words, rng.random(len(words)) >= 0.1, strict=True) if kept)


def _swap_words(text: str, rng: np.random.Generator) -> str:
    """One word in ten changes places with its neighbour."""
    words = text.split(" ")
    for i in np.flatnonzero(rng.random(max(len(words) - 1, 0)) < 0.1).tolist():
        words[i], words[i + 1] = words[i + 1], words[i]
    return " ".join(words)


def _reword(text: str, rng: np.random.Generator) -> str:
    """Common formal words become plain ones, and sentences change order."""
    sentences = _SENTENCE.split(_REWORD.sub(lambda match: _REWORDED[match.group(0).lower()], text))
    for i in np.flatnonzero(rng.random(max(len(sentences) - 1, 0)) < 0.3).tolist():
        sentences[i], sentences[i + 1] = sentences[i + 1], sentences[i]
    return " ".join(sentences)


def _homoglyphs(text: str, rng: np.random.Generator) -> str:
    """Three words in ten are written with Cyrillic look-alikes."""
    words = text.split(" ")
    chosen = rng.random(len(words)) < 0.3
    return " ".join(word.translate(_HOMOGLYPHS) if hit else word for word, hit in zip(words, chosen, strict=True))


def _whitespace(text: str, rng: np.random.Generator) -> str:
    """Double spaces, line breaks and zero-width spaces come in."""
    words = text.split(" ")
    marks = np.array([" ", "  ", "\n", " \u200b"])[rng.integers(0, 4, len(words))]
    return "".join(word + mark for word, mark in zip(words, marks.tolist(), strict=True))


def _truncate(text: str, _rng: np.random.Generator) -> str:
    """The second half is cut off."""
    words = text.split(" ")
    return " ".join(words[: max(1, len(words) // 2)])


def _lower_case(text: str, _rng: np.random.Generator) -> str:
    """Capitals go."""
    return text.lower()


def _misspell(text: str, rng: np.random.Generator) -> str:
    """In one long word of ten two letters change places."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 4 and word[1] != word[2]]
    for i, hit in zip(long, rng.random(len(long)) < 0.1, strict=True):
        if hit:
            words[i] = words[i][0] + words[i][2] + words[i][1] + words[i][3:]
    return " ".join(words)


ATTACKS: dict[str, Attack] = {
    "delete_words": _delete_words,
    "homoglyphs": _homoglyphs,
    "lower_case": _lower_case,
    "misspell": _misspell,
    "reword": _reword,
    "swap_words": _swap_words,
    "truncate": _truncate,
    "whitespace": _whitespace,
}

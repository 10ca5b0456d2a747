"""The `boilerplate` detector: phrases and characters an assistant leaves behind when its answer is pasted unread.

Rules, not weights: rare, and nearly certain when they hit. No hit says nothing, so the score is then 0, never negative.
"""

import re
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from provenance.types import EvidenceKind

_PHRASES = (
    # What only an assistant says of itself or to its user.
    (r"\bas an? (?:ai|artificial intelligence|large)(?: language)?(?: model| assistant)\b", 3.0),
    (r"\bi(?:'m| am) (?:just )?an? (?:ai|artificial intelligence|language model)\b", 3.0),
    (r"\bmy (?:knowledge cutoff|last (?:knowledge )?update|training data)\b", 3.0),
    (r"\bi (?:cannot|can't|am unable to|'m not able to) (?:fulfill|assist with|help with|comply with|provide) ", 2.0),
    (r"\bi (?:do not|don't) have (?:personal (?:opinions|experiences|feelings|beliefs)|access to real-time)", 3.0),
    (r"\bregenerate response\b", 3.0),
    (r"^(?:sure|certainly|absolutely|of course)[!,.] (?:here(?:'s| is| are)|i(?:'d| would| can))", 2.5),
    (
        r"^here(?:'s| is) (?:an?|the|your) (?:[\w-]+ ){0,5}(?:version|summary|draft|story|essay|response)\b[^.]{0,60}:",
        2.0,
    ),
    (r"\b(?:let me know|feel free to (?:ask|reach out)) if (?:you(?:'d| would) like|you have any)", 0.7),
    (r"\bi hope this (?:helps|email finds you well|message finds you well)\b", 0.5),
    (r"\[(?:your|insert|company|recipient)[ '][^\]]{2,30}\]", 1.5),
    (r"\b(?:turn\d+(?:search|view|news|file)\d+|oaicite|contentreference|utm_source=chatgpt\.com)", 4.0),
    (r"<\|(?:im_start|im_end|endoftext|assistant|eot_id)\|>|\[/?INST\]", 3.5),
)  # fmt: skip
_RULES = tuple((re.compile(pattern, re.IGNORECASE | re.MULTILINE), weight) for pattern, weight in _PHRASES)
# Tags, private-use and word-joiner characters that chat interfaces emit and keyboards do not.
_ODD_CHARACTERS = re.compile("[\u2060\u2061-\u2064\ue200-\ue206\U000e0001-\U000e007f]")
_ODD_WEIGHT = 2.0
_MOST = 6.0
_SCANNED_CHARS = 20_000


class Boilerplate:
    """The score is a sum of rule weights, in nats, at most 6."""

    name: ClassVar[str] = "boilerplate"
    version: ClassVar[str] = "1"
    kind: ClassVar[EvidenceKind] = EvidenceKind.HYGIENE
    score_is: ClassVar[str] = "log_lr"

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """0.0 where no rule hits; never abstains, because a hit in a short text counts as well."""
        return np.array([self._score(text) for text in texts], dtype=np.float64)

    def matches(self, text: str) -> list[str]:
        """The pieces of `text` that rules hit; for explaining."""
        scanned = _scanned(text)
        found = [match.group(0) for rule, _ in _RULES if (match := rule.search(scanned))]
        if _ODD_CHARACTERS.search(scanned):
            found.append("invisible or private-use characters")
        return found

    def _score(self, text: str) -> float:
        scanned = _scanned(text)
        total = sum(weight for rule, weight in _RULES if rule.search(scanned))
        if not scanned.isascii() and _ODD_CHARACTERS.search(scanned):
            total += _ODD_WEIGHT
        return min(total, _MOST)


def _scanned(text: str) -> str:
    """Head and tail: that is where leftovers are, and a 10 MB document costs no more than a page."""
    if len(text) > _SCANNED_CHARS:
        text = text[: _SCANNED_CHARS // 2] + "\n" + text[-_SCANNED_CHARS // 2 :]
    return text.replace("’", "'")

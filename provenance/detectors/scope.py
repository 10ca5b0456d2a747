"""Which texts a detector trained on English prose may judge at all. Knows tokens; no scores, no labels."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from provenance.detectors.tokens import MARK, WORD, Tokens

MIN_WORDS = 30
_MAX_NON_ASCII = 0.3
_MIN_FUNCTION_SHARE = 0.2
_MIN_WORD_SHARE = 0.4


class Abstention(IntEnum):
    """Why a detector gives no score."""

    NONE = 0
    SHORT = 1
    """Fewer than MIN_WORDS words: detection falls to chance there."""
    SCRIPT = 2
    """Mostly not written in Latin letters."""
    LANGUAGE = 3
    """Too few English function words: another language, a list, code, or noise."""


def abstentions(tokens: Tokens) -> NDArray[np.int8]:
    """One Abstention per text, NONE where it may be scored."""
    starts, stops = tokens.first[:-1], tokens.first[1:]
    is_word = tokens.kind == WORD
    words = _sums(is_word, starts, stops)
    non_ascii = _sums(tokens.buffer >= 128, tokens.bytes_first[:-1], tokens.bytes_first[1:])
    size = np.maximum(tokens.bytes_first[1:] - tokens.bytes_first[:-1], 1)
    function_share = _sums(tokens.function >= 0, starts, stops) / np.maximum(words, 1)
    word_share = words / np.maximum(
        _sums(tokens.kind != MARK, starts, stops) + _sums(tokens.kind == MARK, starts, stops), 1
    )
    out = np.zeros(len(starts), dtype=np.int8)
    out[(function_share < _MIN_FUNCTION_SHARE) | (word_share < _MIN_WORD_SHARE)] = Abstention.LANGUAGE
    out[words < MIN_WORDS] = Abstention.SHORT
    # Script comes last: 40 Chinese sentences are one "word" per sentence and would read as short.
    out[non_ascii / size > _MAX_NON_ASCII] = Abstention.SCRIPT
    return out


def _sums(values: NDArray[np.bool_], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of `values[starts[i]:stops[i]]` are true, for every i."""
    total = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=total[1:])
    return total[stops] - total[starts]

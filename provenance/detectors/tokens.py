"""One pass over normalised text into tokens: the kernel under every fast detector. Knows bytes, no labels, no model.

A token is a word, a number or a punctuation mark. Each carries the hash of its lower-case bytes, and a mask: the hash
itself for function words and marks, otherwise only a class of ending, case and length. N-grams over masks keep how a
text is put together and drop what it is about (text distortion, Stamatatos 2017).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.dedup.jit import helper, kernel
from provenance.detectors.words import FUNCTION_WORDS, LEXICA, SUFFIXES

WORD, NUMBER, MARK = 0, 1, 2
LOWER, CAPITAL, UPPER = 0, 1, 2

_FNV_OFFSET = np.uint64(14695981039346656037)
_FNV_PRIME = np.uint64(1099511628211)
_TABLE_SIZE = 4096
_MAX_SUFFIX = 4


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a batch of texts, as parallel arrays; text i owns `first[i]:first[i + 1]`."""

    buffer: NDArray[np.uint8]
    bytes_first: NDArray[np.int64]
    first: NDArray[np.int64]
    hash: NDArray[np.uint64]
    mask: NDArray[np.uint64]
    kind: NDArray[np.uint8]
    case: NDArray[np.uint8]
    length: NDArray[np.int32]
    mark: NDArray[np.uint8]
    """The byte of a punctuation mark; 0 for words and numbers."""
    function: NDArray[np.int16]
    """Index into FUNCTION_WORDS, -1 where it is none."""
    families: NDArray[np.uint16]
    """Bit k is set where the word is in the k-th family of LEXICA."""


def tokenise(texts: Sequence[str]) -> Tokens:
    """The tokens of normalised `texts`."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    bytes_first = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(e) for e in encoded], out=bytes_first[1:])
    buffer = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    words, suffixes = _tables()
    first, total, *columns = _tokenise(buffer, bytes_first, *words, *suffixes)
    return Tokens(buffer, bytes_first, first, *(column[:total] for column in columns))


@helper
def mix(value: np.uint64) -> np.uint64:
    """Spread the bits of `value` over all 64 (the finaliser of splitmix64)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def hash_word(word: str) -> np.uint64:
    """The hash the kernel gives to the lower-case `word`."""
    value = int(_FNV_OFFSET)
    for byte in word.encode():
        value = ((value ^ byte) * int(_FNV_PRIME)) % 2**64
    return np.uint64(value)


Table = tuple[NDArray[np.uint64], NDArray[np.int64]]


@cache
def _tables() -> tuple[tuple[NDArray[np.uint64], NDArray[np.int16], NDArray[np.uint16]], Table]:
    """Open-addressing tables: word hash to function index and family bits, suffix hash to suffix number."""
    function: dict[int, int] = {}
    families: dict[int, int] = {}
    for index, word in enumerate(FUNCTION_WORDS):
        function.setdefault(int(hash_word(word)), index)
    for bit, words in enumerate(LEXICA.values()):
        for word in words:
            key = int(hash_word(word))
            families[key] = families.get(key, 0) | 1 << bit
    keys = sorted(function.keys() | families.keys())
    slots, place = _open_addressing(keys)
    function_of = np.full(_TABLE_SIZE, -1, dtype=np.int16)
    families_of = np.zeros(_TABLE_SIZE, dtype=np.uint16)
    for key in keys:
        function_of[place[key]] = function.get(key, -1)
        families_of[place[key]] = families.get(key, 0)
    suffix_keys = [int(hash_word(suffix)) for suffix in SUFFIXES]
    suffix_slots, suffix_place = _open_addressing(suffix_keys)
    suffix_of = np.zeros(_TABLE_SIZE, dtype=np.int64)
    for number, key in enumerate(suffix_keys, start=1):
        suffix_of[suffix_place[key]] = number
    return (slots, function_of, families_of), (suffix_slots, suffix_of)


def _open_addressing(keys: list[int]) -> tuple[NDArray[np.uint64], dict[int, int]]:
    slots = np.zeros(_TABLE_SIZE, dtype=np.uint64)
    place: dict[int, int] = {}
    for key in keys:
        slot = key % _TABLE_SIZE
        while slots[slot] != 0:
            slot = (slot + 1) % _TABLE_SIZE
        slots[slot] = key
        place[key] = slot
    return slots, place


@helper
def _find(slots: NDArray[np.uint64], key: np.uint64) -> np.int64 | int:
    """The slot of `key`, or -1."""
    slot = np.int64(key & np.uint64(_TABLE_SIZE - 1))
    while slots[slot] != np.uint64(0):
        if slots[slot] == key:
            return slot
        slot = (slot + 1) & (_TABLE_SIZE - 1)
    return -1


@helper
def _is_letter(byte: int) -> bool:
    return (97 <= byte <= 122) or (65 <= byte <= 90) or byte >= 128


@kernel
def _tokenise(  # noqa: PLR0912, PLR0915
    buffer: NDArray[np.uint8],
    bytes_first: NDArray[np.int64],
    slots: NDArray[np.uint64],
    function_of: NDArray[np.int16],
    families_of: NDArray[np.uint16],
    suffix_slots: NDArray[np.uint64],
    suffix_of: NDArray[np.int64],
) -> tuple[Any, ...]:
    num_texts = len(bytes_first) - 1
    capacity = len(buffer)
    first = np.zeros(num_texts + 1, dtype=np.int64)
    hashes = np.empty(capacity, dtype=np.uint64)
    masks = np.empty(capacity, dtype=np.uint64)
    kinds = np.empty(capacity, dtype=np.uint8)
    cases = np.zeros(capacity, dtype=np.uint8)
    lengths = np.empty(capacity, dtype=np.int32)
    marks = np.zeros(capacity, dtype=np.uint8)
    functions = np.empty(capacity, dtype=np.int16)
    families = np.empty(capacity, dtype=np.uint16)
    n = 0
    for text in range(num_texts):
        i, end = bytes_first[text], bytes_first[text + 1]
        while i < end:
            byte = buffer[i]
            if byte <= 32:
                i += 1
                continue
            start = i
            functions[n] = -1
            families[n] = 0
            cases[n] = LOWER
            marks[n] = 0
            if _is_letter(byte):
                value = _FNV_OFFSET
                upper = 0
                while i < end:
                    byte = buffer[i]
                    # An apostrophe between letters belongs to the word: don't, it's.
                    inside = byte == 39 and i + 1 < end and _is_letter(buffer[i + 1])
                    if not _is_letter(byte) and not inside:
                        break
                    if 65 <= byte <= 90:
                        upper += 1
                        byte += 32
                    value = (value ^ np.uint64(byte)) * _FNV_PRIME
                    i += 1
                length = i - start
                if upper:
                    cases[n] = UPPER if upper > 1 and upper == length else CAPITAL
                kinds[n] = WORD
                hashes[n] = value
                slot = _find(slots, value)
                if slot >= 0:
                    functions[n] = function_of[slot]
                    families[n] = families_of[slot]
                if functions[n] >= 0:
                    masks[n] = value
                else:
                    suffix = 0
                    for size in range(min(_MAX_SUFFIX, length - 2), 0, -1):
                        ending = _FNV_OFFSET
                        for j in range(i - size, i):
                            byte = buffer[j]
                            if 65 <= byte <= 90:
                                byte += 32
                            ending = (ending ^ np.uint64(byte)) * _FNV_PRIME
                        slot = _find(suffix_slots, ending)
                        if slot >= 0:
                            suffix = suffix_of[slot]
                            break
                    bucket = 0 if length <= 4 else (1 if length <= 7 else 2)
                    masks[n] = np.uint64(1 + suffix * 16 + bucket * 4 + cases[n])
            elif 48 <= byte <= 57:
                while i < end and (
                    48 <= buffer[i] <= 57
                    or ((buffer[i] == 44 or buffer[i] == 46) and i + 1 < end and 48 <= buffer[i + 1] <= 57)
                ):
                    i += 1
                kinds[n] = NUMBER
                # How long a number is counts; which number it is would be about the topic.
                hashes[n] = np.uint64(2000 + min(i - start, 6))
                masks[n] = np.uint64(2000)
            else:
                while i < end and buffer[i] == byte and i - start < 3:
                    i += 1
                kinds[n] = MARK
                marks[n] = byte
                hashes[n] = np.uint64(1000 + byte * 4 + (i - start))
                masks[n] = hashes[n]
            lengths[n] = i - start
            n += 1
        first[text + 1] = n
    return first, n, hashes, masks, kinds, cases, lengths, marks, functions, families

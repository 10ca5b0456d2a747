"""How a text is written, as about 400 dense numbers: words of its grammar, punctuation, rhythm, variety. No labels.

Every feature is a rate, a mean or a share, so a longer text does not score otherwise for being longer; counts that grow
with length by nature (variety of words) are taken over a fixed number of words.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.dedup.jit import helper, kernel
from provenance.detectors.tokens import CAPITAL, NUMBER, UPPER, WORD, Tokens
from provenance.detectors.words import FUNCTION_WORDS, LEXICA

MARKS = ".,;:!?'\"()-/&%$"
_SHAPE = (
    "words_per_sentence", "words_per_sentence_sd", "words_per_sentence_min", "words_per_sentence_max", "sentence_cv",
    "neighbour_sentence_difference", "letters_per_word", "letters_per_word_sd", "long_words", "short_words",
    "capitals_inside", "all_capitals", "lower_after_stop", "numbers", "contractions", "possessives", "n_t",
    "ends_ing", "ends_ed", "ends_ly", "ends_tion", "ends_ity", "ends_s", "comma_ing", "comma_and", "marks_per_word",
    "commas_per_sentence", "variety_50", "variety_100", "hapax_100", "repeat_bigram", "repeat_trigram",
    "same_sentence_start", "capital_sentence_start_ing", "function_share", "non_ascii", "ellipsis", "double_exclaim",
    "run_on", "first_word_the", "pronoun_start", "hyphenated", "family_any",
)  # fmt: skip
_LENGTHS = 14

STYLE_FEATURES: tuple[str, ...] = (
    *(f"word:{word}" for word in FUNCTION_WORDS),
    *(f"family:{family}" for family in LEXICA),
    *(f"mark:{mark}" for mark in MARKS),
    *(f"length:{length}" for length in range(1, _LENGTHS + 1)),
    *(f"shape:{name}" for name in _SHAPE),
)
_NUM_FUNCTION, _NUM_FAMILIES, _NUM_MARKS = len(FUNCTION_WORDS), len(LEXICA), len(MARKS)
_MARK_BYTES = np.frombuffer(MARKS.encode(), dtype=np.uint8)
_PRONOUNS = np.array([FUNCTION_WORDS.index(w) for w in ("i", "he", "she", "it", "they", "we", "you")], dtype=np.int16)
_THE, _AND = FUNCTION_WORDS.index("the"), FUNCTION_WORDS.index("and")


def style_matrix(tokens: Tokens) -> NDArray[np.float32]:
    """float32[texts, STYLE_FEATURES]: one row per text, zeros for a text without words."""
    out = np.zeros((len(tokens.first) - 1, len(STYLE_FEATURES)), dtype=np.float32)
    _fill(
        tokens.buffer, tokens.bytes_first, tokens.first, tokens.hash, tokens.kind, tokens.case, tokens.length,
        tokens.mark, tokens.function, tokens.families, _MARK_BYTES, _PRONOUNS, out,
    )  # fmt: skip
    return out


@helper
def _distinct(
    words: NDArray[np.uint64],
    count: int,
    run: int,
    keys: NDArray[np.uint64],
    times: NDArray[np.int64],
) -> tuple[int, int]:
    """How many distinct runs of `run` words the first `count` words hold, and how many runs occur once.

    `keys` and `times` are an open-addressing table of a power of two larger than `count`.
    """
    last = len(keys) - 1
    for slot in range(len(times)):
        times[slot] = 0
    distinct, once = 0, 0
    for i in range(count - run + 1):
        key = np.uint64(0)
        for k in range(run):
            key = (key ^ words[i + k]) * np.uint64(0x9E3779B97F4A7C15)
        slot = int(key >> np.uint64(32)) & last
        while times[slot] != 0 and keys[slot] != key:
            slot = (slot + 1) & last
        if times[slot] == 0:
            keys[slot] = key
            distinct += 1
            once += 1
        elif times[slot] == 1:
            once -= 1
        times[slot] += 1
    return distinct, once


@helper
def _ends(buffer: NDArray[np.uint8], stop: int, a: int, b: int) -> bool:
    return stop >= 2 and (buffer[stop - 2] | 32) == a and (buffer[stop - 1] | 32) == b


@kernel
def _fill(  # noqa: PLR0912, PLR0915
    buffer: NDArray[np.uint8],
    bytes_first: NDArray[np.int64],
    first: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    cases: NDArray[np.uint8],
    lengths: NDArray[np.int32],
    marks: NDArray[np.uint8],
    functions: NDArray[np.int16],
    families: NDArray[np.uint16],
    mark_bytes: NDArray[np.uint8],
    pronouns: NDArray[np.int16],
    out: NDArray[np.float32],
) -> None:
    shape_at = _NUM_FUNCTION + _NUM_FAMILIES + _NUM_MARKS + _LENGTHS
    mark_at = _NUM_FUNCTION + _NUM_FAMILIES
    mark_of = np.full(256, -1, dtype=np.int64)
    for k in range(len(mark_bytes)):
        mark_of[mark_bytes[k]] = k
    longest = 1
    for text in range(len(first) - 1):
        longest = max(longest, first[text + 1] - first[text])
    table = 16
    while table < 2 * longest:
        table *= 2
    keys, times = np.zeros(table, dtype=np.uint64), np.zeros(table, dtype=np.int64)
    words = np.zeros(longest, dtype=np.uint64)
    sentence_words = np.zeros(longest + 1, dtype=np.int64)
    starts = np.zeros(longest + 1, dtype=np.uint64)
    for text in range(len(first) - 1):
        begin, stop = first[text], first[text + 1]
        row = out[text]
        starts[:] = 0
        num_words = num_marks = num_sentences = in_sentence = 0
        letters = letters_square = 0.0
        s = np.zeros(43, dtype=np.float64)
        position = bytes_first[text]
        for t in range(begin, stop):
            # Tokens do not store where they begin; walking the bytes once gives it back.
            while buffer[position] <= 32:
                position += 1
            end_byte = position + lengths[t]
            new_sentence = in_sentence == 0
            if kinds[t] == WORD:
                size = lengths[t]
                words[num_words] = hashes[t]
                num_words += 1
                letters += size
                letters_square += size * size
                row[mark_at + _NUM_MARKS + min(size, _LENGTHS) - 1] += 1
                if size >= 8:
                    s[8] += 1
                if size <= 3:
                    s[9] += 1
                if new_sentence:
                    starts[num_sentences] = hashes[t]
                    if cases[t] == 0:
                        s[12] += 1
                    if _ends(buffer, end_byte, 110, 103):
                        s[33] += 1
                    if functions[t] == _THE:
                        s[39] += 1
                    for p in pronouns:
                        if functions[t] == p:
                            s[40] += 1
                elif cases[t] == CAPITAL:
                    s[10] += 1
                if cases[t] == UPPER:
                    s[11] += 1
                if functions[t] >= 0:
                    row[functions[t]] += 1
                    s[34] += 1
                if families[t]:
                    s[42] += 1
                    for k in range(_NUM_FAMILIES):
                        if families[t] >> np.uint16(k) & np.uint16(1):
                            row[_NUM_FUNCTION + k] += 1
                for j in range(position, end_byte):
                    if buffer[j] == 39:
                        if j + 2 == end_byte and buffer[j + 1] | 32 == 115:
                            s[15] += 1
                        else:
                            s[14] += 1
                        if j + 2 == end_byte and buffer[j + 1] | 32 == 116:
                            s[16] += 1
                    if buffer[j] >= 128:
                        s[35] += 1
                        break
                if size > 4:
                    if _ends(buffer, end_byte, 110, 103) and buffer[end_byte - 3] | 32 == 105:
                        s[17] += 1
                        if t > begin and marks[t - 1] == 44:
                            s[23] += 1
                    elif _ends(buffer, end_byte, 101, 100):
                        s[18] += 1
                    elif _ends(buffer, end_byte, 108, 121):
                        s[19] += 1
                    elif _ends(buffer, end_byte, 111, 110):
                        s[20] += 1
                    elif _ends(buffer, end_byte, 116, 121):
                        s[21] += 1
                    elif buffer[end_byte - 1] | 32 == 115:
                        s[22] += 1
                if t > begin and marks[t - 1] == 44 and functions[t] == _AND:
                    s[24] += 1
                if t > begin and marks[t - 1] == 45 and position > bytes_first[text] and buffer[position - 1] == 45:
                    s[41] += 1
                in_sentence += 1
            elif kinds[t] == NUMBER:
                s[13] += 1
                in_sentence += 1
            else:
                num_marks += 1
                if mark_of[marks[t]] >= 0:
                    row[mark_at + mark_of[marks[t]]] += 1
                if lengths[t] > 1:
                    if marks[t] == 46:
                        s[36] += 1
                    elif marks[t] == 33 or marks[t] == 63:
                        s[37] += 1
                stops = marks[t] == 33 or marks[t] == 63 or marks[t] == 46
                # "e.g." and "3.5" do not end a sentence; a stop before a space does.
                if (
                    stops
                    and in_sentence > 0
                    and (end_byte >= bytes_first[text + 1] or buffer[end_byte] == 32 or buffer[end_byte] == 34)
                ):
                    sentence_words[num_sentences] = in_sentence
                    num_sentences += 1
                    in_sentence = 0
            position = end_byte
        if in_sentence > 0:
            sentence_words[num_sentences] = in_sentence
            num_sentences += 1
        if num_words == 0:
            row[:] = 0.0
            continue
        total, square, step, run_on = 0.0, 0.0, 0.0, 0
        shortest, longest_sentence = sentence_words[0], sentence_words[0]
        for k in range(num_sentences):
            size = sentence_words[k]
            total += size
            square += size * size
            shortest, longest_sentence = min(shortest, size), max(longest_sentence, size)
            if size > 40:
                run_on += 1
            if k > 0:
                step += abs(size - sentence_words[k - 1])
        mean = total / num_sentences
        spread = np.sqrt(max(square / num_sentences - mean * mean, 0.0))
        s[0], s[1], s[2], s[3] = np.log(mean), spread, np.log(shortest), np.log(longest_sentence)
        s[4] = spread / mean
        if num_sentences > 1:
            s[5] = step / (num_sentences - 1) / mean
        s[6] = letters / num_words
        s[7] = np.sqrt(max(letters_square / num_words - s[6] * s[6], 0.0))
        for k in (8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 34, 35, 36, 37, 41, 42):
            s[k] *= 100.0 / num_words
        for k in (12, 33, 39, 40):
            s[k] /= num_sentences
        s[25] = num_marks / num_words
        s[26] = row[mark_at + 1] / num_sentences
        size = min(50, num_words)
        s[27] = _distinct(words, size, 1, keys, times)[0] / size
        size = min(100, num_words)
        distinct, once = _distinct(words, size, 1, keys, times)
        s[28], s[29] = distinct / size, once / size
        if num_words > 2:
            s[30] = 1.0 - _distinct(words, num_words, 2, keys, times)[0] / (num_words - 1)
            s[31] = 1.0 - _distinct(words, num_words, 3, keys, times)[0] / (num_words - 2)
        s[32] = 1.0 - _distinct(starts, num_sentences, 1, keys, times)[0] / num_sentences
        s[38] = run_on / num_sentences
        for k in range(shape_at - _LENGTHS):
            row[k] *= 100.0 / num_words
        for k in range(shape_at - _LENGTHS, shape_at):
            row[k] /= num_words
        for k in range(len(s)):
            row[shape_at + k] = s[k]

"""The compiled loops from UTF-8 bytes to words, shingle hashes, signatures and shingle sets.

What they compute is defined in `reference.py`. They know Arrow's layout (one byte buffer, n + 1 offsets) and nothing
of documents, indexes or catalogs. One file, because numba's cache does not follow imports.
"""

from typing import Any

import numpy as np

from provenance.dedup.jit import (
    helper,
    kernel,
    load_u32,
    load_u64,
    popcount,
    special_mask,
    store_u64,
    trailing_zeros,
    white_mask,
)
from provenance.dedup.reference import MIX_MULTIPLIER, ROTATION, TOKEN_MULTIPLIER, UNSPACED

# numba infers every type inside a kernel; to mypy arrays and machine integers are opaque here.
Array = Any
Int = Any
u32: Any = np.uint32
u64: Any = np.uint64
i64: Any = np.int64

_ONE = u64(1)
_ALL = u64(0xFFFFFFFFFFFFFFFF)
_EIGHT = u64(8)
_UNSPACED = np.array(UNSPACED, dtype=np.int64)
_TOKEN, _MIX, _ROTATION = u64(TOKEN_MULTIPLIER), u64(MIX_MULTIPLIER), u64(ROTATION)
_P1, _P2, _P3, _P4, _P5 = (u32(p) for p in (2654435761, 2246822519, 3266489917, 668265263, 374761393))
_LONGEST_SORTED = 256
_SLACK = 48

LETTER, SPACE, WORD = 0, 1, 2
"""What a character is: part of a word, between words, or a word by itself."""


@helper
def _kind(code: Int) -> Int:
    if code < 0x80:
        return SPACE if 28 <= code <= 32 or 9 <= code <= 13 else LETTER
    if code < 0x0E00:
        return SPACE if code in (0x85, 0xA0) else LETTER
    if code in (0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000) or 0x2000 <= code <= 0x200A:
        return SPACE
    for i in range(_UNSPACED.shape[0]):
        if _UNSPACED[i, 0] <= code <= _UNSPACED[i, 1]:
            return WORD
    return LETTER


@helper
def _decode(data: Array, i: Int, end: Int) -> tuple[Int, Int]:
    """The code point at byte `i` and its width; bytes that are no UTF-8 count as letters of width 1."""
    first = i64(data[i])
    if first < 0x80:
        return first, 1
    width = 4 if first >= 0xF0 else 3 if first >= 0xE0 else 2 if first >= 0xC0 else 1
    if width == 1 or i + width > end:
        return 0xFFFD, 1
    code = first & (0x7F >> width)
    for k in range(1, width):
        code = (code << 6) | (i64(data[i + k]) & 0x3F)
    return code, width


@helper
def _split_slowly(data: Array, begin: Int, i: Int, stop: Int, end: Int, edges: Array, n: Int, inside: Int) -> Any:
    """`split_words` for the characters that begin in [i, stop), one at a time."""
    while i < stop:
        code, width = _decode(data, i, end)
        kind = _kind(code)
        if inside and kind != LETTER:
            edges[n] = i - begin
            n += 1
            inside = False
        if kind == WORD:
            edges[n] = i - begin
            edges[n + 1] = i + width - begin
            n += 2
        elif kind == LETTER and not inside:
            edges[n] = i - begin
            n += 1
            inside = True
        i += width
    return i, n, inside


@helper
def split_words(data: Array, begin: Int, end: Int, edges: Array) -> Int:
    """Find the words of one text; `edges[2k]` and `edges[2k + 1]` are where word k starts and ends. Returns how many.

    64 bytes a step: a byte is white or not, and every change between the two is an edge. Only characters that may be
    an unusual space or belong to an unspaced script are decoded, one at a time. `edges` has room for 40 more.
    """
    n = 0
    i = begin
    inside = False
    while i < end and i + 64 <= data.shape[0]:
        special = special_mask(data, u64(i))
        taken = min(i64(trailing_zeros(special)), end - i)
        if taken == 0:
            i, n, inside = _split_slowly(data, begin, i, i + 1, end, edges, n, inside)
            continue
        white = white_mask(data, u64(i))
        changes = white ^ ((white << _ONE) | (u64(0) if inside else _ONE))
        changes &= _ALL >> u64(64 - taken)
        inside = (white >> u64(taken - 1)) & _ONE == 0
        count = i64(popcount(changes))
        at = u64(i - begin)
        # Writes without a question, sixteen and then eight more: slots past the count are overwritten later.
        for k in range(16):
            edges[n + k] = at + trailing_zeros(changes)
            changes &= changes - _ONE
        k = n + 16
        while changes:
            for q in range(8):
                edges[k + q] = at + trailing_zeros(changes)
                changes &= changes - _ONE
            k += 8
        n += count
        i += taken
    i, n, inside = _split_slowly(data, begin, i, end, end, edges, n, inside)
    if inside:
        edges[n] = end - begin
        n += 1
    return n >> 1


@helper
def _hash_words(data: Array, begin: Int, edges: Array, n: Int, out: Array) -> None:
    limit = u64(data.shape[0])
    for k in range(n):
        start = u64(begin) + u64(edges[2 * k])
        length = u64(edges[2 * k + 1] - edges[2 * k])
        h = length * _TOKEN
        if start + length + _EIGHT <= limit:
            # The first eight bytes without a question about the length, because most words end there.
            kept = u64(64) - (min(length, _EIGHT) << u64(3))
            h = (h ^ (load_u64(data, start) & (_ALL >> kept))) * _TOKEN
            h ^= h >> u64(32)
            while length > _EIGHT:
                start += _EIGHT
                length -= _EIGHT
                kept = u64(64) - (min(length, _EIGHT) << u64(3))
                h = (h ^ (load_u64(data, start) & (_ALL >> kept))) * _TOKEN
                h ^= h >> u64(32)
        else:
            for first in range(u64(0), length, _EIGHT):
                x = u64(0)
                for q in range(first, min(first + _EIGHT, length)):
                    x |= u64(data[start + q]) << ((q - first) << u64(3))
                h = (h ^ x) * _TOKEN
                h ^= h >> u64(32)
        out[k] = h * _MIX


@helper
def _rotate(x: Int, by: Int) -> Int:
    return (x << by) | (x >> ((u64(64) - by) & u64(63)))


@helper
def hash_shingles(hashes: Array, n: Int, ngram: Int) -> Int:
    """Turn `n` word hashes into shingle hashes, in place. Returns how many there are: 0 for no words, else at least 1.

    Rolling: the window's first word leaves, everything turns one place, the next word enters at the far end.
    """
    if n == 0:
        return 0
    width = min(n, ngram)
    x = u64(0)
    for q in range(width):
        x ^= _rotate(hashes[q], (_ROTATION * u64(q)) & u64(63))
    last = (_ROTATION * u64(width - 1)) & u64(63)
    back = u64(64) - _ROTATION
    count = n - width + 1
    for i in range(count):
        leaving = hashes[i]
        hashes[i] = x
        if i + width < n:
            x = _rotate(x ^ leaving, back) ^ _rotate(hashes[i + width], last)
    for i in range(count):
        x = hashes[i]
        x ^= x >> u64(32)
        x *= _MIX
        hashes[i] = x ^ (x >> u64(29))
    return count


@helper
def _fmix32(h: Int) -> Int:
    """datasketch's pre-mix of the affine32 scheme: the finaliser of MurmurHash3."""
    h ^= h >> u32(16)
    h = u32(h * u32(0x85EBCA6B))
    h ^= h >> u32(13)
    h = u32(h * u32(0xC2B2AE35))
    return h ^ (h >> u32(16))


@helper
def _minima(hashes: Array, n: Int, a: Array, b: Array, out: Array) -> None:
    # Permutations outside, shingles inside: the inner loop is then one vectorised multiply, add, minimum; four
    # permutations share each load.
    full = a.shape[0] & ~3
    for j in range(0, full, 4):
        a0, a1, a2, a3 = a[j], a[j + 1], a[j + 2], a[j + 3]
        b0, b1, b2, b3 = b[j], b[j + 1], b[j + 2], b[j + 3]
        m0 = m1 = m2 = m3 = u32(0xFFFFFFFF)
        for i in range(n):
            h = hashes[i]
            m0 = min(m0, u32(u32(h * a0) + b0))
            m1 = min(m1, u32(u32(h * a1) + b1))
            m2 = min(m2, u32(u32(h * a2) + b2))
            m3 = min(m3, u32(u32(h * a3) + b3))
        out[j], out[j + 1], out[j + 2], out[j + 3] = m0, m1, m2, m3
    for j in range(full, a.shape[0]):
        m0 = u32(0xFFFFFFFF)
        for i in range(n):
            m0 = min(m0, u32(u32(hashes[i] * a[j]) + b[j]))
        out[j] = m0


@helper
def _longest(offsets: Array) -> Int:
    longest = 0
    for d in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[d + 1] - offsets[d])
    return longest


@kernel
def sketch_tokens(data: Array, offsets: Array, ngram: Int, a: Array, b: Array, out: Array, content: Array) -> None:
    """Signatures of texts in the token-hash mode, and a 64-bit hash of each text's multiset of shingles (0: empty)."""
    longest = _longest(offsets)
    edges = np.empty(longest + _SLACK, np.uint32)
    hashes = np.empty(longest // 2 + 2, np.uint64)
    mixed = np.empty(longest // 2 + 2, np.uint32)
    for d in range(offsets.shape[0] - 1):
        n = split_words(data, offsets[d], offsets[d + 1], edges)
        _hash_words(data, offsets[d], edges, n, hashes)
        count = hash_shingles(hashes, n, ngram)
        total = u64(0)
        for i in range(count):
            total += hashes[i]
            mixed[i] = _fmix32(u32(hashes[i] >> u64(32)))
        content[d] = max(total, _ONE) if count else u64(0)
        _minima(mixed, count, a, b, out[d])


@helper
def _rotate32(x: Int, by: Int) -> Int:
    return (x << u32(by)) | (x >> u32(32 - by))


@helper
def _round32(v: Int, x: Int) -> Int:
    return u32(_rotate32(u32(v + u32(x * _P2)), 13) * _P1)


@helper
def xxh32(data: Array, at: Int, length: Int) -> Int:
    """xxHash32 with seed 0 of `length` bytes at `at`."""
    end = at + length
    if length >= u64(16):
        v1, v2, v3, v4 = u32(_P1 + _P2), _P2, u32(0), u32(u32(0) - _P1)
        for _ in range(length >> u64(4)):
            v1 = _round32(v1, load_u32(data, at))
            v2 = _round32(v2, load_u32(data, at + u64(4)))
            v3 = _round32(v3, load_u32(data, at + u64(8)))
            v4 = _round32(v4, load_u32(data, at + u64(12)))
            at += u64(16)
        h = u32(_rotate32(v1, 1) + _rotate32(v2, 7) + _rotate32(v3, 12) + _rotate32(v4, 18))
    else:
        h = _P5
    h = u32(h + u32(length))
    while at + u64(4) <= end:
        h = u32(_rotate32(u32(h + u32(load_u32(data, at) * _P3)), 17) * _P4)
        at += u64(4)
    while at < end:
        h = u32(_rotate32(u32(h + u32(u32(data[at]) * _P5)), 11) * _P1)
        at += _ONE
    h ^= h >> u32(15)
    h = u32(h * _P2)
    h ^= h >> u32(13)
    h = u32(h * _P3)
    return h ^ (h >> u32(16))


@helper
def _join_words(data: Array, begin: Int, edges: Array, n: Int, joined: Array, starts: Array) -> None:
    """Write the words one space apart; word k begins at `starts[k]`, and `starts[n]` is one past the last space."""
    limit = u64(data.shape[0])
    p = u64(0)
    for k in range(n):
        start = u64(begin) + u64(edges[2 * k])
        length = u64(edges[2 * k + 1] - edges[2 * k])
        starts[k] = p
        if length <= _EIGHT and start + _EIGHT <= limit:
            store_u64(joined, p, load_u64(data, start))
        else:
            for q in range(length):
                joined[p + u64(q)] = data[start + u64(q)]
        p += length
        joined[p] = 32
        p += _ONE
    starts[n] = p


@kernel
def sketch_xxh32(data: Array, offsets: Array, ngram: Int, a: Array, b: Array, out: Array) -> None:
    """Signatures equal, bit for bit, to datasketch's with `hashfunc=xxhash.xxh32_intdigest`."""
    longest = _longest(offsets)
    edges = np.empty(longest + _SLACK, np.uint32)
    starts = np.empty(longest // 2 + 3, np.uint64)
    joined = np.empty(2 * longest + 16, np.uint8)
    order = np.empty(longest // 2 + 2, np.uint32)
    mixed = np.empty(longest // 2 + 2, np.uint32)
    slots = np.empty(_LONGEST_SORTED + 2, np.uint32)
    for d in range(offsets.shape[0] - 1):
        n = split_words(data, offsets[d], offsets[d + 1], edges)
        _join_words(data, offsets[d], edges, n, joined, starts)
        width = min(n, ngram)
        count = n - width + 1 if n else 0
        # Shingles are hashed in order of length (a counting sort): xxh32's loops then take the same number of turns
        # many times in a row, and the processor guesses them right. Half the time went into wrong guesses.
        slots[:] = 0
        for i in range(count):
            slots[min(starts[i + width] - starts[i], u64(_LONGEST_SORTED)) + _ONE] += u32(1)
        for q in range(_LONGEST_SORTED + 1):
            slots[q + 1] += slots[q]
        for i in range(count):
            length = min(starts[i + width] - starts[i], u64(_LONGEST_SORTED))
            order[slots[length]] = i
            slots[length] += u32(1)
        for q in range(count):
            i = order[q]
            mixed[q] = _fmix32(xxh32(joined, starts[i], starts[i + width] - starts[i] - _ONE))
        _minima(mixed, count, a, b, out[d])


@helper
def _slots_for(n: Int) -> Int:
    size = 16
    while size < 2 * n:
        size *= 2
    return size


@kernel
def distinct_shingles(data: Array, offsets: Array, rows: Array, ngram: Int, out: Array, counts: Array) -> Int:
    """The shingle sets of the texts at `rows`, one after the other in `out` (never 0); returns how many values."""
    longest = _longest(offsets)
    edges = np.empty(longest + _SLACK, np.uint32)
    hashes = np.empty(longest // 2 + 2, np.uint64)
    table = np.zeros(_slots_for(longest // 2 + 2), np.uint64)
    used = 0
    for k in range(rows.shape[0]):
        d = rows[k]
        n = split_words(data, offsets[d], offsets[d + 1], edges)
        _hash_words(data, offsets[d], edges, n, hashes)
        count = hash_shingles(hashes, n, ngram)
        slots = _slots_for(count)
        table[:slots] = 0
        mask = u64(slots - 1)
        begin = used
        for i in range(count):
            # 0 marks a free slot, so the lowest bit is given up: 63 bits remain.
            value = hashes[i] | _ONE
            slot = (value >> u64(20)) & mask
            while table[slot] != 0 and table[slot] != value:
                slot = (slot + _ONE) & mask
            if table[slot] == 0:
                table[slot] = value
                out[used] = value
                used += 1
        counts[k] = used - begin
    return used


@kernel
def word_windows(data: Array, offsets: Array, width: Int, out: Array, counts: Array) -> Int:
    """The hashes (never 0) of every run of `width` words of each text, in order; a shorter text has none."""
    longest = _longest(offsets)
    edges = np.empty(longest + _SLACK, np.uint32)
    hashes = np.empty(longest // 2 + 2, np.uint64)
    used = 0
    for d in range(offsets.shape[0] - 1):
        n = split_words(data, offsets[d], offsets[d + 1], edges)
        counts[d] = max(0, n - width + 1)
        if n >= width:
            _hash_words(data, offsets[d], edges, n, hashes)
            for i in range(hash_shingles(hashes, n, width)):
                out[used + i] = hashes[i] | _ONE
            used += counts[d]
    return used

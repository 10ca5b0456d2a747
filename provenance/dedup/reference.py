"""What a word, a token hash and a shingle hash are, in plain Python: the definition the kernels are tested against.

Slow on purpose. `token_shingle_hash` is also the `hashfunc` with which datasketch gives the same signatures.
"""

from collections.abc import Iterator

MASK = (1 << 64) - 1
TOKEN_MULTIPLIER = 0x9E3779B97F4A7C15
MIX_MULTIPLIER = 0xD6E8FEB86659FD93
ROTATION = 13

# Scripts written without spaces between words: each of their characters is a word of its own, so that a shingle of
# five words is a 5-gram of characters there. First and last code point.
UNSPACED = (
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0x312F),  # radicals, CJK punctuation, kana, bopomofo
    (0x31A0, 0x31FF),  # bopomofo and kana extensions
    (0x3400, 0xA4CF),  # Han, Yi
    (0xA980, 0xA9FF),  # Javanese, Myanmar extended B
    (0xAA60, 0xAADF),  # Myanmar extended A, Tai Viet
    (0xF900, 0xFAFF),  # Han compatibility
    (0xFE30, 0xFE4F),  # vertical forms
    (0xFF00, 0xFFEF),  # halfwidth and fullwidth forms
    (0x1B000, 0x1B16F),  # kana supplements
    (0x20000, 0x3FFFF),  # Han extensions
)


def words(text: str) -> list[str]:
    """Words as `str.split` cuts them, except that each character of an unspaced script is a word of its own."""
    return [word for run in text.split() for word in _split_unspaced(run)]


def _split_unspaced(run: str) -> Iterator[str]:
    start = 0
    for i, character in enumerate(run):
        if any(low <= ord(character) <= high for low, high in UNSPACED):
            if start < i:
                yield run[start:i]
            yield character
            start = i + 1
    if start < len(run):
        yield run[start:]


def shingles(text: str, ngram: int = 5) -> list[bytes]:
    """Every run of `ngram` words, joined by one space. A shorter text is one shingle; an empty one has none."""
    found = [word.encode() for word in words(text)]
    if not found:
        return []
    return [b" ".join(found[i : i + ngram]) for i in range(max(1, len(found) - ngram + 1))]


def jaccard(a: str, b: str, ngram: int = 5) -> float:
    """The exact Jaccard similarity of two texts' shingle sets; 0.0 where either is empty."""
    left, right = set(shingles(a, ngram)), set(shingles(b, ngram))
    return len(left & right) / len(left | right) if left and right else 0.0


def _rotate(x: int, by: int) -> int:
    by %= 64
    return ((x << by) | (x >> (64 - by))) & MASK


def token_hash(word: bytes) -> int:
    """A 64-bit hash of one word, eight bytes a step."""
    h = len(word) * TOKEN_MULTIPLIER & MASK
    for start in range(0, len(word), 8):
        h = (h ^ int.from_bytes(word[start : start + 8], "little")) * TOKEN_MULTIPLIER & MASK
        h ^= h >> 32
    return h * MIX_MULTIPLIER & MASK


def shingle_hash(shingle: bytes) -> int:
    """A 64-bit hash of a shingle: its words' hashes, each rotated by its place, mixed."""
    x = 0
    for place, word in enumerate(shingle.split(b" ")):
        x ^= _rotate(token_hash(word), ROTATION * place)
    x ^= x >> 32
    x = x * MIX_MULTIPLIER & MASK
    return x ^ (x >> 29)


def token_shingle_hash(shingle: bytes) -> int:
    """The 32 bits of `shingle_hash` that a signature is made of."""
    return shingle_hash(shingle) >> 32

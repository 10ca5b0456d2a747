"""MinHash signatures of an Arrow string column, with everything that decides their bits recorded beside them.

Permutations are datasketch's (scheme affine32), so signatures of either mode equal datasketch's with the same hash
function. Knows no index and no catalog.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from provenance.dedup import kernels
from provenance.errors import ConfigError, DataError

SCHEME = "affine32"
WORDS = "unicode-split/1"
"""Names the definition of a word in `reference.words`; a new definition gets a new number."""


class ShingleHash(StrEnum):
    """How a shingle becomes the 32 bits that are permuted."""

    TOKENS = "tokens"
    """A rolling hash over word hashes (`reference.token_shingle_hash`): the fast one."""
    XXH32 = "xxh32"
    """xxHash32 of the words joined by one space: what `datasketch.MinHash(hashfunc=xxhash.xxh32_intdigest)` sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """What decides the bits of a signature. Two signatures can be compared only if theirs are equal."""

    hash: ShingleHash = ShingleHash.TOKENS
    ngram: int = 5
    num_perm: int = 128
    seed: int = 1
    scheme: str = SCHEME
    words: str = WORDS

    def __post_init__(self) -> None:
        for name, value, low in (("ngram", self.ngram, 1), ("num_perm", self.num_perm, 2), ("seed", self.seed, 0)):
            if not low <= value < 2**32:
                raise ConfigError(f"sketch: {name} must be at least {low}, got {value}")
        if self.scheme != SCHEME or self.words != WORDS:
            raise ConfigError(
                f"sketch: scheme {self.scheme!r} with words {self.words!r} is not what this version computes",
                hint=f"it computes scheme {SCHEME!r} with words {WORDS!r}: make the signatures again",
            )

    def permutations(self) -> NDArray[np.uint32]:
        """datasketch's multipliers and offsets, uint32[2, num_perm]."""
        return _permutations(self.num_perm, self.seed)


@cache
def _permutations(num_perm: int, seed: int) -> NDArray[np.uint32]:
    from datasketch import MinHash

    found: NDArray[np.uint32] = MinHash(num_perm, seed=seed, scheme=SCHEME).permutations
    found.flags.writeable = False
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Signatures:
    """Signatures of documents, in the order the texts came in."""

    values: NDArray[np.uint32]
    """uint32[n, num_perm]; all ones for a text without words."""
    sketch: Sketch
    content: NDArray[np.uint64] | None = None
    """Equal where two texts have the same shingles equally often, 0 without words; only in the token mode."""

    def __len__(self) -> int:
        return len(self.values)

    def jaccard(self, other: "Signatures") -> NDArray[np.float64]:
        """The estimated similarity of each document with the one in the same row of `other`."""
        check_same_sketch(self.sketch, other.sketch)
        equal: NDArray[np.float64] = np.mean(self.values == other.values, axis=1)
        return equal


def check_same_sketch(a: Sketch, b: Sketch) -> None:
    """Raise DataError where signatures of two kinds would be mixed: equal-looking numbers that mean nothing."""
    if a != b:
        different = [name for name in Sketch.__dataclass_fields__ if getattr(a, name) != getattr(b, name)]
        said = ", ".join(f"{name} {getattr(a, name)} and {getattr(b, name)}" for name in different)
        raise DataError(f"signatures of two kinds cannot be compared: {said}", hint="sketch both with one setting")


def sketch_texts(texts: pa.Array | pa.ChunkedArray, sketch: Sketch | None = None) -> Signatures:
    """The signatures of an Arrow string column. A null is a text without words."""
    sketch = sketch or Sketch()
    a, b = sketch.permutations()
    values = np.empty((len(texts), sketch.num_perm), dtype=np.uint32)
    content = np.empty(len(texts), dtype=np.uint64) if sketch.hash is ShingleHash.TOKENS else None
    done = 0
    for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
        data, offsets = utf8_buffers(chunk)
        rows = slice(done, done + len(chunk))
        if content is not None:
            kernels.sketch_tokens(data, offsets, sketch.ngram, a, b, values[rows], content[rows])
        else:
            kernels.sketch_xxh32(data, offsets, sketch.ngram, a, b, values[rows])
        done += len(chunk)
    return Signatures(values=values, sketch=sketch, content=content)


def utf8_buffers(texts: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of a string array and its n + 1 offsets, without copying the bytes."""
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        try:
            texts = texts.cast(pa.large_string())
        except pa.ArrowException as error:
            raise DataError(f"texts must be strings, got {texts.type}") from error
    if texts.null_count:
        texts = texts.fill_null("")
    width: Any = np.int32 if pa.types.is_string(texts.type) else np.int64
    _, offset_buffer, data_buffer = texts.buffers() if len(texts) else (None, None, None)
    if offset_buffer is None or data_buffer is None or data_buffer.size == 0:
        data, offsets = np.zeros(1, dtype=np.uint8), np.zeros(len(texts) + 1, dtype=np.int64)
    else:
        data = np.frombuffer(data_buffer, dtype=np.uint8)
        offsets = np.frombuffer(offset_buffer, dtype=width)[texts.offset : texts.offset + len(texts) + 1]
    # Arrow's buffers are sometimes writeable; the kernels are compiled for one kind only.
    data.flags.writeable = False
    return data, offsets.astype(np.int64)

"""Hashed n-grams of tokens, masked tokens and characters as sparse rows. Knows tokens; no labels, no weights."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from provenance.dedup.jit import helper, kernel
from provenance.detectors.tokens import Tokens, mix

FAMILIES: tuple[str, ...] = ("word", "mask", "char")
NUM_BITS = 17
NUM_FEATURES = len(FAMILIES) << NUM_BITS
WORDS = slice(0, 1 << NUM_BITS)
"""The columns of the first family."""


def ngram_matrix(tokens: Tokens) -> csr_matrix:
    """One row per normalised text: 1 + log(count) per hashed n-gram, each family scaled to unit length."""
    indptr, indices, values = _rows(tokens.buffer, tokens.bytes_first, tokens.first, tokens.hash, tokens.mask)
    return csr_matrix((values, indices, indptr), shape=(len(indptr) - 1, NUM_FEATURES))


@helper
def _add(key: np.uint64, family: int, counts: NDArray[np.int32], indices: NDArray[np.int32], n: int) -> int:
    slot = np.int32((mix(key) >> np.uint64(64 - NUM_BITS)) + np.uint64(family << NUM_BITS))
    if counts[slot] == 0:
        indices[n] = slot
        n += 1
    counts[slot] += 1
    return n


@kernel
def _rows(  # noqa: PLR0912
    buffer: NDArray[np.uint8],
    bytes_first: NDArray[np.int64],
    first: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    masks: NDArray[np.uint64],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    num_texts = len(first) - 1
    capacity = 5 * len(hashes) + 3 * len(buffer) + 1
    indptr = np.zeros(num_texts + 1, dtype=np.int64)
    indices = np.empty(capacity, dtype=np.int32)
    values = np.empty(capacity, dtype=np.float32)
    counts = np.zeros(NUM_FEATURES, dtype=np.int32)
    n = 0
    prime = np.uint64(0x9E3779B97F4A7C15)
    for text in range(num_texts):
        for family in range(3):
            begin = n
            if family == 0:
                for t in range(first[text], first[text + 1]):
                    n = _add(hashes[t] * prime, family, counts, indices, n)
                    if t > first[text]:
                        n = _add((hashes[t - 1] * prime) ^ mix(hashes[t]), family, counts, indices, n)
            elif family == 1:
                for t in range(first[text] + 1, first[text + 1]):
                    key = (mix(masks[t]) * prime) ^ mix(masks[t - 1])
                    n = _add(key, family, counts, indices, n)
                    for back in range(2, 4):
                        if t - back < first[text]:
                            break
                        key = (key * prime) ^ mix(masks[t - back])
                        n = _add(key, family, counts, indices, n)
            else:
                for i in range(bytes_first[text], bytes_first[text + 1]):
                    key = np.uint64(0)
                    for size in range(1, 6):
                        if i + size > bytes_first[text + 1]:
                            break
                        byte = buffer[i + size - 1]
                        if 65 <= byte <= 90:
                            byte += 32
                        elif 48 <= byte <= 57:
                            byte = np.uint8(48)
                        key = (key ^ np.uint64(byte)) * prime
                        if size >= 3:
                            n = _add(key, family, counts, indices, n)
            norm = 0.0
            for k in range(begin, n):
                value = 1.0 + np.log(counts[indices[k]])
                counts[indices[k]] = 0
                values[k] = value
                norm += value * value
            scale = 1.0 / np.sqrt(norm) if norm > 0 else 0.0
            for k in range(begin, n):
                values[k] *= scale
        indptr[text + 1] = n
    return indptr, indices[:n], values[:n]

"""What an unknown word costs: a byte bigram model of the words a language model knows. Knows no counts of words.

Laplace smoothing over 256 bytes and an end mark, so every word has a finite cost and the costs of all words sum to a
proper code.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_END = 256  # also stands before the first byte
_SYMBOLS = 257


class Spelling:
    """The byte pairs of a list of word types, ready to be counted for any subset of them."""

    def __init__(self, types: Sequence[str]) -> None:
        encoded = [word.encode() for word in types]
        sizes = np.array([len(word) + 1 for word in encoded], dtype=np.int64)
        self.n_types = len(types)
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        self._owner = np.repeat(np.arange(len(types)), sizes)
        after = np.full(int(sizes.sum()), _END, dtype=np.int64)
        after[self._owner_positions(sizes)] = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        before = np.concatenate([[_END], after[:-1]])
        self._pairs = before * _SYMBOLS + after

    def _owner_positions(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of the bytes when each word is followed by one end mark."""
        return np.delete(np.arange(int(sizes.sum())), np.cumsum(sizes) - 1)

    def bits(self, known: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Bits to spell each type under the byte bigrams of the `known` ones."""
        counts = np.bincount(self._pairs[known[self._owner]], minlength=_SYMBOLS**2).reshape(_SYMBOLS, _SYMBOLS)
        cost = -np.log2((counts + 1.0) / (counts.sum(axis=1, keepdims=True) + _SYMBOLS))
        return np.add.reduceat(cost.ravel()[self._pairs], self._starts) if self.n_types else np.empty(0)

"""The `ngram` detector: hashed n-grams of words, of masked words and of characters, one linear score each, averaged."""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from provenance.detectors.fisher import Design, fit_fisher
from provenance.detectors.ngram_features import FAMILIES, NUM_BITS, NUM_FEATURES, ngram_matrix
from provenance.detectors.tokens import Tokens
from provenance.detectors.trained import LinearDetector

# 1e-4, 1e-3 and 1e-2 were tried with each domain left out; 1e-3 was best for every family.
_RIDGE = 1e-3
_LEVELS = 127
_SIZE = 1 << NUM_BITS


class Ngram(LinearDetector):
    """Weights are kept in one signed byte each: the shipped file stays small and the ranking does not change."""

    name: ClassVar[str] = "ngram"
    algorithm: ClassVar[int] = 2

    @staticmethod
    def features(tokens: Tokens) -> csr_matrix:
        """Hashed n-grams, sparse."""
        return ngram_matrix(tokens)

    def fit_features(self, features: csr_matrix, design: Design) -> Self:
        """Learn from rows of `features`."""
        levels = np.zeros(NUM_FEATURES, dtype=np.int8)
        scales = np.zeros(len(FAMILIES), dtype=np.float32)
        for k in range(len(FAMILIES)):
            columns = slice(k * _SIZE, (k + 1) * _SIZE)
            part = features[:, columns]
            weights = fit_fisher(part, design, ridge=_RIDGE)
            spread = float(np.std((part @ weights)[~design.is_model])) or 1.0
            top = float(np.quantile(np.abs(weights[weights != 0]), 0.9999)) or 1.0
            levels[columns] = np.clip(np.rint(weights / top * _LEVELS), -_LEVELS, _LEVELS)
            scales[k] = top / _LEVELS / spread / len(FAMILIES)
        return type(self)({"levels": levels, "scales": scales})

    def score_features(self, features: csr_matrix) -> NDArray[np.float64]:
        """The score of every row of `features`."""
        return np.asarray(features @ self._weights(), dtype=np.float64)

    def _weights(self) -> NDArray[np.float32]:
        arrays: dict[str, NDArray[Any]] = self.arrays
        return np.asarray(arrays["levels"] * np.repeat(arrays["scales"], _SIZE), dtype=np.float32)

"""What stylometry and ngram share: tokens in, a linear score out, weights on disk. Knows no catalog."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from provenance.detectors.fisher import Design
from provenance.detectors.matching import matched
from provenance.detectors.ngram_features import WORDS, ngram_matrix
from provenance.detectors.normalise import normalise
from provenance.detectors.scope import abstentions
from provenance.detectors.tokens import Tokens, tokenise
from provenance.detectors.weights import load_weights, save_weights, weights_digest
from provenance.types import EvidenceKind

BATCH_TEXTS = 256


class LinearDetector(ABC):
    """A detector whose score is linear in features of the token stream."""

    name: ClassVar[str]
    kind: ClassVar[EvidenceKind] = EvidenceKind.DETECTOR
    score_is: ClassVar[str] = "raw"
    algorithm: ClassVar[int]

    def __init__(self, arrays: dict[str, NDArray[Any]] | None = None) -> None:
        self._arrays = arrays

    @property
    def version(self) -> str:
        """Algorithm number and, once trained, the hash of the weights."""
        return f"{self.algorithm}+{weights_digest(self._arrays)[:12]}" if self._arrays else f"{self.algorithm}"

    def fit(self, texts: Sequence[str], is_model: NDArray[np.bool_], groups: Sequence[str] | None = None) -> Self:
        """Learn from raw texts; `groups` names each text's domain. Raises DataError on one class only."""
        tokens = tokenise([normalise(text) for text in texts])
        return self.fit_features(self.features(tokens), matched(ngram_matrix(tokens)[:, WORDS], is_model, groups))

    @staticmethod
    @abstractmethod
    def features(tokens: Tokens) -> Any:
        """What the detector reads of each tokenised text: one row, dense or sparse."""

    @abstractmethod
    def fit_features(self, features: Any, design: Design) -> Self:
        """Learn from rows of `features`."""

    @abstractmethod
    def score_features(self, features: Any) -> NDArray[np.float64]:
        """The score of every row of `features`."""

    def score_tokens(self, tokens: Tokens) -> NDArray[np.float64]:
        """The score of every tokenised text, in scope or not."""
        return self.score_features(self.features(tokens))

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """A score in standard deviations of human training texts; NaN where a text is out of scope."""
        return score_in_batches(texts, self.score_tokens)

    def save(self, folder: Path) -> None:
        """Write weights and card."""
        save_weights(folder, self.name, self.algorithm, self.arrays, {})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises DataError."""
        return cls(load_weights(folder, cls.name, cls.algorithm)[0])

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The trained weights. A detector that was neither fitted nor loaded has none: RuntimeError."""
        if self._arrays is None:
            raise RuntimeError(f"{self.name} is not trained: call fit or load")
        return self._arrays


def score_in_batches(texts: Sequence[str], score: Any) -> NDArray[np.float64]:
    """`score(tokens)` over small batches, so memory stays flat; NaN where a text is out of scope."""
    out = np.empty(len(texts), dtype=np.float64)
    for start in range(0, len(texts), BATCH_TEXTS):
        tokens = tokenise([normalise(text) for text in texts[start : start + BATCH_TEXTS]])
        scores = score(tokens)
        scores[abstentions(tokens) != 0] = np.nan
        out[start : start + BATCH_TEXTS] = scores
    return out

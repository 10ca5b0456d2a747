"""The `stack` detector: stylometry and n-grams as one opinion over one tokenisation. The default detector is a stack.

Members read the same words, so their evidence is not independent: they are averaged, never multiplied.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from provenance.detectors.ngram import Ngram
from provenance.detectors.normalise import normalise
from provenance.detectors.stylometry import Stylometry
from provenance.detectors.tokens import Tokens, tokenise
from provenance.detectors.trained import score_in_batches
from provenance.detectors.weights import load_weights, save_weights, weights_digest
from provenance.types import EvidenceKind

MEMBERS: tuple[type[Stylometry] | type[Ngram], ...] = (Stylometry, Ngram)


class Stack:
    """The mean of its members' scores, each in standard deviations of human text."""

    name: ClassVar[str] = "stack"
    kind: ClassVar[EvidenceKind] = EvidenceKind.DETECTOR
    score_is: ClassVar[str] = "raw"
    algorithm: ClassVar[int] = 1

    def __init__(self, members: Sequence[Stylometry | Ngram] = ()) -> None:
        self.members = tuple(members)

    @property
    def version(self) -> str:
        """Algorithm number and the hash of all members' weights."""
        return f"{self.algorithm}+{weights_digest(self._arrays())[:12]}" if self.members else f"{self.algorithm}"

    def fit(self, texts: Sequence[str], is_model: NDArray[np.bool_], groups: Sequence[str] | None = None) -> Self:
        """Learn from raw texts; `groups` names each text's domain. Raises DataError on one class only."""
        tokens = tokenise([normalise(text) for text in texts])
        return type(self)([member().fit_tokens(tokens, is_model, groups) for member in MEMBERS])

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """A score in standard deviations of human training texts; NaN where a text is out of scope."""
        return score_in_batches(texts, self.score_tokens)

    def score_tokens(self, tokens: Tokens) -> NDArray[np.float64]:
        """The score of every tokenised text, in scope or not."""
        if not self.members:
            raise RuntimeError("stack is not trained: call fit or load")
        return np.asarray(np.mean([member.score_tokens(tokens) for member in self.members], axis=0), dtype=np.float64)

    def save(self, folder: Path) -> None:
        """Write weights and card."""
        save_weights(folder, self.name, self.algorithm, self._arrays(), {"members": [m.name for m in self.members]})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises DataError."""
        arrays, _ = load_weights(folder, cls.name, cls.algorithm)
        parts: dict[str, dict[str, NDArray[Any]]] = {member.name: {} for member in MEMBERS}
        for key, value in arrays.items():
            member, _, name = key.partition("/")
            parts[member][name] = value
        return cls([member(parts[member.name]) for member in MEMBERS])

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {f"{member.name}/{key}": value for member in self.members for key, value in member.arrays.items()}

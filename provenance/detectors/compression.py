"""The `compression` detector: does a text shrink more after a prelude of model text, or of human text?

Score = (bytes it adds after human text - bytes it adds after model text) / its bytes. zlib looks back 32 kB, so a
prelude is that long. Weak alone (AUROC 0.77 away from home), but it fails elsewhere than the linear detectors do.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from provenance.detectors.fisher import check_two_classes, domain_of
from provenance.detectors.normalise import normalise
from provenance.detectors.scope import abstentions
from provenance.detectors.tokens import tokenise
from provenance.detectors.weights import load_weights, save_weights, weights_digest
from provenance.types import EvidenceKind

_WINDOW_BYTES = 30_000
_PIECE_CHARS = 400
_LEVEL = 6


class Compression:
    """Keeps one 30 kB prelude per class, drawn evenly from the domains. It stores training text: mind its licence."""

    name: ClassVar[str] = "compression"
    kind: ClassVar[EvidenceKind] = EvidenceKind.DETECTOR
    score_is: ClassVar[str] = "raw"
    algorithm: ClassVar[int] = 1

    def __init__(self, arrays: dict[str, NDArray[Any]] | None = None) -> None:
        self._arrays = arrays

    @property
    def version(self) -> str:
        """Algorithm number and, once trained, the hash of the preludes."""
        return f"{self.algorithm}+{weights_digest(self._arrays)[:12]}" if self._arrays else f"{self.algorithm}"

    def fit(self, texts: Sequence[str], is_model: NDArray[np.bool_], groups: Sequence[str] | None = None) -> Self:
        """Keep a prelude per class. Raises DataError on one class only."""
        check_two_classes(is_model)
        domains = np.array([domain_of(group) for group in groups] if groups is not None else [""] * len(texts))
        arrays = {}
        for label, key in ((False, "human"), (True, "model")):
            rows = np.flatnonzero(is_model == label).tolist()
            prelude = _prelude([texts[i] for i in rows], domains[rows])
            arrays[key] = np.frombuffer(prelude, dtype=np.uint8)
        return type(self)(arrays)

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Bytes saved per byte; NaN where a text is out of scope."""
        if self._arrays is None:
            raise RuntimeError("compression is not trained: call fit or load")
        preludes = [_primed(self._arrays[key].tobytes()) for key in ("human", "model")]
        clean = [normalise(text) for text in texts]
        out = np.full(len(texts), np.nan)
        for i in np.flatnonzero(abstentions(tokenise(clean)) == 0).tolist():
            body = clean[i].encode("utf-8", "replace")
            human, model = (_added(state, body) for state in preludes)
            out[i] = (human - model) / len(body)
        return out

    def save(self, folder: Path) -> None:
        """Write preludes and card."""
        if self._arrays is None:
            raise RuntimeError("compression is not trained: call fit or load")
        save_weights(folder, self.name, self.algorithm, self._arrays, {"stores_training_text": True})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises DataError."""
        return cls(load_weights(folder, cls.name, cls.algorithm)[0])


def _prelude(texts: Sequence[str], domains: NDArray[np.str_]) -> bytes:
    """Pieces from every domain in turn until the window is full."""
    queues = [iter(np.flatnonzero(domains == name).tolist()) for name in np.unique(domains)]
    pieces: list[str] = []
    size = 0
    while queues and size < _WINDOW_BYTES:
        for queue in list(queues):
            row = next(queue, None)
            if row is None:
                queues.remove(queue)
                continue
            piece = normalise(texts[row])[:_PIECE_CHARS]
            pieces.append(piece)
            size += len(piece.encode("utf-8", "replace")) + 1
    return "\n".join(pieces).encode("utf-8", "replace")[:_WINDOW_BYTES]


def _primed(prelude: bytes) -> Any:
    """A compressor that has read `prelude`."""
    state = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
    state.compress(prelude)
    state.flush(zlib.Z_SYNC_FLUSH)
    return state


def _added(state: Any, body: bytes) -> int:
    fork = state.copy()
    return len(fork.compress(body)) + len(fork.flush(zlib.Z_SYNC_FLUSH))

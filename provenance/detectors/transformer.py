"""The `transformer` detector: a pretrained encoder fine-tuned on labelled texts, or its frozen features and a new head.

With `epochs = 0` nothing of the encoder changes: mean-pooled features and the linear learner of the other detectors.
With `epochs > 0` all of it is trained, which wants a GPU and thousands of texts. A folder holds the head and, if tuned,
the encoder as safetensors.
"""

from collections.abc import Sequence
from copy import copy, deepcopy
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from provenance.detectors.fisher import Design, check_two_classes, fit_fisher
from provenance.detectors.normalise import normalise
from provenance.detectors.pooling import BATCH_TEXTS, Encoder, chunks
from provenance.detectors.scope import abstentions
from provenance.detectors.tokens import tokenise
from provenance.detectors.weights import load_weights, save_weights, weights_digest
from provenance.errors import ConfigError
from provenance.seeds import integer, stream
from provenance.types import EvidenceKind

_TEXTS_AT_ONCE = 4
"""Of a batch in training, whose activations all stay in memory: 16 at once took 13 GB at 135 M parameters."""
_RIDGE = 1.0
_LEARNING_RATE = 2e-5


class Transformer:
    """Any encoder or decoder that transformers' AutoModel loads."""

    name: ClassVar[str] = "transformer"
    kind: ClassVar[EvidenceKind] = EvidenceKind.DETECTOR
    score_is: ClassVar[str] = "raw"
    algorithm: ClassVar[int] = 2

    def __init__(
        self, *, model: str, epochs: int | str = 0, device: str = "cpu", seed: int | str = 0,
        arrays: dict[str, NDArray[Any]] | None = None,
    ) -> None:  # fmt: skip
        if not model:
            raise ConfigError("transformer needs a model", hint="-o model=FOLDER_OR_HUB_NAME")
        self._epochs, self._seed = int(epochs), int(seed)
        self._encoder = Encoder(model, device)
        self._arrays = arrays
        self._seen: dict[str, NDArray[np.float32]] = {}

    @property
    def version(self) -> str:
        """Algorithm number and, once trained, the hash of the head (which is trained against the encoder)."""
        return f"{self.algorithm}+{weights_digest(self._arrays)[:12]}" if self._arrays else f"{self.algorithm}"

    def fit(self, texts: Sequence[str], is_model: NDArray[np.bool_], groups: Sequence[str] | None = None) -> Self:
        """Learn from raw texts. Raises DataError on one class only."""
        check_two_classes(is_model)
        clean = [normalise(text) for text in texts]
        fitted = copy(self)
        if self._epochs > 0:
            fitted._encoder, fitted._seen = deepcopy(self._encoder), {}
            fitted._tune(clean, is_model)
        # An encoder that stays as it is runs once per text, however often it is cross-validated.
        pooled = fitted._embedded(clean, remember=self._epochs == 0)
        centre, scale = pooled.mean(axis=0), pooled.std(axis=0)
        scale[scale == 0] = 1.0
        scaled = (pooled - centre) / scale
        weights = fit_fisher(scaled, Design.of(is_model, groups), ridge=_RIDGE)
        spread = float(np.std((scaled @ weights)[~is_model])) or 1.0
        arrays = {"centre": centre, "scale": scale, "weights": weights / spread}
        fitted._arrays = {key: value.astype(np.float32) for key, value in arrays.items()}
        return fitted

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """A score in standard deviations of human training texts; NaN where a text is out of scope."""
        if self._arrays is None:
            raise RuntimeError("transformer is not trained: call fit or load")
        clean = [normalise(text) for text in texts]
        out = np.full(len(texts), np.nan)
        rows = np.flatnonzero(abstentions(tokenise(clean)) == 0).tolist()
        if rows:
            pooled = self._embedded([clean[i] for i in rows])
            out[rows] = ((pooled - self._arrays["centre"]) / self._arrays["scale"]) @ self._arrays["weights"]
        return out

    def _embedded(self, texts: Sequence[str], *, remember: bool = False) -> NDArray[np.float32]:
        """Pooled, but for texts that are remembered."""
        fresh = list(dict.fromkeys(text for text in texts if text not in self._seen))
        measured = dict(zip(fresh, self._encoder.pooled(fresh), strict=True)) if fresh else {}
        rows = [measured[text] if text in measured else self._seen[text] for text in texts]
        if remember:
            self._seen.update(measured)
        return np.stack(rows)

    def _tune(self, texts: Sequence[str], is_model: NDArray[np.bool_]) -> None:
        """Train encoder and a throw-away logistic head end to end; the head that is kept is fitted afterwards."""
        import torch

        torch.manual_seed(integer(self._seed, "transformer", "head"))
        encoder, device = self._encoder.model, self._encoder.device
        head = torch.nn.Linear(self._encoder.width, 1).to(device)
        parameters = [*encoder.parameters(), *head.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=_LEARNING_RATE)
        labels = torch.tensor(is_model, dtype=torch.float32, device=device)
        encoder.train()
        for epoch in range(self._epochs):
            order = stream(self._seed, "transformer", "order", epoch).permutation(len(texts)).tolist()
            for rows in chunks(order, BATCH_TEXTS):
                optimiser.zero_grad()
                for part in chunks(rows, _TEXTS_AT_ONCE):
                    logits = head(self._encoder.forward([texts[i] for i in part]))[:, 0]
                    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels[part], reduction="sum")
                    (loss / len(rows)).backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimiser.step()
        encoder.eval()

    def save(self, folder: Path) -> None:
        """Write the encoder if it was tuned, then head and card."""
        if self._arrays is None:
            raise RuntimeError("transformer is not trained: call fit or load")
        folder.mkdir(parents=True, exist_ok=True)
        if self._epochs > 0:
            self._encoder.model.save_pretrained(folder / "encoder")
            self._encoder.tokenizer.save_pretrained(folder / "encoder")
        card = {"model": self._encoder.name, "encoder": self._encoder.digest, "tuned": self._epochs > 0}
        save_weights(folder, self.name, self.algorithm, self._arrays, card)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises DataError, also when the encoder is gone or another one."""
        arrays, card = load_weights(folder, cls.name, cls.algorithm)
        loaded = cls(model=str(folder / "encoder") if card["tuned"] else card["model"], arrays=arrays)
        if not card["tuned"]:
            loaded._encoder.check(card["encoder"], str(folder))
        return loaded

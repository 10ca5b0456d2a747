"""Texts to vectors: the mean of an encoder's last hidden states. Knows an encoder and its tokenizer, no labels."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.detectors.lm import load_encoder, load_tokenizer, parameters_digest
from provenance.errors import DataError

_MAX_TOKENS = 320
BATCH_TEXTS = 16


class Encoder:
    """Any encoder or decoder that transformers' AutoModel loads."""

    def __init__(self, name: str, device: str) -> None:
        self.name, self.device = name, device
        self.tokenizer = load_tokenizer(name)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.model = load_encoder(name, device)

    def pooled(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[texts, width], the order of `texts`; texts of like length share a batch."""
        import torch

        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = np.zeros((len(texts), self.width), dtype=np.float32)
        with torch.inference_mode():
            for rows in chunks(order, BATCH_TEXTS):
                out[rows] = self.forward([texts[i] for i in rows]).float().cpu().numpy()
        return out

    def forward(self, texts: list[str]) -> Any:
        """The same for one batch, as a tensor with its gradient: [texts, width]."""
        batch = self.tokenizer(texts, truncation=True, max_length=_MAX_TOKENS, padding=True, return_tensors="pt")
        mask = batch["attention_mask"].to(self.device)
        hidden = self.model(input_ids=batch["input_ids"].to(self.device), attention_mask=mask).last_hidden_state
        return (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp_min(1)

    @property
    def digest(self) -> str:
        """Changes with the encoder's parameters."""
        return parameters_digest(self.model)

    def check(self, digest: str, where: str) -> None:
        """Raise DataError unless this is the encoder that had `digest` when what is in `where` was made."""
        if self.digest != digest:
            raise DataError(
                f"{where}: {self.name!r} is another encoder than the one it was made with",
                hint="bring that one back, or train the detector again",
            )

    @property
    def width(self) -> int:
        """Numbers per text."""
        return int(self.model.config.get_text_config().hidden_size)


def chunks(rows: Sequence[int], size: int) -> Iterator[list[int]]:
    """`rows` in runs of `size`."""
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])

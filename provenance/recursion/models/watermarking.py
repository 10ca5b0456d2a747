"""Watermarks at generation: transformers' KGW and SynthID, with the settings the `watermark` detector asks for."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from transformers import SynthIDTextWatermarkLogitsProcessor, WatermarkLogitsProcessor

from provenance.config import Config
from provenance.recursion.decoding import Processor


class Watermark(Config):
    """The `[sampling.watermark]` table."""

    scheme: Literal["kgw", "synthid"]
    """Kirchenbauer et al. (2023) or SynthID-Text (Dathathri et al. 2024), as transformers has them."""
    key: list[int] = Field(min_length=1)
    """One integer for KGW, a few dozen for SynthID."""
    greenlist_ratio: float = Field(default=0.25, gt=0, lt=1)
    """KGW: share of the vocabulary that is green."""
    bias: float = Field(default=2.0, gt=0)
    """KGW: what is added to the logits of green tokens."""
    seeding_scheme: Literal["lefthash", "selfhash"] = "lefthash"
    """KGW: whether the token itself takes part in choosing the green ones."""
    context_width: int = Field(default=1, ge=1)
    """KGW: tokens before it that choose them."""
    ngram_len: int = Field(default=5, ge=2)
    """SynthID: tokens whose hash decides."""


def marker(watermark: Watermark, vocabulary: int, device: torch.device) -> Callable[[], Processor]:
    """Makes a fresh processor for each batch: SynthID remembers the contexts it has seen."""

    def kgw() -> Processor:
        return WatermarkLogitsProcessor(  # type: ignore[no-any-return]
            vocab_size=vocabulary,
            device=device,
            greenlist_ratio=watermark.greenlist_ratio,
            bias=watermark.bias,
            hashing_key=watermark.key[0],
            seeding_scheme=watermark.seeding_scheme,
            context_width=watermark.context_width,
        )

    def synthid() -> Processor:
        return SynthIDTextWatermarkLogitsProcessor(  # type: ignore[no-any-return]
            ngram_len=watermark.ngram_len,
            keys=watermark.key,
            sampling_table_size=2**16,
            sampling_table_seed=0,
            context_history_size=1024,
            device=device,
        )

    return kgw if watermark.scheme == "kgw" else synthid

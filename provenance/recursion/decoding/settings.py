"""What a decoding is: how the next tokens are chosen, how many, and where a text ends. Plain data; knows no model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from provenance.config import Config

Processor = Callable[[Any, Any], Any]
"""Token ids (rows, length) and scores (rows, vocabulary) to scores: how watermarks come in."""


class Decoding(Config):
    """How the next tokens are chosen. Meanings are those of transformers' `generate`."""

    method: Literal["greedy", "sample", "beam"] = "greedy"
    """The likeliest token, a random one, or the likeliest text that a beam search finds."""
    beams: int = Field(default=1, ge=1)
    """Texts kept while searching; above 1 with `beam` alone."""
    temperature: float = Field(default=1.0, gt=0)
    """Logits are divided by it before one is drawn."""
    top_k: int = Field(default=0, ge=0)
    """Sample among the k likeliest tokens only; 0 means all."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Sample among the fewest tokens whose probabilities reach top_p."""
    repetition_penalty: float = Field(default=1.0, gt=0)
    """Above 1 makes every token of prompt and continuation less likely to come again."""
    length_penalty: float = 1.0
    """Beam scores are divided by length to this power."""

    @model_validator(mode="after")
    def _beams_fit_the_method(self) -> Self:
        if (self.method == "beam") != (self.beams > 1):
            raise ValueError(f"method {self.method!r} does not go with beams = {self.beams}")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One job: a way of decoding and the bounds of what is wanted."""

    decoding: Decoding
    max_new_tokens: int
    min_new_tokens: int = 0
    """Below this many, no end-of-text token can be chosen."""
    eos: tuple[int, ...] = ()
    """Tokens that end a text; none: every text has max_new_tokens."""
    pad: int = 0
    """What follows an end-of-text token."""
    processor: Callable[[], Processor] | None = None
    """Makes the processor of one batch, which sees all of that batch's steps in order."""

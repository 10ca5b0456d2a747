"""What one training run does, as plain data: batches, epochs, learning rates, precision. Knows no module."""

import math
from typing import Literal

from pydantic import Field

from provenance.config import Config


class TrainingSettings(Config):
    """What one training run does. Where it runs and where it saves are arguments of `train`."""

    epochs: int = Field(default=1, ge=1)
    """Passes over the training set."""
    batch_size: int = Field(default=32, ge=1)
    """Blocks or images per step."""
    micro_batch_size: int = Field(default=0, ge=0)
    """Items per forward pass, gradients summed over them; 0 means the whole batch."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """At first."""
    final_learning_rate: float = Field(default=0.0, ge=0)
    """Where `cosine` (per epoch) and `linear` (per step) end."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """How the learning rate falls."""
    optimizer: Literal["adam", "adamw"] = "adamw"
    """`adam` couples weight decay into the gradient; `adamw` does not."""
    weight_decay: float = Field(default=0.0, ge=0)
    """The optimiser's."""
    gradient_clip: float = Field(default=0.0, ge=0)
    """Largest gradient norm; 0 leaves gradients alone."""
    loss_over_batch: Literal["mean", "sum"] = "mean"
    """Adam hardly sees the difference, its weight decay and epsilon do."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16`: products of matrices while training, and all of a language model's writing; weights and sums stay fp32.
    Some three times as fast on a GPU, and on a processor with bfloat16 instructions."""
    compile: bool = False
    """torch.compile the network's repeated layers: one layer's compilation serves all, in seconds. For a GPU."""


def learning_rate_at(settings: TrainingSettings, step: int, steps_per_epoch: int) -> float:
    """The learning rate of one step."""
    high, low = settings.learning_rate, settings.final_learning_rate
    if settings.schedule == "cosine":
        return low + (high - low) * (1 + math.cos(math.pi * (step // steps_per_epoch) / settings.epochs)) / 2
    if settings.schedule == "linear":
        return low + (high - low) * (1 - step / (steps_per_epoch * settings.epochs))
    return high

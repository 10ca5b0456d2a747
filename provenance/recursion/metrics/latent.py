"""Image models seen by others: samples under generation 0's encoder, real held-out images under each generation.

The spread of the encoder's means is the number that Shumailov et al. print for their VAE.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric
from provenance.recursion.metrics.replicas import per_replica


def latent_sd(means: NDArray[np.floating]) -> float:
    """Standard deviation of the generation-0 encoder's means over all samples and dimensions; NaN for no samples."""
    return float(np.std(means, dtype=np.float64)) if means.size else float("nan")


def held_out_loss(losses: NDArray[np.floating]) -> float:
    """The world's own loss of held-out real images, in its own unit: nats per image for a VAE."""
    return float(losses.mean(dtype=np.float64)) if losses.size else float("nan")


LATENT_SD = Metric(
    name="latent_sd",
    unit="latent units",
    higher_is_better=True,
    needs=("sample_latent_means",),
    measure=per_replica(latent_sd),
)
HELD_OUT_LOSS = Metric(
    name="held_out_loss",
    unit="loss/image",
    higher_is_better=False,
    needs=("held_out_losses",),
    measure=per_replica(held_out_loss),
)

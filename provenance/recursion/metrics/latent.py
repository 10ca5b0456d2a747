"""Spread of generated images in the eyes of the first generation: the number Shumailov et al. print for their VAE."""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric


def latent_sd(means: NDArray[np.floating]) -> float:
    """Standard deviation of the generation-0 encoder's means over all samples and dimensions; NaN for no samples."""
    return float(np.std(means, dtype=np.float64)) if means.size else float("nan")


METRIC = Metric(
    name="latent_sd", unit="latent units", higher_is_better=True, needs=("sample_latent_means",), measure=latent_sd
)

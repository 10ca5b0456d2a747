"""Decoding bias on plain distributions: temperature, top-k, top-p. Knows arrays of probabilities alone."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from provenance.config import Config

Floats = NDArray[np.float64]


class Decoding(Config):
    """How samples are drawn from a model's distribution."""

    temperature: float = Field(default=1.0, gt=0)
    """Probabilities to the power 1 / temperature."""
    top_k: int | None = Field(default=None, ge=1)
    """Only the k likeliest states."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Only the likeliest states that together hold this much."""


def tilted(p: Floats, decoding: Decoding) -> Floats:
    """Each row of `p` as the decoder sees it; rows sum to 1. Ties at the edge of top-k go to the lower index."""
    q = p
    if decoding.temperature != 1.0:
        # Scaled to the row's largest first: powers of small numbers would underflow.
        q = (q / q.max(axis=-1, keepdims=True)) ** (1.0 / decoding.temperature)
    if decoding.top_k is not None or decoding.top_p is not None:
        order = np.argsort(-q, axis=-1, kind="stable")
        ranked = np.take_along_axis(q, order, axis=-1)
        keep = np.ones_like(ranked, dtype=np.bool_)
        if decoding.top_k is not None:
            keep[..., decoding.top_k :] = False
        if decoding.top_p is not None:
            share = ranked / ranked.sum(axis=-1, keepdims=True)
            # A state stays while those before it hold less than top_p: the first is always kept.
            keep &= (np.cumsum(share, axis=-1) - share) < decoding.top_p
        mask = np.zeros_like(keep)
        np.put_along_axis(mask, order, keep, axis=-1)
        q = np.where(mask, q, 0.0)
    return np.asarray(q / q.sum(axis=-1, keepdims=True), dtype=np.float64)

"""Perplexity: of held-out human text under each generation, and of generated text under generation 0.

Held-out text is scored in the blocks a model is trained on, as Shumailov et al. do, with and without the token that
begins each document: models whose training text never held it pay for that token alone. Generated text under the first
model moves both ways at once: to lower perplexity, and into a longer tail of high perplexity, so we report both tails
against the 5 % and 95 % quantiles of held-out text, which that model has not learned from either, and the whole
histogram. At generation 0 writer and judge are one model: what others write is easier to compare from generation 1 on.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric

TAIL = 0.05
"""What held-out text itself has beyond each quantile; with fewer than 1 / TAIL blocks of it there is none."""


def perplexity(nats: NDArray[np.floating]) -> float:
    """Exponential of the mean loss of held-out human text in nats per token; NaN for no tokens."""
    return float(np.exp(nats.mean(dtype=np.float64))) if nats.size else float("nan")


def perplexity_without(
    nats: NDArray[np.floating], targets: NDArray[np.integer], separator: NDArray[np.integer]
) -> float:
    """Perplexity of held-out human text over all tokens but the document separator."""
    return perplexity(nats[~np.isin(targets, separator)])


def quantiles(sample_nats: NDArray[np.floating]) -> dict[str, float]:
    """Quantiles over generated blocks of their perplexity under generation 0."""
    if not len(sample_nats):
        return {}
    return {f"q{q:02d}": float(np.exp(np.quantile(sample_nats, q / 100))) for q in (5, 25, 50, 75, 95)}


def below(sample_nats: NDArray[np.floating], unseen_nats: NDArray[np.floating]) -> float:
    """Share of generated blocks that generation 0 finds easier than 95 % of held-out blocks; 0.05 for human text."""
    return _share(sample_nats < np.quantile(unseen_nats, TAIL)) if len(unseen_nats) * TAIL >= 1 else float("nan")


def above(sample_nats: NDArray[np.floating], unseen_nats: NDArray[np.floating]) -> float:
    """Share of generated blocks that generation 0 finds harder than 95 % of held-out blocks; 0.05 for human text."""
    return _share(sample_nats > np.quantile(unseen_nats, 1 - TAIL)) if len(unseen_nats) * TAIL >= 1 else float("nan")


def histogram(sample_nats: NDArray[np.floating]) -> dict[str, float]:
    """Share of generated blocks by perplexity under generation 0, in half octaves named by their lower edge."""
    if not len(sample_nats):
        return {}
    bins, counts = np.unique(np.floor(2 * sample_nats / np.log(2)).astype(int), return_counts=True)
    shares = counts / len(sample_nats)
    return {f"{2 ** (b / 2):.4g}": float(share) for b, share in zip(bins, shares, strict=True)}


def _share(chosen: NDArray[np.bool_]) -> float:
    return float(chosen.mean()) if len(chosen) else float("nan")


PERPLEXITY = Metric(
    name="perplexity", unit="perplexity/token", higher_is_better=False, needs=("held_out_nats",), measure=perplexity
)
PERPLEXITY_TEXT = Metric(
    name="perplexity_text",
    unit="perplexity/token",
    higher_is_better=False,
    needs=("held_out_nats", "held_out_targets", "separator"),
    measure=perplexity_without,
)
SAMPLE_PERPLEXITY = Metric(
    name="sample_perplexity",
    unit="perplexity/token",
    higher_is_better=None,
    needs=("sample_block_nats",),
    measure=quantiles,
)
SAMPLE_TOO_EASY = Metric(
    name="sample_too_easy",
    unit="fraction",
    higher_is_better=None,
    needs=("sample_block_nats", "unseen_block_nats"),
    measure=below,
)
SAMPLE_TOO_HARD = Metric(
    name="sample_too_hard",
    unit="fraction",
    higher_is_better=None,
    needs=("sample_block_nats", "unseen_block_nats"),
    measure=above,
)
SAMPLE_HISTOGRAM = Metric(
    name="sample_perplexity_histogram",
    unit="fraction",
    higher_is_better=None,
    needs=("sample_block_nats",),
    measure=histogram,
)

"""From logits to one token per row: penalties, truncation, and a draw from one uniform number. Knows no model."""

import torch
from torch import Tensor

from provenance.recursion.decoding.settings import Decoding


def penalise_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Scores of the tokens in `seen` (rows, length) made smaller: divided above zero, multiplied below."""
    score = logits.gather(-1, seen)
    return logits.scatter(-1, seen, torch.where(score < 0, score * penalty, score / penalty))


def truncated(logits: Tensor, settings: Decoding) -> Tensor:
    """Logits (rows, vocabulary) with what top-k and top-p leave out at minus infinity; a mark chooses from the rest.

    In the order of transformers' `generate`, which marks last: a mark must not bring back what truncation dropped.
    """
    if settings.top_k and settings.top_k < logits.shape[-1]:
        logits = logits.masked_fill(logits < logits.topk(settings.top_k, dim=-1).values[:, -1:], -torch.inf)
    if settings.top_p < 1:
        ranked, tokens = logits.sort(dim=-1, descending=True)
        probabilities = ranked.double().softmax(dim=-1)
        late = probabilities.cumsum(dim=-1) - probabilities >= settings.top_p
        logits = logits.masked_fill(late.scatter(-1, tokens, late), -torch.inf)
    return logits


def draw(logits: Tensor, uniform: Tensor, settings: Decoding) -> Tensor:
    """One token per row of `logits` (rows, vocabulary) from `uniform` (rows,) in [0, 1), by inverting the CDF.

    A row's token depends on that row and its number alone, so batches can be cut anywhere. The CDF is float64: in
    float32 a token rarer than 6e-8 would never be drawn, and vanishing tails are what we measure.
    """
    tokens = None
    if settings.top_k or settings.top_p < 1:
        k = min(settings.top_k or logits.shape[-1], logits.shape[-1])
        logits, tokens = logits.topk(k, dim=-1)  # sorted, likeliest first
    probabilities = logits.double().softmax(dim=-1)
    cdf = probabilities.cumsum(dim=-1)
    if settings.top_p < 1:
        # A token stays if those before it have not reached top_p yet.
        kept = cdf - probabilities < settings.top_p
        cdf = probabilities.where(kept, 0.0).cumsum(dim=-1)
    target = uniform[:, None] * cdf[:, -1:]
    choice = torch.searchsorted(cdf, target, right=True).clamp_(max=cdf.shape[-1] - 1)
    return (choice if tokens is None else tokens.gather(-1, choice)).squeeze(-1)

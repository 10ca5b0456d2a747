"""Beam search, token for token what transformers' `generate` finds, without its copies. Knows logits, no text.

Finished hypotheses are kept as (step, beam, token) and the winners read back through the parents at the end, so no
step carries whole sequences along unless a repetition penalty or a processor needs to see them.
"""

import torch
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

from provenance.recursion.decoding.choosing import penalise_repetition
from provenance.recursion.decoding.settings import Decoding, Processor, Request
from provenance.recursion.decoding.slots import Continuation, slot_attention
from provenance.recursion.fused import kernels_for

_IMPOSSIBLE = -1.0e9
"""What transformers adds to a score to rule a hypothesis out; kept for equal arithmetic."""


def beam_search(model: PreTrainedModel, prompts: Tensor, request: Request) -> Tensor:
    """The best continuation of each prompt (prompts, max_new_tokens)."""
    with slot_attention(model):
        return _beam_search(model, prompts, request)


def _beam_search(model: PreTrainedModel, prompts: Tensor, request: Request) -> Tensor:
    n, width, last = len(prompts), request.decoding.beams, request.max_new_tokens - 1
    eos = torch.tensor(request.eos, dtype=torch.int64, device=prompts.device)
    keep = max(2, 1 + len(eos)) * width
    continuation = Continuation(model, prompts, width=width, max_new_tokens=request.max_new_tokens)
    finished = _Finished(n, width, prompts.device, request.decoding.length_penalty)
    in_reach = torch.arange(keep, device=prompts.device) < width  # the rest only stand in for beams that end
    scores = torch.zeros(n, 1, device=prompts.device)
    tokens: list[Tensor] = []
    parents: list[Tensor] = []
    processor = request.processor() if request.processor else None
    sees_text = request.decoding.repetition_penalty != 1 or processor is not None
    text = prompts[:, None, :]  # (n, beams, length), kept up only where something reads it
    logits = continuation.start()[:, None, :]
    for step in range(request.max_new_tokens):
        forbidden = eos if step < request.min_new_tokens else eos[:0]
        fused = kernels_for(logits.device)
        if fused is not None and not sees_text and len(forbidden) <= 1:
            only = request.eos[0] if len(forbidden) else -1
            top, chosen, normaliser = fused.best(logits, keep, only)
        else:
            log_probs, normaliser = _log_probs(logits.float(), text, request.decoding, forbidden, processor)
            top, chosen = log_probs.topk(keep, dim=-1)  # a row cannot contribute more than `keep`
        candidates, beam, token = _best(top - normaliser + scores[:, :, None], chosen, keep)
        ends = torch.isin(token, eos) if step < last else torch.ones_like(token, dtype=torch.bool)
        finished.offer(candidates, beam, token, ends & in_reach, step)
        if step == last:
            break
        scores, chosen = (candidates + ends * _IMPOSSIBLE).topk(width)
        parents.append(beam.gather(1, chosen))
        tokens.append(token.gather(1, chosen))
        if len(eos) and step + 1 >= request.min_new_tokens and not finished.can_improve(scores, step + 1):
            break
        if sees_text:
            past = text.gather(1, parents[-1][:, :, None].expand(-1, -1, text.shape[2]))
            text = torch.cat([past, tokens[-1][:, :, None]], dim=2)
        logits = continuation.step(tokens[-1], parents[-1])
    return _read_back(finished, tokens, parents, request)


def _log_probs(
    logits: Tensor, text: Tensor, decoding: Decoding, forbidden: Tensor, processor: Processor | None
) -> tuple[Tensor, Tensor]:
    """Scores (n, beams, vocabulary) and what to subtract from each row (n, beams, 1) to make them log-probabilities.

    Kept apart because subtracting from the few best is cheaper than from the whole vocabulary.
    """
    normaliser = logits.logsumexp(dim=-1, keepdim=True)
    if decoding.repetition_penalty != 1 or processor is not None:
        # Penalties act on log-probabilities, all below zero.
        logits, normaliser = logits - normaliser, torch.zeros_like(normaliser)
    if decoding.repetition_penalty != 1:
        logits = penalise_repetition(logits, text, decoding.repetition_penalty)
    if len(forbidden):
        logits = logits.index_fill(-1, forbidden, -torch.inf)
    if processor is not None:
        logits = processor(text.flatten(0, 1), logits.flatten(0, 1)).view(logits.shape)
    return logits, normaliser


def _best(scores: Tensor, tokens: Tensor, keep: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each beam's `keep` best (n, beams, keep) the best over all beams: scores, beams, tokens, each (n, keep)."""
    best, where = scores.flatten(1).topk(keep)
    return best, where // keep, tokens.flatten(1).gather(1, where)


class _Finished:
    """The `width` best ended hypotheses of each prompt."""

    def __init__(self, n: int, width: int, device: torch.device, length_penalty: float) -> None:
        self._length_penalty = length_penalty
        self.scores = torch.full((n, width), _IMPOSSIBLE, device=device)
        self.is_real = torch.zeros(n, width, dtype=torch.bool, device=device)
        self.ends = torch.zeros(n, width, 3, dtype=torch.int64, device=device)
        """Step, beam and token of the end."""
        self._open = torch.ones(n, 1, dtype=torch.bool, device=device)
        """Whether a running beam could still beat what is finished."""

    def offer(self, scores: Tensor, beam: Tensor, token: Tensor, ended: Tensor, step: int) -> None:
        """Take in the candidates that `ended` at `step`."""
        scores = scores / (step + 1) ** self._length_penalty + (~self._open) * _IMPOSSIBLE + (~ended) * _IMPOSSIBLE
        ends = torch.stack([torch.full_like(beam, step), beam, token], dim=2)
        width = self.scores.shape[1]
        self.scores, chosen = torch.cat([self.scores, scores], dim=1).topk(width)
        self.is_real = torch.cat([self.is_real, ended], dim=1).gather(1, chosen)
        self.ends = torch.cat([self.ends, ends], dim=1).gather(1, chosen[:, :, None].expand(-1, -1, 3))

    def can_improve(self, running: Tensor, length: int) -> bool:
        """Whether any prompt's best running beam may still beat its worst finished one."""
        best_running = running[:, :1] / length**self._length_penalty
        worst = torch.where(self.is_real, self.scores.min(dim=1, keepdim=True).values, _IMPOSSIBLE)
        self._open &= (best_running > worst).any(dim=1, keepdim=True)
        return bool(self._open.any())


def _read_back(finished: _Finished, tokens: list[Tensor], parents: list[Tensor], request: Request) -> Tensor:
    end, beam, last_token = finished.ends[:, 0].unbind(dim=1)
    out = torch.full((len(end), request.max_new_tokens), request.pad, dtype=torch.int64, device=end.device)
    out.scatter_(1, end[:, None], last_token[:, None])
    for step in range(len(tokens) - 1, -1, -1):
        running = step < end  # a hypothesis that ended at `end` came from `beam` at end − 1
        at = beam[:, None]
        out[:, step] = torch.where(running, tokens[step].gather(1, at).squeeze(1), out[:, step])
        beam = torch.where(running, parents[step].gather(1, at).squeeze(1), beam)
    return out

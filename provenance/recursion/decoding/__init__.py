"""Batched decoding of causal language models: greedy, sampled, beams; equal to transformers' `generate`, and faster.

Prompts go in as token ids of one length, new token ids come out. Knows nothing of text, generations or pools.
"""

import logging

import torch
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

from provenance.errors import ConfigError, ProvenanceError
from provenance.recursion.decoding.beams import beam_search
from provenance.recursion.decoding.choosing import draw, penalise_repetition, truncated
from provenance.recursion.decoding.settings import Decoding, Processor, Request
from provenance.recursion.decoding.slots import Continuation
from provenance.seeds import stream

__all__ = ["Decoding", "Processor", "Request", "generate"]

logger = logging.getLogger(__name__)

CPU_BATCH_SIZE = 64
"""Prompts at a time on a CPU: larger batches leave its caches and gain nothing."""


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    prompts: Tensor,
    request: Request,
    *,
    seed: int = 0,
    batch_size: int = 0,
    what: str = "generation",
) -> Tensor:
    """Continue `prompts` int64 (n, length) by int64 (n, max_new_tokens), on the CPU; `model` is in evaluation mode.

    `batch_size` 0 fills the free memory of a GPU; when that runs out, the batch is halved and the work goes on. How
    the prompts are cut into batches does not change which random numbers a prompt meets.
    Raises ConfigError when prompt and continuation do not fit the model's context.
    """
    n, length = prompts.shape
    context = getattr(model.config, "max_position_embeddings", None)
    if context is not None and length + request.max_new_tokens > context:
        raise ConfigError(
            f"{what}: {length} prompt tokens and {request.max_new_tokens} new ones exceed the context of {context}",
            hint="shorten the blocks or the prompts",
        )
    beams = request.decoding.beams
    if beams > 1 and max(2, 1 + len(request.eos)) * beams > model.config.vocab_size:
        raise ConfigError(f"{what}: {beams} beams are too many for {model.config.vocab_size} tokens")
    size = batch_size or _fitting_batch(model, length, request)
    done = [torch.empty(0, request.max_new_tokens, dtype=torch.int64)]
    start = 0
    while start < n:
        batch = prompts[start : start + size].to(model.device)
        try:
            new = beam_search(model, batch, request) if beams > 1 else _one_by_one(model, batch, request, seed, start)
        except torch.OutOfMemoryError as error:
            if size == 1:
                raise ProvenanceError(
                    f"{what}: one prompt does not fit the device's memory", hint="use fewer beams or a smaller model"
                ) from error
            size = max(1, size // 2)
            logger.warning("%s: out of memory, going on with %d prompts at a time", what, size)
            if model.device.type == "cuda":
                torch.cuda.empty_cache()
            continue
        done.append(new.cpu())
        start += len(batch)
    if model.device.type == "cuda":
        torch.cuda.empty_cache()  # the store was most of the memory, and other processes may share the device
    return torch.cat(done)


def _one_by_one(model: PreTrainedModel, prompts: Tensor, request: Request, seed: int, first: int) -> Tensor:
    """Greedy or sampled continuations of prompts number `first`, `first` + 1, …"""
    n, steps, device = len(prompts), request.max_new_tokens, prompts.device
    sampled = request.decoding.method == "sample"
    # A processor sees logits that are truncated already.
    left = request.decoding.model_copy(update={"top_k": 0, "top_p": 1.0}) if request.processor else request.decoding
    uniforms = _uniforms(seed, first, n, steps, device) if sampled else torch.empty(0)
    eos = torch.tensor(request.eos, dtype=torch.int64, device=device)
    processor = request.processor() if request.processor else None
    continuation = Continuation(model, prompts, width=1, max_new_tokens=steps)
    text = torch.cat([prompts, prompts.new_full((n, steps), request.pad)], dim=1)
    running = torch.ones(n, dtype=torch.bool, device=device)
    logits = continuation.start()
    for step in range(steps):
        at = prompts.shape[1] + step
        logits = logits.float()
        if request.decoding.repetition_penalty != 1:
            logits = penalise_repetition(logits, text[:, :at], request.decoding.repetition_penalty)
        if len(eos) and step < request.min_new_tokens:
            logits = logits.index_fill(-1, eos, -torch.inf)
        if sampled:
            logits = logits / request.decoding.temperature
        if processor is not None:
            logits = processor(text[:, :at], truncated(logits, request.decoding) if sampled else logits)
        token = draw(logits, uniforms[:, step], left) if sampled else logits.argmax(dim=-1)
        text[:, at] = torch.where(running, token, request.pad)
        running &= ~torch.isin(token, eos)
        # Reading `running` back waits for the device, so only now and then.
        if step + 1 == steps or (len(eos) and step % 8 == 7 and not bool(running.any())):
            break
        logits = continuation.step(text[:, at : at + 1])[:, 0]
    return text[:, prompts.shape[1] :]


def _uniforms(seed: int, first: int, n: int, steps: int, device: torch.device) -> Tensor:
    """Numbers in [0, 1) for prompts `first` … `first` + n, the same however prompts are cut into batches."""
    rng = stream(seed, "tokens")
    rng.bit_generator.advance(first * steps)  # type: ignore[attr-defined]  # PCG64DXSM has it
    return torch.from_numpy(rng.random((n, steps))).to(device)


def _fitting_batch(model: PreTrainedModel, length: int, request: Request) -> int:
    """How many prompts fit the device: keys and values, the prefill, and a few copies of the logits."""
    if model.device.type != "cuda":
        return CPU_BATCH_SIZE
    config, beams = model.config, request.decoding.beams
    kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_size = config.hidden_size // config.num_attention_heads
    slots = length + beams * request.max_new_tokens
    cache = 2 * config.num_hidden_layers * kv_heads * head_size * slots * model.dtype.itemsize
    logits = beams * config.vocab_size * 4 * (5 if request.decoding.method == "sample" else 3)
    prefill = length * config.hidden_size * 16 * model.dtype.itemsize
    free, _ = torch.cuda.mem_get_info(model.device)
    return max(1, int(0.7 * free / (cache + logits + prefill)))

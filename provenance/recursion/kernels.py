"""Triton kernels for what moves the most bytes in training and decoding. CUDA only; imported where one is used.

Each has a plain torch form that a CPU runs and that tests hold it to. Knows tensors; no model, text or policy.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

LANES = 1024


@triton.jit
def _best_kernel(
    logits, values, tokens, normaliser, row_stride, vocabulary, forbidden,
    KEEP: tl.constexpr, LANES: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    # A lane holds every LANES-th token. One pass finds each lane's best and its part of the sum; then the best lane
    # gives up its token and looks again at its own few tokens, KEEP times. Among equals the smaller token wins.
    row = tl.program_id(0).to(tl.int64)
    at_row = logits + row * row_stride
    lane = tl.arange(0, LANES)
    highest = tl.full((LANES,), -3.0e38, tl.float32)
    total = tl.zeros((LANES,), tl.float32)
    best = tl.full((LANES,), float("-inf"), tl.float32)
    where = tl.full((LANES,), vocabulary, tl.int32)
    for start in range(0, vocabulary, LANES):
        token = start + lane
        x = tl.load(at_row + token, mask=token < vocabulary, other=float("-inf")).to(tl.float32)
        risen = tl.maximum(highest, x)
        total = total * tl.exp(highest - risen) + tl.exp(x - risen)
        highest = risen
        better = (x > best) & (token != forbidden)
        best = tl.where(better, x, best)
        where = tl.where(better, token, where)
    top = tl.max(highest, 0)
    tl.store(normaliser + row, top + tl.log(tl.sum(total * tl.exp(highest - top), 0)))
    for rank in tl.static_range(KEEP):
        value = tl.max(best, 0)
        token = tl.min(tl.where(best == value, where, vocabulary), 0)
        tl.store(values + row * KEEP + rank, value)
        tl.store(tokens + row * KEEP + rank, token.to(tl.int64))
        winner = token % LANES
        others = tl.arange(0, DEPTH) * LANES + winner
        x = tl.load(at_row + others, mask=others < vocabulary, other=float("-inf")).to(tl.float32)
        left = ((x < value) | ((x == value) & (others > token))) & (others != forbidden)
        x = tl.where(left, x, float("-inf"))
        next_value = tl.max(x, 0)
        next_token = tl.min(tl.where(left & (x == next_value), others, vocabulary), 0)
        best = tl.where(lane == winner, next_value, best)
        where = tl.where(lane == winner, next_token, where)


def best(logits: Tensor, keep: int, forbidden: int = -1) -> tuple[Tensor, Tensor, Tensor]:
    """The `keep` best tokens of each row and the row's log-sum-exp, in one reading of `logits` (…, vocabulary).

    Values float32 and tokens int64 (…, keep), log-sum-exp float32 (…, 1). `forbidden` cannot be chosen but counts in
    the sum.
    """
    rows, vocabulary = logits.reshape(-1, logits.shape[-1]), logits.shape[-1]
    values = torch.empty(len(rows), keep, dtype=torch.float32, device=logits.device)
    tokens = torch.empty(len(rows), keep, dtype=torch.int64, device=logits.device)
    normaliser = torch.empty(len(rows), 1, dtype=torch.float32, device=logits.device)
    depth = triton.next_power_of_2(triton.cdiv(vocabulary, LANES))
    _best_kernel[(len(rows),)](
        rows, values, tokens, normaliser, rows.stride(0), vocabulary, forbidden, KEEP=keep, LANES=LANES, DEPTH=depth,
        num_warps=4,
    )  # fmt: skip
    shape = logits.shape[:-1]
    return values.view(*shape, keep), tokens.view(*shape, keep), normaliser.view(*shape, 1)


@triton.jit
def _loss_kernel(logits, targets, losses, normaliser, row_stride, vocabulary, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at_row = logits + row * row_stride
    highest = tl.full((BLOCK,), -3.0e38, tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, vocabulary, BLOCK):
        token = start + tl.arange(0, BLOCK)
        x = tl.load(at_row + token, mask=token < vocabulary, other=float("-inf")).to(tl.float32)
        risen = tl.maximum(highest, x)
        total = total * tl.exp(highest - risen) + tl.exp(x - risen)
        highest = risen
    top = tl.max(highest, 0)
    log_sum = top + tl.log(tl.sum(total * tl.exp(highest - top), 0))
    chosen = tl.load(at_row + tl.load(targets + row)).to(tl.float32)
    tl.store(normaliser + row, log_sum)
    tl.store(losses + row, log_sum - chosen)


@triton.jit
def _loss_gradient_kernel(
    logits, targets, normaliser, outer, gradient, row_stride, vocabulary,
    BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    log_sum, target, scale = tl.load(normaliser + row), tl.load(targets + row), tl.load(outer + row)
    for start in range(0, vocabulary, BLOCK):
        token = start + tl.arange(0, BLOCK)
        inside = token < vocabulary
        x = tl.load(logits + row * row_stride + token, mask=inside, other=float("-inf")).to(tl.float32)
        slope = (tl.exp(x - log_sum) - tl.where(token == target, 1.0, 0.0)) * scale
        tl.store(gradient + row * vocabulary + token, slope.to(gradient.dtype.element_ty), mask=inside)


class _TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        n, vocabulary = logits.shape
        losses = torch.empty(n, dtype=torch.float32, device=logits.device)
        normaliser = torch.empty_like(losses)
        _loss_kernel[(n,)](logits, targets, losses, normaliser, logits.stride(0), vocabulary, BLOCK=4096, num_warps=8)
        ctx.save_for_backward(logits, targets, normaliser)
        return losses

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None]:
        logits, targets, normaliser = ctx.saved_tensors
        gradient = torch.empty(logits.shape, dtype=logits.dtype, device=logits.device)
        _loss_gradient_kernel[(len(logits),)](
            logits, targets, normaliser, outer[0].float().contiguous(), gradient, logits.stride(0), logits.shape[1],
            BLOCK=4096, num_warps=8,
        )  # fmt: skip
        return gradient, None


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats, float32 (n,), of `targets` int64 (n,) under `logits` (n, vocabulary) of any precision.

    Sums are float32 whatever the logits are, and nothing of their size is written but their gradient.
    """
    losses: Tensor = _TokenLosses.apply(logits, targets.contiguous())  # type: ignore[no-untyped-call]
    return losses


@triton.jit
def _attend_kernel(
    query, key, value, mask, out, scale, used, beams, head_size,
    q_n, q_h, q_b, k_n, k_h, k_s, v_n, v_h, v_s, m_n, m_b,
    o_n, o_b, o_h,
    GROUP: tl.constexpr, ROWS: tl.constexpr, SLOTS: tl.constexpr, HEAD: tl.constexpr,
):  # fmt: skip
    # One program for a prompt and a key-value head: the queries of all beams and of all heads that share these keys.
    n, h = tl.program_id(0).to(tl.int64), tl.program_id(1)
    row, dim = tl.arange(0, ROWS), tl.arange(0, HEAD)
    beam, head = row // GROUP, h * GROUP + row % GROUP
    real, wide = row < beams * GROUP, dim < head_size
    both = real[:, None] & wide[None, :]
    q = tl.load(query + n * q_n + head[:, None] * q_h + beam[:, None] * q_b + dim[None, :], mask=both, other=0.0)
    top = tl.full((ROWS,), -1.0e30, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    mean = tl.zeros((ROWS, HEAD), tl.float32)
    for start in range(0, used, SLOTS):
        slot = start + tl.arange(0, SLOTS)
        there = slot < used
        k = tl.load(
            key + n * k_n + h * k_h + slot[None, :] * k_s + dim[:, None], mask=there[None, :] & wide[:, None], other=0.0
        )
        bias = tl.load(
            mask + n * m_n + beam[:, None] * m_b + slot[None, :], mask=real[:, None] & there[None, :],
            other=float("-inf"),
        )  # fmt: skip
        scores = tl.dot(q, k, input_precision="ieee") * scale + bias.to(tl.float32)
        risen = tl.maximum(top, tl.max(scores, 1))
        weight = tl.exp(scores - risen[:, None])
        fading = tl.exp(top - risen)
        total = total * fading + tl.sum(weight, 1)
        v = tl.load(
            value + n * v_n + h * v_h + slot[:, None] * v_s + dim[None, :],
            mask=there[:, None] & wide[None, :],
            other=0.0,
        )
        mean = mean * fading[:, None] + tl.dot(weight.to(v.dtype), v, input_precision="ieee")
        top = risen
    mean = mean / tl.where(real, total, 1.0)[:, None]
    at = out + n * o_n + beam[:, None] * o_b + head[:, None] * o_h + dim[None, :]
    tl.store(at, mean.to(out.dtype.element_ty), mask=both)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Attention of beams over a shared store of slots, each key and value read once for all beams and heads of a group.

    query (prompts, heads, beams, size), key and value (prompts, key-value heads, slots, size), mask (prompts, 1, beams,
    slots) added to the scores; (prompts, beams, heads, size) comes back. The last axis of each is contiguous.
    """
    n, heads, beams, size = query.shape
    kv_heads, used = key.shape[1], key.shape[2]
    group = heads // kv_heads
    out = torch.empty(n, beams, heads, size, dtype=query.dtype, device=query.device)
    _attend_kernel[(n, kv_heads)](
        query, key, value, mask, out, scale, used, beams, size, *query.stride()[:3], *key.stride()[:3],
        *value.stride()[:3], mask.stride(0), mask.stride(2), *out.stride()[:3],
        GROUP=group, ROWS=max(16, triton.next_power_of_2(group * beams)), SLOTS=64,
        HEAD=max(16, triton.next_power_of_2(size)), num_warps=4,
    )  # fmt: skip
    return out

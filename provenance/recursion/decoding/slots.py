"""Prompts being continued by several beams each, over one key-value store that is written once and never moved.

The store holds a prompt's keys and values once, then one slot per beam and step. The beams of a prompt go through the
model as that many queries at the same position, and a mask says which slots are a beam's ancestors. When a beam takes
over another's past only its row of the mask changes: nothing is copied, and each key is read once for all beams. Beams
mostly share their past but for the last steps, so now and then the slots that no beam descends from are squeezed out.
Works for every transformers causal model that takes `position_ids`, a 4-d mask and a Cache. Chooses no tokens.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import PreTrainedModel

from provenance.recursion.fused import kernels_for

SQUEEZE_EVERY_STEPS = 16


class _SlotLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers is untyped
    """One layer's keys and values (prompts, heads, slots, head size), allocated once."""

    is_sliding = False

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity, self._used = capacity, 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        n, heads, _, _ = key_states.shape
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = key_states.new_empty(n, heads, self._capacity, key_states.shape[3])
        self.values = value_states.new_empty(n, heads, self._capacity, value_states.shape[3])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self._used + key_states.shape[2]
        self.keys[:, :, self._used : end] = key_states
        self.values[:, :, self._used : end] = value_states
        self._used = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def keep(self, start: int, slots: Tensor) -> None:
        """Of the slots from `start` on, keep those numbered `slots` (prompts, kept)."""
        index = slots[:, None, :, None].expand(-1, self.keys.shape[1], -1, self.keys.shape[3])
        for store in (self.keys, self.values):
            store[:, :, start : start + slots.shape[1]] = store[:, :, start : self._used].gather(2, index)
        self._used = start + slots.shape[1]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._used + query_length, 0

    def get_seq_length(self) -> int:
        return self._used

    def get_max_length(self) -> int:
        return self._capacity


@contextmanager
def slot_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let the model's attention read the store by one kernel, where there is a CUDA device for it.

    SDPA would copy keys and values for every head that shares them, and run a tile of 64 queries for the few there are.
    """
    before = model.config._attn_implementation
    if before != "sdpa" or kernels_for(model.device) is None:
        yield
        return
    AttentionInterface.register("slots", _attend)
    model.config._attn_implementation = "slots"
    try:
        yield
    finally:
        model.config._attn_implementation = before


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """What transformers calls for the beams of a step; the prompts themselves go without a mask, to SDPA."""
    fused = kernels_for(query.device)
    if attention_mask is None or fused is None:
        attended: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return attended
    scale = options.get("scaling")
    return fused.attend(query, key, value, attention_mask, query.shape[-1] ** -0.5 if scale is None else scale), None


class Continuation:
    """One batch of equally long prompts and the tokens that follow them."""

    def __init__(self, model: PreTrainedModel, prompts: Tensor, *, width: int, max_new_tokens: int) -> None:
        self._model, self._width = model, width
        n, self._length = prompts.shape
        # The last token is chosen, never fed back: max_new_tokens − 1 steps write slots.
        capacity = self._length + width * (max_new_tokens - 1)
        self._cache = Cache(layers=[_SlotLayer(capacity) for _ in range(model.config.num_hidden_layers)])
        self._used, self._steps = self._length, 0
        self._prompts = prompts
        # transformers 5.24 renamed the argument, and warns of the old name.
        named = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
        self._cached: dict[str, Any] = {named: self._cache, "use_cache": True}
        # Rows a multiple of 8 long: CUDA's attention kernels want aligned masks.
        self._mask = prompts.new_full((n, 1, width, -(-capacity // 8) * 8), -torch.inf, dtype=model.dtype)
        self._mask[..., : self._length] = 0
        self._own = torch.full((width, width), -torch.inf, dtype=model.dtype, device=prompts.device).fill_diagonal_(0)

    def start(self) -> Tensor:
        """Logits (prompts, vocabulary) of the first new token, in the model's precision."""
        output = self._model(self._prompts, **self._cached, logits_to_keep=1)
        logits: Tensor = output.logits[:, -1]
        return logits

    def step(self, tokens: Tensor, parents: Tensor | None = None) -> Tensor:
        """Logits (prompts, width, vocabulary) after each beam took `tokens` (prompts, width).

        `parents` (prompts, width) says whose past each beam carries on; None: its own.
        """
        mask = self._mask
        if parents is not None and self._steps > 0:
            past = mask[..., self._length : self._used]
            index = parents[:, None, :, None].expand_as(past)
            mask[..., self._length : self._used] = past.gather(2, index)
        if self._width > 1 and self._steps % SQUEEZE_EVERY_STEPS == SQUEEZE_EVERY_STEPS - 1:
            self._squeeze()
        end = self._used + self._width
        mask[..., self._used : end] = self._own
        positions = torch.full_like(tokens, self._length + self._steps)
        output = self._model(
            tokens,
            # One query sees everything there is; SDPA is faster without a mask.
            attention_mask=mask[..., :end] if self._width > 1 else None,
            position_ids=positions,
            **self._cached,
        )
        self._used, self._steps = end, self._steps + 1
        logits: Tensor = output.logits
        return logits

    def _squeeze(self) -> None:
        past = self._mask[..., self._length : self._used]  # 0 where the slot is an ancestor
        alive = (past == 0).any(dim=2).squeeze(1)
        most = int(alive.sum(dim=1).max())
        slots = (
            alive.to(torch.uint8).topk(most, dim=1).indices
        )  # a prompt with fewer keeps some dead ones, still masked
        for layer in self._cache.layers:
            layer.keep(self._length, slots)
        index = slots[:, None, None, :].expand(-1, 1, self._width, -1)
        self._mask[..., self._length : self._length + most] = past.gather(3, index)
        self._used = self._length + most

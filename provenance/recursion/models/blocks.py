"""Documents as one stream of tokens cut into blocks of fixed length, and losses of such blocks. Knows no policy.

What a model is trained on and scored in: no padding, so every position counts and every batch has one shape.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers.modeling_utils import PreTrainedModel

from provenance.recursion.fused import kernels_for

TOKENS_PER_BATCH = {"cpu": 4096, "cuda": 16384}
"""How many tokens are scored at once; their logits take vocabulary × 4 bytes each."""


def cut(stream: NDArray[np.int32], length: int) -> Tensor:
    """Blocks int64 (n, length); what is left over at the end is dropped."""
    n = len(stream) // length
    return torch.from_numpy(stream[: n * length].astype(np.int64)).view(n, length)


def next_token_losses(model: PreTrainedModel, blocks: Tensor) -> Tensor:
    """Loss in nats of every token but each block's first, (n, length − 1)."""
    logits = model(blocks[:, :-1], use_cache=False).logits
    return _losses(logits, blocks[:, 1:])


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Nats (n, length) of `targets` under `logits` (n, length, vocabulary)."""
    rows, wanted = logits.flatten(0, 1), targets.flatten()
    fused = kernels_for(logits.device)
    if fused is not None:
        losses: Tensor = fused.token_losses(rows, wanted)
    else:
        losses = functional.cross_entropy(rows, wanted, reduction="none")
    return losses.view(targets.shape)


@torch.no_grad()
def score(model: PreTrainedModel, blocks: Tensor) -> NDArray[np.float32]:
    """`next_token_losses` of many blocks, in batches."""
    losses = [torch.empty(0, blocks.shape[1] - 1)]
    losses += [next_token_losses(model, part).float().cpu() for part in _batches(model, blocks)]
    return torch.cat(losses).numpy()


def score_stream(model: PreTrainedModel, stream: NDArray[np.int32], length: int) -> NDArray[np.float32]:
    """Loss in nats of every token but the first, each with at least half a block before it where there is as much."""
    if len(stream) < 2:
        return np.empty(0, dtype=np.float32)
    window = min(length, len(stream))
    stride = max(1, window // 2)
    starts = [*range(0, len(stream) - window, stride), len(stream) - window]
    blocks = torch.from_numpy(np.stack([stream[s : s + window] for s in starts]).astype(np.int64))
    losses = score(model, blocks)
    found = np.empty(len(stream) - 1, dtype=np.float32)
    # Later windows overlap earlier ones; a token keeps the loss of the first window that scored it.
    for start, loss in zip(reversed(starts), losses[::-1], strict=True):
        found[start : start + window - 1] = loss
    return found


@torch.no_grad()
def score_and_features(model: PreTrainedModel, blocks: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean loss in nats of each block (n,), and the mean of the last hidden layer over it (n, width), in one pass."""
    width = model.get_input_embeddings().weight.shape[1]  # OPT-350m's last layer is projected back to it
    losses, means = [torch.empty(0)], [torch.empty(0, width)]
    for part in _batches(model, blocks):
        output = model(part, use_cache=False, output_hidden_states=True)
        loss = _losses(output.logits[:, :-1], part[:, 1:])
        losses.append(loss.float().mean(dim=1).cpu())
        means.append(output.hidden_states[-1].float().mean(dim=1).cpu())
    return torch.cat(losses).numpy(), torch.cat(means).numpy()


def _batches(model: PreTrainedModel, blocks: Tensor) -> Iterator[Tensor]:
    size = max(1, TOKENS_PER_BATCH[model.device.type] // max(1, blocks.shape[1]))
    for start in range(0, len(blocks), size):
        yield blocks[start : start + size].to(model.device)

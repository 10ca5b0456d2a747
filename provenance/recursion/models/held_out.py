"""What a language model makes of human texts it has never seen: losses by block, bits by document and subgroup."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers.modeling_utils import PreTrainedModel

from provenance.plugins import Arrays
from provenance.recursion.models import blocks, words


def held_out(
    model: PreTrainedModel,
    batch: Arrays,
    texts: Sequence[str],
    subgroups: Sequence[str | None],
    *,
    separator: int,
    length: int,
) -> dict[str, Any]:
    """Observations of `texts`, given encoded as `batch`: perplexity looks at blocks, bits per byte at every token."""
    stream = batch["ids"]
    cut = blocks.cut(stream, length)
    losses = blocks.score_stream(model, stream, length).astype(np.float64) / np.log(2)
    # What is coded is the text; where documents begin is known.
    bits = np.where(stream[1:] != separator, losses, 0.0)
    document = np.repeat(np.arange(len(texts)), words.lengths(batch))[1:]
    per_document = np.bincount(document, weights=bits, minlength=len(texts))
    n_bytes = np.array([len(text.encode()) for text in texts])
    groups = np.array([group or "" for group in subgroups])
    names = sorted({group for group in subgroups if group})
    return {
        "held_out_nats": blocks.score(model, cut),
        "held_out_targets": cut[:, 1:].numpy(),
        "held_out_bits": float(per_document.sum()),
        "held_out_bytes": int(n_bytes.sum()),
        "held_out_subgroup_bits": {name: float(per_document[groups == name].sum()) for name in names},
        "held_out_subgroup_bytes": {name: int(n_bytes[groups == name].sum()) for name in names},
    }

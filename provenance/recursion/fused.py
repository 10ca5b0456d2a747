"""Where the Triton kernels apply: the one place that chooses between them and plain torch. Imports neither itself."""

import functools
import importlib.util
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def kernels_for(device: "torch.device") -> ModuleType | None:
    """`recursion.kernels` on a CUDA device; None on others, and where Triton is not installed."""
    return _kernels() if device.type == "cuda" else None


@functools.cache
def _kernels() -> ModuleType | None:
    if importlib.util.find_spec("triton") is None:
        return None
    from provenance.recursion import kernels

    return kernels

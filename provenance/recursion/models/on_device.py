"""The three random draws of big replica counts on a torch device, under the names NumPy's Generator has for them.

Worth it from about a million replicas on: the numbers come back to NumPy, where the rest of the world lives. The same
stream gives the same bytes on the same device, and other bytes on another.
"""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from provenance.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    import torch

Device = Literal["cpu", "cuda"]


class TorchDraws:
    """Draws on a torch device, seeded from a NumPy stream."""

    def __init__(self, device: "torch.device", rng: np.random.Generator) -> None:
        import torch

        self._torch, self._device = torch, device
        self._generator = torch.Generator(device).manual_seed(int(rng.integers(0, 2**63)))

    def standard_normal(self, size: int) -> NDArray[np.float64]:
        """Normal numbers."""
        return self._numbers(self._torch.randn(size, generator=self._generator, **self._double()))

    def standard_gamma(self, shape: float | NDArray[np.float64], size: int | None = None) -> NDArray[np.float64]:
        """Gamma numbers of scale 1; 0 where the shape is 0."""
        shapes = self._torch.as_tensor(np.asarray(shape, dtype=np.float64), device=self._device)
        if size is not None:
            shapes = shapes.expand(size)
        drawn = self._torch._standard_gamma(shapes.clamp(min=1e-300).contiguous(), generator=self._generator)
        return self._numbers(drawn * (shapes > 0))

    def binomial(self, n: NDArray[np.int64], p: NDArray[np.float64]) -> NDArray[np.int64]:
        """Successes in n[r] tries."""
        return np.asarray(self._numbers(self._binomial(self._tensor(n), self._tensor(p))), dtype=np.int64)

    def multinomial(self, n: NDArray[np.int64], p: NDArray[np.float64]) -> NDArray[np.int64]:
        """n[r] draws from row r of `p`, as one conditional binomial per state."""
        probabilities, left = self._tensor(p), self._tensor(n)
        # Summed from the end, so that the last state with any mass has a share of exactly 1 of what remains.
        remaining = probabilities.flip(1).cumsum(1).flip(1)
        share = (probabilities / remaining.clamp(min=1e-300)).clamp(max=1.0)
        counts = self._torch.zeros_like(probabilities)
        for state in range(probabilities.shape[1]):
            counts[:, state] = self._binomial(left, share[:, state])
            left = left - counts[:, state]
        return np.asarray(self._numbers(counts), dtype=np.int64)

    def _binomial(self, n: "torch.Tensor", p: "torch.Tensor") -> "torch.Tensor":
        return self._torch.binomial(n, p.contiguous(), generator=self._generator)

    def _tensor(self, array: NDArray[Any]) -> "torch.Tensor":
        return self._torch.as_tensor(np.ascontiguousarray(array, dtype=np.float64), device=self._device)

    def _double(self) -> dict[str, Any]:
        return {"dtype": self._torch.float64, "device": self._device}

    @staticmethod
    def _numbers(drawn: "torch.Tensor") -> NDArray[np.float64]:
        return np.asarray(drawn.cpu().numpy(), dtype=np.float64)


Draws = np.random.Generator | TorchDraws


def draws_on(device: Device, rng: np.random.Generator) -> Draws:
    """The stream itself on the CPU, its numbers on a torch device elsewhere."""
    if device == "cpu":
        return rng
    import torch

    return TorchDraws(torch.device(device), rng)


def check_device(device: Device, world: str) -> None:
    """Raises MissingExtraError, ConfigError where `device` cannot be used."""
    if device == "cpu":
        return
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError.of(f"[model] device = {device!r}", "neural") from error
    if not torch.cuda.is_available():
        raise ConfigError(
            f"[model] of world {world!r}: device = {device!r}, but there is no CUDA device", hint="leave device out"
        )

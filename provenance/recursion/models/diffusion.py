"""A small denoising diffusion model (Ho et al. 2020) of grey images: a two-level U-Net that predicts the noise.

Sampling takes a few of the training's steps, without added noise (DDIM, Song et al. 2021). Knows no policy, tag or
detector.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own spelling)
from pydantic import Field
from torch import Tensor, nn

from provenance.recursion.models.image_world import ImageSampling, ImageSettings, ImageWorld
from provenance.recursion.training_settings import TrainingSettings


class _Block(nn.Module):
    """Two convolutions around the time embedding, with a shortcut."""

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm1, self.norm2 = nn.GroupNorm(4, outputs), nn.GroupNorm(4, outputs)
        self.time = nn.Linear(embedding, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        hidden = F.silu(self.norm1(self.conv1(x))) + self.time(time)[:, :, None, None]
        found: Tensor = F.silu(self.norm2(self.conv2(hidden))) + self.shortcut(x)
        return found


class Ddpm(nn.Module):
    """Images float32 (n, 1, height, width) in [0, 1], height and width multiples of 4; `channels` a multiple of 4."""

    signal: Tensor
    """Share of the image's variance left after each step."""

    def __init__(
        self, *, height: int, width: int, channels: int = 32, steps: int = 200, sampling_steps: int = 40
    ) -> None:
        super().__init__()
        self._shape, self._steps, self._sampling_steps = (1, height, width), steps, sampling_steps
        embedding = 4 * channels
        self.time = nn.Sequential(nn.Linear(channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.start = nn.Conv2d(1, channels, 3, padding=1)
        self.down1 = _Block(channels, channels, embedding)
        self.down2 = _Block(channels, 2 * channels, embedding)
        self.middle = _Block(2 * channels, 2 * channels, embedding)
        self.up2 = _Block(4 * channels, channels, embedding)
        self.up1 = _Block(2 * channels, channels, embedding)
        self.end = nn.Conv2d(channels, 1, 3, padding=1)
        # The cosine schedule of Nichol and Dhariwal (2021).
        t = torch.linspace(0, 1, steps + 1)
        signal = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
        self.register_buffer("signal", (signal / signal[0]).clamp(1e-4, 0.9999)[1:], persistent=False)

    def noise(self, x: Tensor, step: Tensor) -> Tensor:
        """The noise in `x` after `step` (n,) steps."""
        half = self.start.out_channels // 2
        frequency = torch.exp(-math.log(1000.0) * torch.arange(half, device=x.device) / half)
        angle = step[:, None].float() * (1000.0 / self._steps) * frequency
        time = self.time(torch.cat([angle.sin(), angle.cos()], dim=1))
        one = self.down1(self.start(x), time)
        two = self.down2(F.avg_pool2d(one, 2), time)
        three = self.middle(F.avg_pool2d(two, 2), time)
        hidden = self.up2(torch.cat([F.interpolate(three, scale_factor=2.0), two], dim=1), time)
        hidden = self.up1(torch.cat([F.interpolate(hidden, scale_factor=2.0), one], dim=1), time)
        found: Tensor = self.end(hidden)
        return found

    def losses(self, images: Tensor) -> Tensor:
        """Mean squared error of the predicted noise, at a random step for each image."""
        step = torch.randint(self._steps, (len(images),), device=images.device)
        signal = self.signal[step][:, None, None, None]
        noise = torch.randn_like(images)
        mixed = signal.sqrt() * (2 * images - 1) + (1 - signal).sqrt() * noise
        return ((self.noise(mixed, step) - noise) ** 2).mean(dim=(1, 2, 3))

    def sample(self, n: int) -> Tensor:
        """`n` images, under torch's current random state."""
        x = torch.randn(n, *self._shape, device=self.signal.device)
        steps = torch.linspace(self._steps - 1, 0, self._sampling_steps, device=x.device).round().long()
        for i, step in enumerate(steps):
            signal = self.signal[step]
            noise = self.noise(x, step.expand(n))
            clean = ((x - (1 - signal).sqrt() * noise) / signal.sqrt()).clamp(-1, 1)
            if i + 1 == len(steps):
                break
            later = self.signal[steps[i + 1]]
            # The noise that goes with the clipped image, so that the two stay consistent.
            noise = (x - signal.sqrt() * clean) / (1 - signal).sqrt()
            x = later.sqrt() * clean + (1 - later).sqrt() * noise
        return (clean + 1) / 2


class DiffusionSettings(ImageSettings):
    """The `[model]` table."""

    channels: int = Field(default=8, ge=4, multiple_of=4)
    """Of the U-Net's upper level."""
    steps: int = Field(default=100, ge=2)
    """Noise levels of training."""
    sampling_steps: int = Field(default=20, ge=2)
    """How many of them sampling goes through."""
    training: TrainingSettings = TrainingSettings(epochs=20, batch_size=64, learning_rate=2e-3)
    """The `[model.training]` table."""


class DiffusionWorld(ImageWorld):
    """Images under a diffusion model."""

    name: ClassVar[str] = "diffusion"
    tables = (DiffusionSettings, ImageSampling)
    settings: DiffusionSettings

    def network(self, height: int, width: int) -> nn.Module:
        """The two-level U-Net."""
        settings = self.settings
        return Ddpm(
            height=height,
            width=width,
            channels=settings.channels,
            steps=settings.steps,
            sampling_steps=settings.sampling_steps,
        )

"""The convolutional variational autoencoder of Shumailov et al.'s MNIST experiment, for any small grey image.

Two strided convolutions, a Gaussian latent, their mirror image, Bernoulli pixels. At 28 × 28, 64 channels and 20 latent
dimensions it has the published 647,081 parameters. Knows no policy, tag or detector.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own spelling)
from pydantic import Field
from torch import Tensor, nn

from provenance.plugins import Arrays, Reference
from provenance.recursion.models.image_world import ImageSampling, ImageSettings, ImageWorld, pixels


class Vae(nn.Module):
    """Images float32 (n, 1, height, width) in [0, 1], height and width multiples of 4."""

    def __init__(self, *, height: int, width: int, channels: int = 64, latent: int = 20) -> None:
        super().__init__()
        self.latent = latent
        self._inner = (2 * channels, height // 4, width // 4)
        flat = 2 * channels * (height // 4) * (width // 4)
        self.conv1 = nn.Conv2d(1, channels, 4, stride=2, padding=1)
        self.conv2 = nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1)
        self.to_mean = nn.Linear(flat, latent)
        self.to_log_var = nn.Linear(flat, latent)
        self.from_latent = nn.Linear(latent, flat)
        self.deconv2 = nn.ConvTranspose2d(2 * channels, channels, 4, stride=2, padding=1)
        self.deconv1 = nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latent, each (n, latent)."""
        hidden = F.relu(self.conv2(F.relu(self.conv1(images)))).flatten(1)
        return self.to_mean(hidden), self.to_log_var(hidden)

    def decode_logits(self, latent: Tensor) -> Tensor:
        """Logits of the Bernoulli pixels. The published decoder has no ReLU after its first layer; nor has this."""
        hidden = self.from_latent(latent).view(-1, *self._inner)
        logits: Tensor = self.deconv1(F.relu(self.deconv2(hidden)))
        return logits

    def decode(self, latent: Tensor) -> Tensor:
        """Pixel means: what the experiment calls a sample."""
        return torch.sigmoid(self.decode_logits(latent))

    def sample(self, n: int) -> Tensor:
        """`n` images from the prior, under torch's current random state."""
        return self.decode(torch.randn(n, self.latent, device=self.to_mean.weight.device))

    def losses(self, images: Tensor) -> Tensor:
        """Negative evidence bound of each image in nats: cross-entropy summed over pixels plus KL to the prior."""
        mean, log_var = self.encode(images)
        latent = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        logits = self.decode_logits(latent)
        reconstruction = F.binary_cross_entropy_with_logits(logits, images, reduction="none").sum(dim=(1, 2, 3))
        divergence = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(dim=1)
        return reconstruction + divergence


class VaeSettings(ImageSettings):
    """The `[model]` table."""

    channels: int = Field(default=16, ge=1)
    """Of the first convolution; the second has twice as many."""
    latent: int = Field(default=8, ge=1)
    """Dimensions of the latent."""


class VaeWorld(ImageWorld):
    """Images under a VAE."""

    name: ClassVar[str] = "vae"
    tables = (VaeSettings, ImageSampling)
    settings: VaeSettings

    def network(self, height: int, width: int) -> nn.Module:
        """The convolutional VAE."""
        return Vae(height=height, width=width, channels=self.settings.channels, latent=self.settings.latent)

    def observe(self, model: Arrays, samples: Sequence[tuple[str, Arrays]], reference: Reference) -> dict[str, Any]:
        """Also what generation 0's encoder makes of the samples."""
        seen = super().observe(model, samples, reference)
        seen["sample_latent_means"] = [self._means(reference.model, r, samples) for r in range(self.replicas)]
        return seen

    @torch.no_grad()
    def _means(self, model: Arrays, replica: int, samples: Sequence[tuple[str, Arrays]]) -> Any:
        images = torch.from_numpy(self.some(samples, replica))
        encoder = self.trained(model, replica)
        return encoder.encode(pixels(images).to(encoder.to_mean.weight.device))[0].cpu().numpy()

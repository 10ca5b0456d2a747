"""The 1-D Gaussian world: fit mean and standard deviation, sample, repeat. Knows no policy, tag or detector.

A cohort is its sufficient statistics, count, mean and scatter, drawn from their exact laws (normal and chi-square), so
a replica costs two random numbers per generation whatever its sample size. Where single samples are needed (part of a
cohort is drawn) they are made from the statistics, exactly: given mean and scatter, a Gaussian sample is the
standardised residuals of any other (Basu).
"""

from collections.abc import Mapping, Sequence
from math import log
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from provenance.config import Config, checked
from provenance.errors import DataError
from provenance.plugins import Arrays, Part, Reference
from provenance.recursion.models.on_device import Device, check_device, draws_on
from provenance.recursion.models.subsets import chosen
from provenance.recursion.theory import gaussian as theory

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class GaussianSettings(Config):
    """The `[model]` table."""

    replicas: int = Field(default=1000, ge=1)
    """Independent copies, simulated side by side; figures are means over them."""
    mean: float = 0.0
    """Of the real distribution."""
    sd: float = Field(default=1.0, gt=0)
    """Standard deviation of the real distribution."""
    estimator: Literal["mle", "unbiased"] = "mle"
    """Variance with divisor n, as `np.std` has it and the published notebooks use it, or n - 1."""
    device: Device = "cpu"
    """Where the replicas' random numbers are drawn; `cuda` pays from about 10^6 replicas on."""


class GaussianSampling(Config):
    """The `[sampling]` table."""

    temperature: float = Field(default=1.0, gt=0)
    """Samples have this multiple of the model's variance; below 1 is the quality bias of Alemohammad et al. (2023)."""


class GaussianWorld:
    """Many 1-D Gaussians at once."""

    name: ClassVar[str] = "gaussian"
    tables: ClassVar[tuple[type[Config], type[Config]]] = (GaussianSettings, GaussianSampling)
    subgroups: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, settings: Mapping[str, Any], sampling: Mapping[str, Any]) -> None:
        self.settings = checked(GaussianSettings, settings, "[model] of world 'gaussian'")
        self.sampling = checked(GaussianSampling, sampling, "[sampling] of world 'gaussian'")
        check_device(self.settings.device, self.name)

    @property
    def device(self) -> str:
        """Where random numbers are drawn."""
        return self.settings.device

    @property
    def replicas(self) -> int:
        """Independent copies."""
        return self.settings.replicas

    def real(self, n: Counts, rng: np.random.Generator) -> Arrays:
        """Samples of the real distribution."""
        return _draw(
            np.full(len(n), self.settings.mean), np.full(len(n), self.settings.sd), n, rng, self.settings.device
        )

    def size(self, batch: Arrays) -> Counts:
        """Samples of each replica."""
        return batch["n"]

    def split(self, batch: Arrays, n: Counts, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """A random part of each replica's samples, and the rest, as statistics."""
        x, there = _samples(batch)
        first = chosen(there, n, rng)
        return _statistics(x, first), _statistics(x, there & ~first)

    def fit(self, parts: Sequence[Part], rng: np.random.Generator) -> Arrays:
        """Weighted mean and variance of all parts together. `rng` is not used."""
        del rng
        weights = [float(part.weight) for part in parts]
        sizes = [part.batch["n"] for part in parts]
        n = sizes[0] if len(parts) == 1 else sum(sizes, np.zeros(self.replicas, dtype=np.int64))
        if (n < 2).any():
            raise DataError(f"a Gaussian needs 2 samples to have a variance; a replica has {int(n.min())}")
        if len(parts) == 1:
            # Most generations: the statistics are the estimate.
            divisor = n if self.settings.estimator == "mle" else n - 1
            return {"mean": parts[0].batch["mean"], "sd": np.sqrt(parts[0].batch["scatter"] / divisor)}
        total = _sum(w * size for w, size in zip(weights, sizes, strict=True))
        mean = _sum(w * part.batch["n"] * part.batch["mean"] for w, part in zip(weights, parts, strict=True)) / total
        # Around the common mean, part by part: sums of squares minus n mean^2 would cancel once the variance is small.
        scatter = _sum(
            w * (part.batch["scatter"] + part.batch["n"] * (part.batch["mean"] - mean) ** 2)
            for w, part in zip(weights, parts, strict=True)
        )
        divisor = total
        if self.settings.estimator == "unbiased":
            divisor = total - _sum(w * w * size for w, size in zip(weights, sizes, strict=True)) / total
        return {"mean": mean, "sd": np.sqrt(scatter / divisor)}

    def sample(self, model: Arrays, n: Counts, rng: np.random.Generator) -> dict[str, Arrays]:
        """Samples of each replica's model."""
        temperature = self.sampling.temperature
        sd = model["sd"] if temperature == 1.0 else model["sd"] * np.sqrt(temperature)
        return {"": _draw(model["mean"], sd, n, rng, self.settings.device)}

    def observe(self, model: Arrays, samples: Sequence[tuple[str, Arrays]], reference: Reference) -> dict[str, Any]:
        """Mean and standard deviation, real ones beside."""
        del samples, reference
        return {
            "mean": model["mean"],
            "sd": model["sd"],
            "real_mean": self.settings.mean,
            "real_sd": self.settings.sd,
            "one_dimensional": (model["mean"], model["sd"], self.settings.mean, self.settings.sd),
        }

    def expected(self, policy: str, generation: int, samples: int) -> dict[str, float]:
        """Closed forms of metrics under a shipped policy, where they are known."""
        if self.sampling.temperature != 1.0:
            return {}
        standard = theory.expected(policy, generation, samples, unbiased=self.settings.estimator == "unbiased")
        scale = {"fitted_sd": self.settings.sd}
        known = {metric: value * scale.get(metric, self.settings.sd**2) for metric, value in standard.items()}
        if "log_variance" in standard:
            known["log_variance"] = standard["log_variance"] + 2.0 * log(self.settings.sd)
        return known

    def weights(self, model: Arrays) -> Arrays:
        """The model is arrays."""
        return model

    def restore(self, weights: Arrays) -> Arrays:
        """The model is arrays."""
        return weights


def _sum(terms: Any) -> Floats:
    total: Floats = sum(terms)
    return total


def _draw(mean: Floats, sd: Floats, n: Counts, rng: np.random.Generator, device: Device) -> Arrays:
    """Statistics of `n[r]` samples of N(mean[r], sd[r]^2); zeros where there are none."""
    key = rng.integers(0, 2**63, size=2, dtype=np.int64)
    draws = draws_on(device, rng)
    z = draws.standard_normal(len(n))
    # chi-square with n - 1 degrees of freedom is twice a gamma of half of them; shape 0 gives 0
    if len(n) and (n == n[0]).all() and n[0] > 0:
        size = int(n[0])
        scatter = draws.standard_gamma((size - 1) / 2.0, size=len(n))
        z *= sd
        z *= 1.0 / np.sqrt(size)
        z += mean
        scatter *= sd
        scatter *= sd
        scatter *= 2.0
        return {"n": n, "mean": z, "scatter": scatter, "key": key}
    some = np.maximum(n, 1)
    return {
        "n": n,
        "mean": np.where(n > 0, mean + sd / np.sqrt(some) * z, 0.0),
        "scatter": sd**2 * 2.0 * draws.standard_gamma((some - 1) / 2.0) * (n > 0),
        "key": key,
    }


def _samples(batch: Arrays) -> tuple[Floats, NDArray[np.bool_]]:
    """Single samples with the batch's statistics, shape (replicas, most), and which of them are there."""
    if "x" in batch:
        return batch["x"], batch["there"]
    n = batch["n"]
    rng = np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence([int(k) for k in batch["key"]])))
    there = np.arange(int(n.max(initial=0))) < n[:, None]
    z = np.where(there, rng.standard_normal(there.shape), 0.0)
    z = np.where(there, z - (z.sum(axis=1) / np.maximum(n, 1))[:, None], 0.0)
    length = np.sqrt((z * z).sum(axis=1))
    scale = np.sqrt(batch["scatter"]) / np.where(length > 0, length, 1.0)
    return batch["mean"][:, None] + z * scale[:, None], there


def _statistics(x: Floats, there: NDArray[np.bool_]) -> Arrays:
    """Statistics of the samples that are there, which stay with them."""
    n = there.sum(axis=1)
    mean = np.where(there, x, 0.0).sum(axis=1) / np.maximum(n, 1)
    scatter = (np.where(there, x - mean[:, None], 0.0) ** 2).sum(axis=1)
    return {"n": n, "mean": mean, "scatter": scatter, "x": x, "there": there}

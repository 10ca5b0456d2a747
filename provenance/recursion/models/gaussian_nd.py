"""The d-dimensional Gaussian world. Knows no policy, tag or detector.

A covariance is kept as a factor F with F F^T = covariance, never as the product: collapse drives condition numbers
beyond what a product holds in double precision. Cohorts are sufficient statistics (normal mean, Wishart scatter by
Bartlett's decomposition), so a replica costs d (d + 3) / 2 random numbers per generation.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from provenance.config import Config, checked
from provenance.errors import DataError
from provenance.plugins import Arrays, Part, Reference
from provenance.recursion.models.subsets import chosen, compacted, present
from provenance.recursion.theory import gaussian as theory

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class GaussianNDSettings(Config):
    """The `[model]` table. The real distribution is N(0, identity)."""

    replicas: int = Field(default=100, ge=1)
    """Independent copies, simulated side by side; figures are means over them."""
    dim: int = Field(default=2, ge=1, le=1000)
    """Dimensions."""
    estimator: Literal["mle", "unbiased"] = "mle"
    """Covariance with divisor n, or n - 1."""


class GaussianNDSampling(Config):
    """The `[sampling]` table."""

    temperature: float = Field(default=1.0, gt=0)
    """Samples have this multiple of the model's covariance."""


class GaussianNDWorld:
    """Many d-dimensional Gaussians at once."""

    name: ClassVar[str] = "gaussian_nd"
    tables: ClassVar[tuple[type[Config], type[Config]]] = (GaussianNDSettings, GaussianNDSampling)
    subgroups: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, settings: Mapping[str, Any], sampling: Mapping[str, Any]) -> None:
        self.settings = checked(GaussianNDSettings, settings, "[model] of world 'gaussian_nd'")
        self.sampling = checked(GaussianNDSampling, sampling, "[sampling] of world 'gaussian_nd'")

    @property
    def replicas(self) -> int:
        """Independent copies."""
        return self.settings.replicas

    def real(self, n: Counts, rng: np.random.Generator) -> Arrays:
        """Samples of N(0, identity)."""
        d = self.settings.dim
        return self._draw(np.zeros((len(n), d)), np.broadcast_to(np.eye(d), (len(n), d, d)), n, rng)

    def size(self, batch: Arrays) -> Counts:
        """Samples of each replica."""
        return batch["n"]

    def split(self, batch: Arrays, n: Counts, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """A random part of each replica's samples, and the rest."""
        x = _samples(batch)
        there = present(batch["n"], x.shape[1])
        first = chosen(there, n, rng)
        return _of(x, first, n), _of(x, there & ~first, batch["n"] - n)

    def fit(self, parts: Sequence[Part], rng: np.random.Generator) -> Arrays:
        """Weighted mean and covariance of all parts together. `rng` is not used."""
        del rng
        n = sum((part.batch["n"] for part in parts), np.zeros(self.replicas, dtype=np.int64))
        if (n <= self.settings.dim).any():
            raise DataError(
                f"{int(n.min())} samples give a singular covariance in {self.settings.dim} dimensions",
                hint="raise the budget above the dimension",
            )
        sizes = [float(part.weight) * part.batch["n"] for part in parts]
        total = np.asarray(sum(sizes), dtype=np.float64)
        centre = sum(size[:, None] * part.batch["mean"] for size, part in zip(sizes, parts, strict=True))
        mean = np.asarray(centre) / total[:, None]
        divisor = total
        if self.settings.estimator == "unbiased":
            divisor = total - sum(float(p.weight) * s for p, s in zip(parts, sizes, strict=True)) / total
        if len(parts) == 1:
            factor = parts[0].batch["factor"] * np.sqrt(float(parts[0].weight))
        else:
            rows = [
                row
                for size, part in zip(sizes, parts, strict=True)
                for row in (
                    np.sqrt(float(part.weight)) * part.batch["factor"].transpose(0, 2, 1),
                    (np.sqrt(size)[:, None] * (part.batch["mean"] - mean))[:, None, :],
                )
            ]
            # Stacked rows S have S^T S = scatter of the pool; R of their QR is its factor, without squaring.
            factor = _factor(np.concatenate(rows, axis=1))
        return {"mean": mean, "factor": factor / np.sqrt(divisor)[:, None, None]}

    def sample(self, model: Arrays, n: Counts, rng: np.random.Generator) -> dict[str, Arrays]:
        """Samples of each replica's model."""
        return {"": self._draw(model["mean"], model["factor"] * np.sqrt(self.sampling.temperature), n, rng)}

    def _draw(self, mean: Floats, factor: Floats, n: Counts, rng: np.random.Generator) -> Arrays:
        """Statistics of `n[r]` samples; without any the scatter's factor is zero."""
        r, d = mean.shape
        some = np.maximum(n, 1)[:, None]
        shift = np.einsum("rij,rj->ri", factor, rng.standard_normal((r, d))) / np.sqrt(some)
        bartlett = np.tril(rng.standard_normal((r, d, d)), -1)
        freedom = np.maximum(some - 1 - np.arange(d), 0)
        bartlett[:, np.arange(d), np.arange(d)] = np.sqrt(2.0 * rng.standard_gamma(freedom / 2.0))
        # Fewer samples than dimensions: only the first n - 1 columns of the decomposition carry scatter.
        bartlett *= (np.arange(d) < some - 1)[:, None, :]
        return {
            "n": n,
            "mean": np.where((n > 0)[:, None], mean + shift, 0.0),
            "factor": factor @ bartlett,
            "key": rng.integers(0, 2**63, size=2, dtype=np.int64),
        }

    def observe(self, model: Arrays, samples: Sequence[tuple[str, Arrays]], reference: Reference) -> dict[str, Any]:
        """Mean, principal standard deviations, and the log determinant."""
        del samples, reference
        diagonal = np.abs(np.diagonal(model["factor"], axis1=1, axis2=2))
        with np.errstate(divide="ignore"):
            log_det = 2.0 * np.log(diagonal).sum(axis=1)
        return {
            "mean": model["mean"],
            "sd": np.linalg.svd(model["factor"], compute_uv=False),
            "real_mean": 0.0,
            "real_sd": 1.0,
            "log_det": log_det,
        }

    def expected(self, policy: str, generation: int, samples: int) -> dict[str, float]:
        """Closed forms of metrics under a shipped policy, where they are known."""
        if self.sampling.temperature != 1.0:
            return {}
        unbiased, d = self.settings.estimator == "unbiased", self.settings.dim
        known = theory.expected(policy, generation, samples, unbiased=unbiased)
        # The laws of a Wishart matrix's roots have no such forms, and its log determinant is not d times one root's.
        for metric in ("w2_squared", "fitted_sd", "log_variance"):
            known.pop(metric, None)
        if policy == "replace":
            known["log_det"] = theory.log_variance(generation + 1, samples, unbiased=unbiased, dim=d)
        return known

    def weights(self, model: Arrays) -> Arrays:
        """The model is arrays."""
        return model

    def restore(self, weights: Arrays) -> Arrays:
        """The model is arrays."""
        return weights


def _samples(batch: Arrays) -> Floats:
    """Single samples with the batch's mean and scatter: the standardised residuals of other normal samples (Basu)."""
    if "x" in batch:
        return batch["x"]
    n, (r, d) = batch["n"], batch["mean"].shape
    if (n <= d).any():
        raise DataError(f"a cohort of {int(n.min())} samples in {d} dimensions cannot be divided")
    rng = np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence([int(k) for k in batch["key"]])))
    there = present(n, int(n.max(initial=0)))[:, :, None]
    z = rng.standard_normal((r, there.shape[1], d)) * there
    z = (z - z.sum(axis=1, keepdims=True) / n[:, None, None]) * there
    q = np.linalg.qr(z)[0]  # Q^T Q = identity: unit scatter
    return np.asarray((batch["mean"][:, None, :] + q @ batch["factor"].transpose(0, 2, 1)) * there)


def _of(x: Floats, there: NDArray[np.bool_], n: Counts) -> Arrays:
    """Statistics of the samples that are there, which stay with them."""
    (kept,) = compacted(there, x)
    mask = present(n, kept.shape[1])[:, :, None]
    mean = (kept * mask).sum(axis=1) / np.maximum(n, 1)[:, None]
    centred = (kept - mean[:, None, :]) * mask
    d = x.shape[2]
    padded = np.concatenate([centred, np.zeros((len(x), d, d))], axis=1)
    return {"n": n, "mean": mean, "factor": _factor(padded), "x": kept}


def _factor(rows: Floats) -> Floats:
    """Lower factor of the scatter S^T S of stacked rows S."""
    r: Any = np.linalg.qr(rows, mode="r")
    return np.asarray(r, dtype=np.float64).transpose(0, 2, 1)

"""The kernel density world: every sample with Gaussian noise of one bandwidth. Knows no policy, tag or detector.

A model is its training sample; sampling picks a point and adds noise. One dimension.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from provenance.config import Config, checked
from provenance.errors import DataError
from provenance.plugins import Arrays, Part, Reference
from provenance.recursion.models.subsets import chosen, compacted, present
from provenance.recursion.theory import smoothing as theory

Counts = NDArray[np.int64]


class KDESettings(Config):
    """The `[model]` table. The real distribution is the standard normal."""

    replicas: int = Field(default=100, ge=1)
    """Independent copies, simulated side by side; figures are means over them."""
    bandwidth: float = Field(default=0.3, gt=0)
    """Standard deviation of the kernel."""


class KDESampling(Config):
    """The `[sampling]` table: there is nothing to set."""


class KDEWorld:
    """Many 1-D kernel density estimates at once."""

    name: ClassVar[str] = "kde"
    tables: ClassVar[tuple[type[Config], type[Config]]] = (KDESettings, KDESampling)
    subgroups: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, settings: Mapping[str, Any], sampling: Mapping[str, Any]) -> None:
        self.settings = checked(KDESettings, settings, "[model] of world 'kde'")
        checked(KDESampling, sampling, "[sampling] of world 'kde'")

    @property
    def replicas(self) -> int:
        """Independent copies."""
        return self.settings.replicas

    def real(self, n: Counts, rng: np.random.Generator) -> Arrays:
        """Samples of the standard normal."""
        return {"n": n, "x": rng.standard_normal((len(n), int(n.max(initial=0))))}

    def size(self, batch: Arrays) -> Counts:
        """Samples of each replica."""
        return batch["n"]

    def split(self, batch: Arrays, n: Counts, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """A random part of each replica's samples, and the rest."""
        there = present(batch["n"], batch["x"].shape[1])
        first = chosen(there, n, rng)
        rest = there & ~first
        return (
            {"n": n, "x": compacted(first, batch["x"])[0]},
            {"n": batch["n"] - n, "x": compacted(rest, batch["x"])[0]},
        )

    def fit(self, parts: Sequence[Part], rng: np.random.Generator) -> Arrays:
        """All samples with their weights. `rng` is not used."""
        del rng
        x = np.concatenate([part.batch["x"] for part in parts], axis=1)
        there = [present(part.batch["n"], part.batch["x"].shape[1]) * float(part.weight) for part in parts]
        weight = np.concatenate(there, axis=1)
        total = weight.sum(axis=1, keepdims=True)
        if not (total > 0).all():
            raise DataError("a replica has no samples to fit")
        return {"x": x, "weight": weight / total}

    def sample(self, model: Arrays, n: Counts, rng: np.random.Generator) -> dict[str, Arrays]:
        """Points picked with the model's weights, plus kernel noise."""
        x, weight = model["x"], model["weight"]
        most = int(n.max(initial=0))
        if np.ptp(weight) == 0.0:
            picked = rng.integers(0, x.shape[1], size=(len(n), most))
        else:
            # One search for all replicas: row r's cumulative weights lie between r and r + 1.
            ladder = (np.cumsum(weight, axis=1) + np.arange(len(n))[:, None]).ravel()
            u = rng.random((len(n), most)) + np.arange(len(n))[:, None]
            place = np.searchsorted(ladder, u, side="right") - np.arange(len(n))[:, None] * x.shape[1]
            picked = np.minimum(place, x.shape[1] - 1)
        noise = self.settings.bandwidth * rng.standard_normal((len(n), most))
        return {"": {"n": n, "x": np.take_along_axis(x, picked, axis=1) + noise}}

    def observe(self, model: Arrays, samples: Sequence[tuple[str, Arrays]], reference: Reference) -> dict[str, Any]:
        """Mean and standard deviation of the estimated density, kernel included."""
        del samples, reference
        mean = (model["weight"] * model["x"]).sum(axis=1)
        variance = (model["weight"] * (model["x"] - mean[:, None]) ** 2).sum(axis=1) + self.settings.bandwidth**2
        return {"mean": mean, "sd": np.sqrt(variance), "real_mean": 0.0}

    def expected(self, policy: str, generation: int, samples: int) -> dict[str, float]:
        """Closed forms of metrics under a shipped policy, where they are known."""
        if policy != "replace":
            return {}
        return {"variance": theory.kde_variance(generation + 1, samples, self.settings.bandwidth)}

    def weights(self, model: Arrays) -> Arrays:
        """The model is arrays."""
        return model

    def restore(self, weights: Arrays) -> Arrays:
        """The model is arrays."""
        return weights

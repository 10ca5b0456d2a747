"""The linear regression world: labels come from the last fit, plus noise. Knows no policy, tag or detector.

y = X w + noise, w fitted by least squares. Each replica has one design X, normal with identity covariance, which every
generation labels anew, as in Gerstgrasser et al. (2024): then the closed forms are exact. With a fresh design each
generation the replace law still holds and the accumulate law only to first order.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from provenance.config import Config, checked
from provenance.errors import ConfigError, DataError
from provenance.plugins import Arrays, Part, Reference
from provenance.recursion.models.subsets import chosen, compacted, present
from provenance.recursion.theory import regression as theory

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class RegressionSettings(Config):
    """The `[model]` table."""

    replicas: int = Field(default=100, ge=1)
    """Independent copies, simulated side by side; figures are means over them."""
    dim: int = Field(default=10, ge=1)
    """Coefficients."""
    noise: float = Field(default=1.0, ge=0)
    """Standard deviation of the labels' noise."""
    fixed_design: bool = True
    """Label the same inputs every generation; otherwise draw new ones."""


class RegressionSampling(Config):
    """The `[sampling]` table."""

    bias: float = Field(default=0.0, ge=0)
    """Distance between the coefficients that labels are written with and the fitted ones: a worse model's labels."""


class RegressionWorld:
    """Many regressions at once. The true coefficients are ones."""

    name: ClassVar[str] = "regression"
    tables: ClassVar[tuple[type[Config], type[Config]]] = (RegressionSettings, RegressionSampling)
    subgroups: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, settings: Mapping[str, Any], sampling: Mapping[str, Any]) -> None:
        self.settings = checked(RegressionSettings, settings, "[model] of world 'regression'")
        self.sampling = checked(RegressionSampling, sampling, "[sampling] of world 'regression'")
        self.truth = np.ones(self.settings.dim)

    @property
    def replicas(self) -> int:
        """Independent copies."""
        return self.settings.replicas

    def real(self, n: Counts, rng: np.random.Generator) -> Arrays:
        """Inputs and true labels with noise."""
        x = rng.standard_normal((len(n), int(n.max(initial=0)), self.settings.dim))
        return self._labelled(x, n, np.broadcast_to(self.truth, (len(n), self.settings.dim)), rng)

    def _labelled(self, x: Floats, n: Counts, w: Floats, rng: np.random.Generator) -> Arrays:
        y = np.einsum("rnd,rd->rn", x, w) + self.settings.noise * rng.standard_normal(x.shape[:2])
        return {"n": n, "x": x, "y": y}

    def size(self, batch: Arrays) -> Counts:
        """Samples of each replica."""
        return batch["n"]

    def split(self, batch: Arrays, n: Counts, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """A random part of each replica's rows, and the rest."""
        there = present(batch["n"], batch["x"].shape[1])
        first = chosen(there, n, rng)
        return _rows(batch, first, n), _rows(batch, there & ~first, batch["n"] - n)

    def fit(self, parts: Sequence[Part], rng: np.random.Generator) -> Arrays:
        """Least squares over all parts, weighted; and the inputs, which the next generation labels again."""
        del rng
        gram = np.zeros((self.replicas, self.settings.dim, self.settings.dim))
        target = np.zeros((self.replicas, self.settings.dim))
        n = np.zeros(self.replicas, dtype=np.int64)
        for part in parts:
            there = present(part.batch["n"], part.batch["x"].shape[1]) * float(part.weight)
            x = part.batch["x"] * there[:, :, None]
            gram += np.matmul(x.transpose(0, 2, 1), part.batch["x"])
            target += np.einsum("rnd,rn->rd", x, part.batch["y"])
            n += part.batch["n"]
        if (n < self.settings.dim).any():
            raise DataError(f"{int(n.min())} rows do not determine {self.settings.dim} coefficients")
        try:
            w = np.linalg.solve(gram, target[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError as error:
            raise DataError(f"the regression is singular: {error}") from error
        return {"w": w, "x": parts[-1].batch["x"]}

    def sample(self, model: Arrays, n: Counts, rng: np.random.Generator) -> dict[str, Arrays]:
        """Inputs with the model's labels and fresh noise."""
        shape = (len(n), int(n.max(initial=0)), self.settings.dim)
        if not self.settings.fixed_design:
            x = rng.standard_normal(shape)
        elif model["x"].shape != shape:
            raise ConfigError(
                f"a fixed design of {model['x'].shape[1]} rows cannot give {shape[1]}",
                hint="set fixed_design = false, or use policies that take whole cohorts",
            )
        else:
            x = model["x"]
        written_with = model["w"] + self.sampling.bias / np.sqrt(self.settings.dim)
        return {"": self._labelled(x, n, written_with, rng)}

    def observe(self, model: Arrays, samples: Sequence[tuple[str, Arrays]], reference: Reference) -> dict[str, Any]:
        """Fitted and true coefficients."""
        del samples, reference
        return {"coefficients": model["w"], "true_coefficients": self.truth}

    def expected(self, policy: str, generation: int, samples: int) -> dict[str, float]:
        """Closed forms of metrics under a shipped policy, where they are known."""
        if policy not in ("replace", "accumulate", "control") or not self.settings.fixed_design:
            return {}
        if self.sampling.bias and policy != "control":
            return {}
        if samples <= self.settings.dim + 1:
            return {}  # the error has no mean
        fits = 1 if policy == "control" else generation + 1
        law = theory.accumulate_error if policy == "accumulate" else theory.replace_error
        return {"coefficient_error": law(fits, samples, self.settings.dim, self.settings.noise)}

    def weights(self, model: Arrays) -> Arrays:
        """The model is arrays."""
        return model

    def restore(self, weights: Arrays) -> Arrays:
        """The model is arrays."""
        return weights


def _rows(batch: Arrays, there: NDArray[np.bool_], n: Counts) -> Arrays:
    x, y = compacted(there, batch["x"], batch["y"])
    return {"n": n, "x": x, "y": y}

"""The verifier world: a linear classifier trained on labels that may be wrong. Knows no policy, tag or detector.

Two classes, x | y ~ N(y mu, identity); the model is w = mean of label * x. What a model writes are new inputs with its
own labels, some flipped; `right` and `wrong` are the subgroups a verifier tells apart (Feng et al. 2024).
"""

from collections.abc import Mapping, Sequence
from math import erf, sqrt
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from provenance.config import Config, checked
from provenance.errors import DataError
from provenance.plugins import Arrays, Part, Reference
from provenance.recursion.cohorts import WRONG
from provenance.recursion.models.subsets import chosen, compacted, present

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class VerifierSettings(Config):
    """The `[model]` table."""

    replicas: int = Field(default=100, ge=1)
    """Independent copies, simulated side by side; figures are means over them."""
    dim: int = Field(default=10, ge=1)
    """Length of an input."""
    separation: float = Field(default=1.5, gt=0)
    """Length of mu."""


class VerifierSampling(Config):
    """The `[sampling]` table."""

    label_error: float | None = Field(default=None, ge=0, le=1)
    """Labels are right but for this share, flipped at random. Default: the model's own labels, right or wrong."""


class VerifierWorld:
    """Many classifiers at once."""

    name: ClassVar[str] = "verifier"
    tables: ClassVar[tuple[type[Config], type[Config]]] = (VerifierSettings, VerifierSampling)
    subgroups: ClassVar[tuple[str, ...]] = ("right", WRONG)

    def __init__(self, settings: Mapping[str, Any], sampling: Mapping[str, Any]) -> None:
        self.settings = checked(VerifierSettings, settings, "[model] of world 'verifier'")
        self.sampling = checked(VerifierSampling, sampling, "[sampling] of world 'verifier'")
        self.mu = np.zeros(self.settings.dim)
        self.mu[0] = self.settings.separation

    @property
    def replicas(self) -> int:
        """Independent copies."""
        return self.settings.replicas

    def real(self, n: Counts, rng: np.random.Generator) -> Arrays:
        """Inputs with their true labels."""
        x, y = self._inputs(n, rng)
        return {"n": n, "x": x, "label": y}

    def _inputs(self, n: Counts, rng: np.random.Generator) -> tuple[Floats, Floats]:
        y = np.where(rng.random((len(n), int(n.max(initial=0)))) < 0.5, -1.0, 1.0)
        return y[:, :, None] * self.mu + rng.standard_normal((*y.shape, self.settings.dim)), y

    def size(self, batch: Arrays) -> Counts:
        """Samples of each replica."""
        return batch["n"]

    def split(self, batch: Arrays, n: Counts, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """A random part of each replica's samples, and the rest."""
        there = present(batch["n"], batch["x"].shape[1])
        first = chosen(there, n, rng)
        return _marked(batch["x"], batch["label"], first), _marked(batch["x"], batch["label"], there & ~first)

    def fit(self, parts: Sequence[Part], rng: np.random.Generator) -> Arrays:
        """Mean of label times input over all parts, weighted. `rng` is not used."""
        del rng
        total = np.zeros((self.replicas, self.settings.dim))
        size = np.zeros(self.replicas)
        for part in parts:
            there = present(part.batch["n"], part.batch["x"].shape[1])
            total += float(part.weight) * np.einsum("rnd,rn->rd", part.batch["x"], part.batch["label"] * there)
            size += float(part.weight) * part.batch["n"]
        if not (size > 0).all():
            raise DataError("a replica has no samples to fit")
        return {"w": total / size[:, None]}

    def sample(self, model: Arrays, n: Counts, rng: np.random.Generator) -> dict[str, Arrays]:
        """New inputs with the model's labels, apart by whether the label is right."""
        x, y = self._inputs(n, rng)
        if self.sampling.label_error is None:
            label = np.where(np.einsum("rnd,rd->rn", x, model["w"]) >= 0, 1.0, -1.0)
        else:
            label = np.where(rng.random(y.shape) < self.sampling.label_error, -y, y)
        there = present(n, x.shape[1])
        return {"right": _marked(x, label, there & (label == y)), WRONG: _marked(x, label, there & (label != y))}

    def observe(self, model: Arrays, samples: Sequence[tuple[str, Arrays]], reference: Reference) -> dict[str, Any]:
        """The classifier's exact accuracy on new real inputs."""
        del samples, reference
        along = model["w"] @ self.mu / np.linalg.norm(model["w"], axis=1)
        return {"accuracy": np.array([0.5 * (1.0 + erf(value / sqrt(2.0))) for value in along])}

    def weights(self, model: Arrays) -> Arrays:
        """The model is arrays."""
        return model

    def restore(self, weights: Arrays) -> Arrays:
        """The model is arrays."""
        return weights


def _marked(x: Floats, label: Floats, there: NDArray[np.bool_]) -> Arrays:
    kept_x, kept_label = compacted(there, x, label)
    return {"n": there.sum(axis=1), "x": kept_x, "label": kept_label}

"""The categorical world: count, sample, repeat: Wright-Fisher drift. Knows no policy, tag or detector.

A cohort is its counts, which is all there is to know of exchangeable discrete samples: sampling is multinomial, part of
a cohort is multivariate hypergeometric.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from provenance.config import Config, checked
from provenance.errors import DataError
from provenance.plugins import Arrays, Part, Reference
from provenance.recursion.models.on_device import Device, Draws, check_device, draws_on
from provenance.recursion.models.tilt import Decoding, tilted
from provenance.recursion.theory import categorical as theory

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

TAIL_MASS = 0.1
"""The rarest states that together hold this much of the real probability are the tail."""


class CategoricalSettings(Config):
    """The `[model]` table."""

    replicas: int = Field(default=100, ge=1)
    """Independent copies, simulated side by side; figures are means over them."""
    states: int = Field(default=2, ge=2)
    """Values that a sample can have."""
    distribution: Literal["uniform", "zipf"] = "uniform"
    """The real one over the states."""
    exponent: float = Field(default=1.0, gt=0)
    """Of the Zipf law p(i) ~ i^-exponent."""
    probabilities: list[float] | None = Field(default=None, min_length=2)
    """The real distribution written out, instead of `states` and `distribution`."""
    device: Device = "cpu"
    """Where the replicas' samples are drawn; `cuda` pays for very many replicas."""

    @model_validator(mode="after")
    def _proper(self) -> Self:
        p = self.probabilities
        if p is not None and (min(p) < 0 or abs(sum(p) - 1) > 1e-9):
            raise ValueError(f"probabilities must be at least 0 and sum to 1, they sum to {sum(p):.10g}")
        return self

    def real(self) -> Floats:
        """The real distribution."""
        if self.probabilities is not None:
            return np.array(self.probabilities)
        weight = np.arange(1, self.states + 1) ** -(self.exponent if self.distribution == "zipf" else 0.0)
        return np.asarray(weight / weight.sum(), dtype=np.float64)


class CategoricalWorld:
    """Many distributions over the same states at once."""

    name: ClassVar[str] = "categorical"
    tables: ClassVar[tuple[type[Config], type[Config]]] = (CategoricalSettings, Decoding)
    subgroups: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, settings: Mapping[str, Any], sampling: Mapping[str, Any]) -> None:
        self.settings = checked(CategoricalSettings, settings, "[model] of world 'categorical'")
        self.decoding = checked(Decoding, sampling, "[sampling] of world 'categorical'")
        self.p = self.settings.real()
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
        p = np.broadcast_to(self.p, (len(n), len(self.p)))
        return {"counts": _multinomial(n, p, draws_on(self.settings.device, rng))}

    def size(self, batch: Arrays) -> Counts:
        """Samples of each replica."""
        return np.asarray(batch["counts"].sum(axis=1))

    def split(self, batch: Arrays, n: Counts, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """A random part of each replica's samples, and the rest."""
        counts = batch["counts"]
        first = _part(counts, n, rng)
        return {"counts": first}, {"counts": counts - first}

    def fit(self, parts: Sequence[Part], rng: np.random.Generator) -> Arrays:
        """Relative frequencies of all parts together, weighted. `rng` is not used."""
        del rng
        total: Any = parts[0].batch["counts"]
        if len(parts) > 1:
            total = sum(float(part.weight) * part.batch["counts"] for part in parts)
        size = total.sum(axis=1, keepdims=True)
        if not (size > 0).all():
            raise DataError("a replica has no samples to fit")
        return {"p": np.asarray(total / size, dtype=np.float64)}

    def sample(self, model: Arrays, n: Counts, rng: np.random.Generator) -> dict[str, Arrays]:
        """Samples of each replica's model, through the decoder."""
        p = model["p"] if self.decoding == Decoding() else tilted(model["p"], self.decoding)
        return {"": {"counts": _multinomial(n, p, draws_on(self.settings.device, rng))}}

    def observe(self, model: Arrays, samples: Sequence[tuple[str, Arrays]], reference: Reference) -> dict[str, Any]:
        """Fitted and real probabilities, and how often they have been fitted."""
        del samples
        return {
            "p": model["p"],
            "real_p": self.p,
            "tail": self._tail(),
            "survivors": float((model["p"] > 0).sum(axis=1).mean()),
            "survivors_real_p": self.p,
            "fits": reference.generation + 1,
        }

    def _tail(self) -> NDArray[np.bool_]:
        order = np.argsort(self.p, kind="stable")
        tail = np.zeros(len(self.p), dtype=np.bool_)
        tail[order] = np.cumsum(self.p[order]) <= TAIL_MASS
        return tail

    def expected(self, policy: str, generation: int, samples: int) -> dict[str, float]:
        """Closed forms of metrics under a shipped policy, where they are known."""
        return theory.expected(policy, generation, samples, self.p) if self.decoding == Decoding() else {}

    def weights(self, model: Arrays) -> Arrays:
        """The model is arrays."""
        return model

    def restore(self, weights: Arrays) -> Arrays:
        """The model is arrays."""
        return weights


def _part(counts: Counts, n: Counts, rng: np.random.Generator) -> Counts:
    """`n[r]` of the samples of replica r without replacement, as counts: multivariate hypergeometric."""
    first = np.zeros_like(counts)
    states = np.flatnonzero(counts.any(axis=0))
    if len(states) > len(counts):  # the loop is over the shorter side
        size = counts.sum(axis=1)
        for replica, here in enumerate(counts[:, states]):
            # Shuffling single samples beats a draw per state unless there are many samples of each.
            method: Literal["count", "marginals"] = "count" if size[replica] < 8 * len(states) else "marginals"
            first[replica, states] = rng.multivariate_hypergeometric(here, int(n[replica]), method=method)
        return first
    rest, left = counts.sum(axis=1), n.copy()
    for state in states:
        here = counts[:, state]
        rest = rest - here
        first[:, state] = rng.hypergeometric(here, rest, left)
        left = left - first[:, state]
    return first


def _multinomial(n: Counts, p: Floats, draws: Draws) -> Counts:
    if p.shape[1] == 2:
        first = draws.binomial(n, p[:, 0])
        return np.stack([first, n - first], axis=1)
    return draws.multinomial(n, p)

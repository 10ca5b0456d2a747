"""What an experiment file may say. Knows no world by name: each world checks its own tables."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from provenance.config import Config, checked, read_toml
from provenance.mixing.policy import Budget, MixPolicy, load_policy

CONTROL = "control"
"""The policy that trains on real data only, with the same budget; every experiment runs it."""


class Real(Config):
    """Where the real data comes from and how much of it there is."""

    corpus: str | None = None
    """A corpus of the catalog, `name` or `name@version`; worlds of texts need one."""
    where: str = "origin = 'human'"
    """Which of the corpus's documents are the real data: SQL over origin, p_model, subgroup, source, n_chars …"""
    held_out: float = Field(default=0.1, ge=0, lt=1)
    """Share of the real documents that no model ever trains on; measured against."""
    samples: int | None = Field(default=None, ge=1)
    """Statistical worlds: how many real samples exist. Default: the budget."""
    arrivals: int = Field(default=0, ge=0)
    """Statistical worlds: new real samples that enter the pool each generation, with source `arrival`."""


class SimulatedDetector(Config):
    """A detector of known quality in place of a trained one."""

    true_positive_rate: float = Field(ge=0, le=1)
    false_positive_rate: float = Field(ge=0, le=1)


class Verifier(Config):
    """A noisy judge of single samples: keeps good ones with probability phi, bad ones with psi (Feng et al. 2024)."""

    phi: float = Field(ge=0, le=1)
    psi: float = Field(ge=0, le=1)


class Detection(Config):
    """Whose scores the pool's `p_model` holds. One of them, or none: then it is NULL."""

    name: str | None = None
    """A trained detector of the catalog."""
    simulated: SimulatedDetector | None = None
    verifier: Verifier | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(choice is not None for choice in (self.name, self.simulated, self.verifier)) != 1:
            raise ValueError("needs exactly one of 'name', 'simulated' and 'verifier'")
        return self


class MetricChoice(Config):
    """Which metrics to record; default: all that the world can answer."""

    names: list[str] | None = None


class Experiment(Config):
    """A plan: one world, several policies, several seeds."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    description: str = ""
    world: str
    generations: int = Field(ge=1)
    """Generations after the first: generation 0 is the model trained on real data."""
    seeds: list[int] = Field(default=[0], min_length=1)
    policies: list[str | MixPolicy] = Field(min_length=1)
    """Shipped names, files ending in .toml, or policies written out."""
    real: Real = Real()
    budget: Budget
    """Size of every training set, and of what each generation samples."""
    model: dict[str, Any] = Field(default_factory=dict)
    sampling: dict[str, Any] = Field(default_factory=dict)
    detector: Detection | None = None
    metrics: MetricChoice = MetricChoice()
    record_every: int = Field(default=1, ge=1)
    """Statistical worlds: keep the metrics of every n-th generation (and of the last)."""
    keep_models: bool = False
    """Store every generation's weights, not only generation 0's."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds repeat: {self.seeds}")
        return self

    def resolved_policies(self, folder: Path | None = None) -> list[MixPolicy]:
        """The policies read from their files, the real-data control added. Raises ConfigError on equal names."""
        found = [load_policy(policy, folder=folder) if isinstance(policy, str) else policy for policy in self.policies]
        if not any(policy.name == CONTROL for policy in found):
            found.append(load_policy(CONTROL))
        return found


def load_experiment(path: Path) -> Experiment:
    """The experiment in a TOML file. Raises ConfigError naming file and key."""
    return checked(Experiment, read_toml(path), str(path))

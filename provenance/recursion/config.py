"""What an experiment file may say. Knows no world by name: each world checks its own tables."""

import copy
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from provenance.config import Config, checked, read_toml
from provenance.errors import ConfigError, NotFoundError
from provenance.mixing.policy import Budget, MixPolicy, load_policy
from provenance.plugins import METRICS

CONTROL = "control"
"""The policy that trains on real data only, with the same budget; every experiment runs it."""


class Real(Config):
    """Where the real data comes from and how much of it there is."""

    corpus: str | None = None
    """A corpus of the catalog, `name` or `name@version`; worlds of texts need one."""
    mix: str | None = None
    """A built mix, `name` or `name@version`, in place of a corpus: what would training on it do?"""
    where: str | None = Field(default=None, min_length=1)
    """Which documents are the real data: SQL over origin, p_model, subgroup, source, n_chars … Default: those of human
    origin of a corpus, all of a mix."""
    held_out: float = Field(default=0.1, ge=0, lt=1)
    """Share of the human documents that no model ever trains on; measured against."""
    held_out_corpus: str | None = None
    """A corpus added with `--held-out`, a published test split for instance, to measure against instead of a share."""
    samples: int | None = Field(default=None, ge=1)
    """How many real samples there are at first. Default: all of the corpus; in statistical worlds, the budget."""
    arrivals: int = Field(default=0, ge=0)
    """New real samples that enter the pool each generation, out of the rest of the corpus in text worlds."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.corpus is not None and self.mix is not None:
            raise ValueError("give 'corpus' or 'mix', not both")
        return self


class SimulatedDetector(Config):
    """A detector of known quality in place of a trained one."""

    true_positive_rate: float = Field(ge=0, le=1)
    """Share of model text it takes for a model's."""
    false_positive_rate: float = Field(ge=0, le=1)
    """Share of human text it takes for a model's."""


class Verifier(Config):
    """A noisy judge of single samples: keeps good ones with probability phi, bad ones with psi (Feng et al. 2024)."""

    phi: float = Field(ge=0, le=1)
    """Chance that a good sample is kept."""
    psi: float = Field(ge=0, le=1)
    """Chance that a bad sample is kept."""


class Detection(Config):
    """Whose scores the pool's `p_model` holds. One of them, or none: then it is NULL."""

    name: str | None = None
    """A trained detector of the catalog."""
    simulated: SimulatedDetector | None = None
    """One of known quality: `[detector.simulated]`."""
    verifier: Verifier | None = None
    """A judge of right and wrong: `[detector.verifier]`, for the verifier world."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(choice is not None for choice in (self.name, self.simulated, self.verifier)) != 1:
            raise ValueError("needs exactly one of 'name', 'simulated' and 'verifier'")
        return self


class Axis(Config):
    """One thing an experiment file varies. Every combination of values is an experiment of its own."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    """Short: it becomes part of the experiments' names."""
    keys: list[str] = Field(min_length=1)
    """Dotted keys that take the value, lists by number from 0: `budget.documents`, `policies.0.share.1.take`."""
    values: list[int | float | str] = Field(min_length=1)
    """What they are set to in turn."""


class Published(Config):
    """A number somebody printed, to stand beside ours."""

    x: float
    """Generation, or value of the axis."""
    y: float
    """What was printed."""
    spread: float | None = None
    """Standard deviation over the source's repeats."""
    series: str = ""
    """Which curve of the source it is from."""


class Figure(Config):
    """What an experiment's figure shows: one metric, over generations or over a sweep at the last generation."""

    metric: str
    """The one drawn."""
    x: str = "generation"
    """`generation`, or the name of a sweep axis."""
    at: Literal["first", "last"] = "last"
    """Which generation a figure over a sweep shows."""
    log_x: bool = False
    """A logarithmic x axis."""
    log_y: bool = False
    """A logarithmic y axis."""
    source: str = ""
    """Where the published numbers, or the figure that this one repeats, are."""
    published: list[Published] = Field(default_factory=list)
    """Those numbers: `[[figure.published]]`."""


class Price(Config):
    """What `experiment price` looks for: the smallest amount of verified human data that keeps a metric good enough."""

    metric: str
    """The one that must stay good enough."""
    level: float
    """Good enough is at most this, or at least this where higher is better."""
    axis: str
    """The sweep axis that holds the amount, in documents; the answer is a share of the budget."""


class MetricChoice(Config):
    """Which metrics to record; default: all that the world can answer."""

    names: list[str] | None = None
    """Their names; fewer make a run faster."""


class Experiment(Config):
    """A plan: one world, several policies, several seeds."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """What the catalog and all commands call it."""
    description: str = ""
    """A line for lists and reports."""
    world: str
    """The kind of model, one of those below."""
    generations: int = Field(ge=1)
    """Generations after the first: generation 0 is the model trained on real data."""
    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(default=[0], min_length=1)
    """Every policy is run once with each; bands in reports are over seeds."""
    policies: list[str | MixPolicy] = Field(min_length=1)
    """Shipped names, files ending in .toml, or policies written out."""
    real: Real = Real()
    """The `[real]` table."""
    budget: Budget
    """Size of every training set."""
    writes: int | None = Field(default=None, ge=1)
    """Documents (samples) each generation writes. Default: as much as the first training set."""
    model: dict[str, Any] = Field(default_factory=dict)
    """The `[model]` table: the world's own settings."""
    sampling: dict[str, Any] = Field(default_factory=dict)
    """The `[sampling]` table: how that world's models write."""
    detector: Detection | None = None
    """The `[detector]` table."""
    metrics: MetricChoice = MetricChoice()
    """The `[metrics]` table."""
    record_every: int = Field(default=1, ge=1)
    """Statistical worlds: keep the metrics of every n-th generation (and of the last)."""
    keep_models: bool = False
    """Store every generation's weights, not only generation 0's."""
    keep_texts: bool = True
    """Text worlds: return what the models wrote to the catalog, with its lineage. Numbers are kept anyway."""
    sweep: list[Axis] = Field(default_factory=list)
    """`[[sweep]]` tables: one experiment for every combination of their values."""
    figure: Figure | None = None
    """The `[figure]` table: what the report shows first."""
    price: Price | None = None
    """The `[price]` table: what `experiment price` looks for."""
    family: str | None = None
    """The experiment file's own name, in the experiments its sweep makes."""
    point: dict[str, int | float | str] = Field(default_factory=dict)
    """Where in the sweep this experiment is: value per axis."""
    points: int = 1
    """How many experiments the sweep makes."""

    @field_validator("name")
    @classmethod
    def _is_no_shared_folder(cls, name: str) -> str:
        # An experiment's folder has its name, and removing the experiment removes the folder.
        if name == "generation-0":
            raise ValueError("is where all experiments keep the models they share\ntake another name")
        return name

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        named = {f"metrics.names[{i}]": name for i, name in enumerate(self.metrics.names or [], start=1)}
        named |= {"figure.metric": self.figure.metric} if self.figure else {}
        named |= {"price.metric": self.price.metric} if self.price else {}
        for key, name in named.items():
            if name not in METRICS:
                error = NotFoundError.of("metric", name, METRICS)
                raise ValueError(f"{key}: {error.message}\n{error.hint}")
        axes = [axis.name for axis in self.sweep]
        if self.family is None:  # a point of a sweep has left its axes behind
            if self.price and self.price.axis not in axes:
                raise ValueError(f"price.axis: no [[sweep]] is named {self.price.axis!r}, there are {axes}")
            if self.figure and self.figure.x not in ("generation", *axes):
                raise ValueError(f"figure.x: neither generation nor a [[sweep]]: {self.figure.x!r}, there are {axes}")
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds repeat: {self.seeds}")
        return self

    def resolved_policies(self, folder: Path | None = None) -> list[MixPolicy]:
        """The policies read from their files, the real-data control added. Raises ConfigError on equal names."""
        found = _resolved(self.policies, folder)
        if not any(policy.name == CONTROL for policy in found):
            found.append(load_policy(CONTROL))
        return found


def load_experiments(path: Path) -> list[Experiment]:
    """The experiments in a TOML file: one, or every point of its sweep. Raises ConfigError naming file and key."""
    return experiments_of(read_toml(path), str(path), path.resolve().parent)


def experiments_of(tables: dict[str, Any], source: str, folder: Path | None = None) -> list[Experiment]:
    """The experiments that `tables` describe. Raises ConfigError naming `source` and the key."""
    whole = checked(Experiment, tables, source)
    if not whole.sweep:
        return [whole]
    places = [
        (axes, policies, values)
        for axes, policies in _crossings(whole, folder)
        for values in product(*(axis.values for axis in axes))
    ]
    found = []
    for axes, policies, values in places:
        varied = copy.deepcopy(tables)
        point = {axis.name: value for axis, value in zip(axes, values, strict=True)}
        for axis, value in zip(axes, values, strict=True):
            for key in axis.keys:
                _set(varied, key, value, source)
        del varied["sweep"]
        varied["policies"] = [varied["policies"][index] for index in policies]
        name = ".".join([whole.name, *(f"{axis}-{value}" for axis, value in point.items())])
        varied |= {"name": name, "family": whole.name, "point": point, "points": len(places)}
        found.append(checked(Experiment, varied, f"{source}, {name}"))
    return found


def _crossings(whole: Experiment, folder: Path | None) -> list[tuple[list[Axis], list[int]]]:
    """Which axes are crossed for which policies: a policy that no detector can change is not run for each detector."""
    of_detector = [axis for axis in whole.sweep if all(key.startswith("detector.") for key in axis.keys)]
    policies = list(enumerate(_resolved(whole.policies, folder) if of_detector else []))
    asking = [index for index, policy in policies if policy.asks_for_scores]
    blind = [index for index, policy in policies if not policy.asks_for_scores]
    if not asking or not blind:
        return [(whole.sweep, list(range(len(whole.policies))))]
    return [([axis for axis in whole.sweep if axis not in of_detector], blind), (whole.sweep, asking)]


def _resolved(policies: Sequence[str | MixPolicy], folder: Path | None) -> list[MixPolicy]:
    return [load_policy(policy, folder=folder) if isinstance(policy, str) else policy for policy in policies]


def _set(tables: dict[str, Any], key: str, value: float | str, source: str) -> None:
    """Put `value` at a dotted key, making tables on the way. Raises ConfigError where the way is blocked."""
    *way, last = key.split(".")
    place: Any = tables
    try:
        for part in way:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        if isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value
    except (IndexError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{source}: sweep key {key!r} leads nowhere", hint="write the table it is in") from error

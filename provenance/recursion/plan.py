"""An experiment ready to run: its runs, where each is kept, and the world, pool and metrics it is made of.

Knows no world by name, and no file is read or written here.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.catalog.pool import PoolEvaluator
from provenance.errors import ConfigError, NotFoundError
from provenance.mixing.policy import MixPolicy
from provenance.plugins import METRICS, WORLDS, Metric
from provenance.recursion.cohorts import CohortPool
from provenance.recursion.config import Experiment
from provenance.recursion.documents import Detect, DocumentPool, RealTexts
from provenance.recursion.engine import Pool, all_metrics

ENGINE = 2
"""Part of every fingerprint: raised when the same settings would give other numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One policy under one seed."""

    experiment: str
    policy: MixPolicy
    seed: int

    @property
    def run_id(self) -> str:
        """`EXPERIMENT/POLICY-sSEED`."""
        return f"{self.experiment}/{self.name}"

    @property
    def name(self) -> str:
        """`POLICY-sSEED`."""
        return f"{self.policy.name}-s{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An experiment with everything it needs, ready to run."""

    experiment: Experiment
    policies: Sequence[MixPolicy]
    folder: Path
    """The catalog's folder for experiments: `NAME/RUN/LAST-GENERATION/` and the shared `generation-0/KEY/`."""
    real: RealTexts | None = None
    detect: Detect | None = None
    """The trained detector that `[detector] name` asks for."""
    detect_version: str | None = None
    """Its version: another one gives other numbers."""
    files_sha256: Mapping[str, str] = field(default_factory=dict)
    """For each key of `[model]` that names files, a hash of them: a model's folder, images, a validation text."""
    only: Sequence[str] = ()
    """Names of the runs wanted now, `POLICY-sSEED`; none: all of them. Others may be under way elsewhere."""

    @property
    def runs(self) -> list[Run]:
        """All runs, policies of one seed side by side so that comparisons come early."""
        found = [
            Run(experiment=self.experiment.name, policy=policy, seed=seed)
            for seed in self.experiment.seeds
            for policy in self.policies
        ]
        names = [run.name for run in found]
        for name in self.only:
            if name not in names:
                raise NotFoundError.of("run", name, names)
        return [run for run in found if run.name in self.only] if self.only else found

    @cached_property
    def real_scores(self) -> NDArray[np.float64] | None:
        """What the trained detector says of the real texts: the same for every run, so asked for once."""
        return self.detect(self.real.texts) if self.detect is not None and self.real is not None else None

    def fingerprint(self) -> str:
        """Changes whenever a number of an equally named policy could; more seeds, generations and policies may come."""
        return _hash({"settings": self._settings(), "record_every": self.experiment.record_every})

    def first_key(self, seed: int) -> str:
        """The content hash generation 0 is shared under: everything that shapes it, and no policy."""
        return _hash({"settings": self._settings(), "seed": seed})[:32]

    def _settings(self) -> dict[str, Any]:
        experiment = self.experiment
        kept = ("world", "real", "budget", "writes", "model", "sampling", "detector", "metrics")
        dumped = experiment.model_dump(mode="json", by_alias=True)
        # What the files hold counts, not where they are.
        dumped["model"] |= self.files_sha256
        fixed = {"engine": ENGINE, "real": _real_hash(self.real), "detector": self.detect_version}
        return {**fixed, **{f"[{name}]": dumped[name] for name in kept}}

    def segments(self, run: Run) -> list[tuple[Path, range]]:
        """The folders of a run and the generations each one holds.

        Generation 0 is shared by content hash. The others are stored `record_every` at a time, because cheap
        generations by the thousand would spend their time in fsync.
        """
        last, step = self.experiment.generations, self.experiment.record_every
        shared = self.folder / "generation-0" / self.first_key(run.seed)
        found = [(shared, range(1))]
        for start in range(1, last + 1, step):
            stop = min(start + step, last + 1)
            found.append((self.folder / run.run_id / f"{stop - 1:05d}", range(start, stop)))
        return found


def _hash(value: object) -> str:
    # Floats are settings here, written the same way by every Python: no canonical form is needed beyond sorted keys.
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _real_hash(real: RealTexts | None) -> str | None:
    if real is None:
        return None
    h = hashlib.sha256()
    for group in (real.texts, real.held_out):
        h.update(b"%d;" % len(group))
        for text in group:
            h.update(hashlib.sha256(text.encode()).digest())
    h.update(b"".join(real.ids))
    h.update(
        json.dumps(
            [list(column or []) for column in (real.origin, real.source, real.subgroup, real.held_out_subgroup)]
        ).encode()
    )
    h.update(np.array(real.p_model if real.p_model is not None else [], dtype=np.float64).tobytes())
    return h.hexdigest()


def build_world(plan: Plan) -> Any:
    """The plan's world. Raises NotFoundError, ConfigError, DataError."""
    world = WORLDS.load(plan.experiment.world)
    if hasattr(world, "encode"):
        if plan.real is None:
            raise ConfigError(
                f"world {plan.experiment.world!r} needs texts", hint="name a corpus or a mix under [real]"
            )
        if plan.experiment.detector is not None and plan.experiment.detector.verifier is not None:
            raise ConfigError(
                f"[detector.verifier] judges right and wrong samples; world {plan.experiment.world!r} has texts",
                hint="use detector.simulated or a trained detector's name",
            )
        return world(plan.real.texts, plan.experiment.model, plan.experiment.sampling)
    if plan.real is not None:
        raise ConfigError(
            f"world {plan.experiment.world!r} makes its own real data", hint="remove [real] corpus or mix"
        )
    return world(plan.experiment.model, plan.experiment.sampling)


def metrics_of(experiment: Experiment) -> list[Metric]:
    """The metrics it names, or all. Raises NotFoundError."""
    names = experiment.metrics.names
    return all_metrics() if names is None else [METRICS.load(name) for name in names]


def pool_of(plan: Plan, run: Run, world: Any, evaluator: PoolEvaluator) -> Pool:
    """What one run draws its training sets from."""
    experiment = plan.experiment
    if plan.real is None:
        return CohortPool(
            world,
            experiment.real,
            seed=run.seed,
            budget=experiment.budget,
            evaluator=evaluator,
            detection=experiment.detector,
            writes=experiment.writes,
        )
    return DocumentPool(
        world,
        plan.real,
        seed=run.seed,
        budget=experiment.budget,
        evaluator=evaluator,
        detect=plan.detect or (experiment.detector.simulated if experiment.detector else None),
        real_scores=plan.real_scores,
        archive=experiment.real.samples,
        arrivals=experiment.real.arrivals,
        writes=experiment.writes,
        asks_for_scores=run.policy.asks_for_scores,
        measures_detector=experiment.metrics.names is None or "detector_auroc" in experiment.metrics.names,
    )

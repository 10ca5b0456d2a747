"""Experiments on disk: plan, run, resume. Every finished generation is a folder with a manifest; a run is a sequence of
them, and resuming replays those that are there.

Knows no world by name and no catalog: a `Recorder` is told about each finished generation and must not mind being told
again, because a kill between the manifest and the recorder's own commit repeats the telling.
"""

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from provenance.catalog.pool import PoolEvaluator
from provenance.errors import ConfigError, NotFoundError, ProvenanceError
from provenance.mixing.policy import MixPolicy
from provenance.plugins import METRICS, WORLDS, Arrays, Metric
from provenance.recursion.cohorts import CohortPool
from provenance.recursion.config import Experiment
from provenance.recursion.documents import Detect, DocumentPool, RealTexts
from provenance.recursion.engine import Finished, Measured, Pool, Turn, all_metrics, turns
from provenance.recursion.manifest import alone, digest, read_arrays, read_manifest, write_generation

ENGINE = 1
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One generation as the recorder and the terminal see it; the same whether it was just run or read back."""

    run: Run
    generation: int
    summary: Mapping[str, Any]
    """The manifest's entry: hashes, realised shares, metrics, seconds."""
    record: Arrays
    """The training set: `rows` of the pool in text worlds, how often each cohort was used in the others."""
    texts: Sequence[str] | None
    """What the model wrote, in text worlds."""
    resumed: bool

    @property
    def metrics(self) -> list[Measured]:
        """The generation's numbers."""
        return [Measured(**values) for values in self.summary["metrics"]]


class Recorder(Protocol):
    """Where results go beside the disk; the catalog's is `catalog.experiments.CatalogRecorder`."""

    def begin(self, run: Run, *, device: str) -> None: ...
    def generation(self, result: Result) -> None: ...
    def end(self, run: Run) -> None: ...


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


def _dump(policy: MixPolicy) -> dict[str, Any]:
    return policy.model_dump(mode="json", by_alias=True, exclude={"description"})


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
    h.update(json.dumps([list(column or []) for column in (real.origin, real.source, real.subgroup)]).encode())
    h.update(np.array(real.p_model if real.p_model is not None else [], dtype=np.float64).tobytes())
    return h.hexdigest()


def run_experiment(plan: Plan, recorder: Recorder | None = None) -> Iterator[Result]:
    """Run or resume every run of the plan, yielding each generation as it is finished or read back.

    Raises ConfigError when the folder holds an experiment of this name with other settings.
    """
    world = build_world(plan)
    if hasattr(world, "scratch"):  # worlds that train for long keep the state of the training under way
        world.scratch = plan.folder / plan.experiment.name / "scratch"
    metrics = _metrics(plan.experiment)
    _claim(plan)
    with PoolEvaluator() as evaluator:
        for run in plan.runs:
            if recorder is not None:
                with _placed(run, "before the first generation"):
                    recorder.begin(run, device=str(getattr(world, "device", "cpu")))
            for result in _run(plan, run, world, metrics, evaluator):
                if recorder is not None:
                    with _placed(run, f"generation {result.generation}"):
                        recorder.generation(result)
                yield result
            if recorder is not None:
                with _placed(run, "after the last generation"):
                    recorder.end(run)


@contextmanager
def _placed(run: Run, where: str) -> Iterator[None]:
    """Say in which run and generation a recorder could not write, a full disk's plain OSError included."""
    try:
        yield
    except OSError as error:
        raise ProvenanceError(
            f"policy {run.policy.name!r}, {where}: {error.strerror or error}",
            hint=f"free some space and run: provenance experiment resume {run.experiment}",
        ) from error
    except ProvenanceError as error:
        error.message = f"policy {run.policy.name!r}, {where}: {error.message}"
        error.args = (error.message,)
        error.hint = f"finished generations are kept; go on with: provenance experiment resume {run.experiment}"
        raise


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


def _metrics(experiment: Experiment) -> list[Metric]:
    names = experiment.metrics.names
    return all_metrics() if names is None else [METRICS.load(name) for name in names]


def _pool(plan: Plan, run: Run, world: Any, evaluator: PoolEvaluator) -> Pool:
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
    )


def _run(plan: Plan, run: Run, world: Any, metrics: Sequence[Metric], evaluator: PoolEvaluator) -> Iterator[Result]:
    done: list[Finished] = []
    segments = plan.segments(run)
    with ExitStack() as first_generation:
        if read_manifest(segments[0][0]) is None:
            # Another process may be at it for another policy: what it writes is ours too.
            first_generation.enter_context(alone(segments[0][0]))
        while segments:
            stored = _read(*segments[0])
            if stored is None:
                break
            segments.pop(0)
            for finished, summary in stored:
                done.append(finished)
                yield _result(run, summary, finished.record, finished.kept, world, resumed=True)
        if done:
            first_generation.close()
        if not segments:
            return
        pending: list[tuple[Turn, dict[str, Any]]] = []
        for turn in turns(
            world, _pool(plan, run, world, evaluator), run.policy, seed=run.seed,
            generations=plan.experiment.generations, metrics=metrics, done=done,
            measure_every=plan.experiment.record_every,
        ):  # fmt: skip
            pending.append((turn, _summary(turn, world)))
            folder, generations = segments[0]
            if turn.generation == generations[-1]:
                _write(plan, run, folder, pending, world)
                first_generation.close()
                for finished_turn, summary in pending:
                    yield _result(
                        run, summary, finished_turn.training.record, finished_turn.written.kept, world, resumed=False
                    )
                pending.clear()
                segments.pop(0)


def _result(run: Run, summary: Mapping[str, Any], record: Arrays, kept: Arrays, world: Any, *, resumed: bool) -> Result:
    return Result(
        run=run,
        generation=summary["generation"],
        summary=summary,
        record=record,
        texts=world.texts(kept) if hasattr(world, "texts") else None,
        resumed=resumed,
    )


def _read(folder: Path, generations: range) -> list[tuple[Finished, dict[str, Any]]] | None:
    """The generations of a complete segment; None where the segment was never finished."""
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    groups = {name: read_arrays(folder, name) for name in ("training", "kept", "model")}
    return [
        (
            Finished(
                generation=generation,
                record=_of(groups["training"], generation),
                kept=_of(groups["kept"], generation),
                weights=_of(groups["model"], generation),
            ),
            summary,
        )
        for generation, summary in zip(generations, manifest["generations"], strict=True)
    ]


def _of(arrays: Arrays, generation: int) -> Arrays:
    prefix = f"{generation}:"
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _summary(turn: Turn, world: Any) -> dict[str, Any]:
    """What a manifest says of one generation: the same in every run of the same plan, but for `seconds`."""
    return {
        "generation": turn.generation,
        "training_sha256": digest(turn.training.record),
        "kept_sha256": digest(turn.written.kept),
        "model_sha256": digest(world.weights(turn.model)),
        "trained_on": turn.training.trained_on,
        "samples": turn.written.n,
        "realised": [asdict(share) for share in turn.training.realised],
        "metrics": [asdict(measured) for measured in turn.metrics],
        "seconds": turn.seconds,
    }


def _write(plan: Plan, run: Run, folder: Path, pending: list[tuple[Turn, dict[str, Any]]], world: Any) -> None:
    groups: dict[str, Arrays] = {"training": {}, "kept": {}, "model": {}}
    for turn, _ in pending:
        parts = {"training": turn.training.record, "kept": turn.written.kept}
        if turn.generation == 0 or plan.experiment.keep_models:
            parts["model"] = world.weights(turn.model)
        for group, arrays in parts.items():
            groups[group] |= {f"{turn.generation}:{name}": array for name, array in arrays.items()}
    first, last = pending[0][0].generation, pending[-1][0].generation
    manifest = {
        "engine": ENGINE,
        "seed": run.seed,
        "policy": None if last == 0 else run.policy.name,
        "generations": [summary for _, summary in pending],
    }
    span = f"generation {last}" if first == last else f"generations {first} to {last}"
    write_generation(folder, groups, manifest, what=f"policy {run.policy.name!r}, {span}")


def _claim(plan: Plan) -> None:
    """Tie the experiment's name to its settings and each policy's name to its shares: no resume mixes two plans."""
    folder = plan.folder / plan.experiment.name
    file = folder / "plan.json"
    mine: dict[str, Any] = {
        "fingerprint": plan.fingerprint(),
        "policies": {policy.name: _dump(policy) for policy in plan.policies},
    }
    if file.exists():
        theirs = json.loads(file.read_text(encoding="utf-8"))
        different = [name for name, old in theirs["policies"].items() if mine["policies"].get(name, old) != old]
        if theirs["fingerprint"] != mine["fingerprint"] or different:
            what = f"another policy {different[0]!r}" if different else "other settings or other real data"
            raise ConfigError(
                f"experiment {plan.experiment.name!r} exists with {what}",
                hint="give this one another name, or remove the old one: provenance experiment rm",
            )
        mine["policies"] = theirs["policies"] | mine["policies"]
        if mine["policies"] == theirs["policies"]:
            return
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / ".plan.json.tmp"
    content = {"schema": "provenance.experiment/1", "engine": ENGINE, **mine}
    temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    temporary.rename(file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What running some plans would cost, from their first few generations."""

    runs: int
    generations: int
    """To be fitted in all, generation 0 once per seed."""
    finished: int
    seconds: float
    """Estimated for what is not finished, on this machine, one process."""
    disk_bytes: int
    growing: bool
    """Whether a policy's training sets grow: its later generations cost more than the estimates say."""
    metrics: list[Measured]
    """The first plan's numbers at generation 0."""
    machine: str


_TRIED_PLANS = 6
"""Points of a sweep that a preview tries; the others are taken to cost as much on average."""
_SLOW_SECONDS = 0.5
"""A generation that takes this long is not tried again for every policy."""


def preview(plans: Sequence[Plan]) -> Preview:
    """Run a few generations of some of the plans in memory and extrapolate. Writes nothing."""
    runs = generations = finished = 0
    left: list[int] = []
    for plan in plans:
        total = len({run.seed for run in plan.runs}) + len(plan.runs) * plan.experiment.generations
        places = dict(segment for run in plan.runs for segment in plan.segments(run))
        there = sum(len(held) for place, held in places.items() if (place / "manifest.json").exists())
        runs += len(plan.runs)
        generations += total
        finished += there
        left.append(total - there)
    step = max(1, -(-len(plans) // _TRIED_PLANS))
    tried = [_try(plan) for plan in plans[::step]]
    return Preview(
        runs=runs,
        generations=generations,
        finished=finished,
        seconds=sum(one.seconds * sum(left[i * step : (i + 1) * step]) for i, one in enumerate(tried)),
        disk_bytes=round(sum(one.disk_bytes for one in tried) * len(plans) / max(len(tried), 1)),
        growing=any(one.growing for one in tried),
        metrics=tried[0].metrics if tried else [],
        machine=f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}",
    )


class _Tried(NamedTuple):
    seconds: float
    """Per generation."""
    disk_bytes: float
    """Of the whole plan."""
    growing: bool
    metrics: list[Measured]
    """Of generation 0."""


def _try(plan: Plan) -> _Tried:
    experiment, world = plan.experiment, build_world(plan)
    costs: list[float] = []
    first: list[Measured] = []
    size = weights = 0
    growing = False
    with PoolEvaluator() as evaluator:
        for run in plan.runs[: len(plan.policies)]:  # one seed, every policy
            pool, warm, drawn = _pool(plan, run, world, evaluator), [], []
            for turn in turns(
                world, pool, run.policy, seed=run.seed, generations=min(3, experiment.generations),
                metrics=_metrics(experiment), measure_every=experiment.record_every,
            ):  # fmt: skip
                if turn.generation == 0:
                    first = first or turn.metrics
                    continue
                size = sum(
                    array.nbytes for group in (turn.written.kept, turn.training.record) for array in group.values()
                )
                weights = sum(array.nbytes for array in world.weights(turn.model).values())
                warm.append(turn.seconds)
                drawn.append(sum(turn.training.trained_on.values()))
                # What a first turn takes may be what is done once, so a second is looked at before it counts as slow.
                if min(warm) > (_SLOW_SECONDS if len(warm) > 1 else 10 * _SLOW_SECONDS):
                    break
            # The first of several pays for what is done once; the last of them is measured, the others as planned.
            quick, measured = min(warm), warm[-1]
            costs.append(quick + (measured - quick) / experiment.record_every)
            growing = growing or drawn[-1] > drawn[0]
            if min(warm) > _SLOW_SECONDS:
                break
    total = len(experiment.seeds) * (1 + len(plan.policies) * experiment.generations)
    kept = weights * (total if experiment.keep_models else len(experiment.seeds))
    return _Tried(sum(costs) / len(costs), size * total + kept, growing, first)

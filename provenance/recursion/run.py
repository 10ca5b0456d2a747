"""Experiments on disk: plan, run, resume. Every finished generation is a folder with a manifest; a run is a sequence of
them, and resuming replays those that are there.

Knows no world by name and no catalog: a `Recorder` is told about each finished generation and must not mind being told
again, because a kill between the manifest and the recorder's own commit repeats the telling.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from provenance.catalog.pool import PoolEvaluator
from provenance.errors import ConfigError, NotFoundError, ProvenanceError
from provenance.mixing.policy import MixPolicy
from provenance.plugins import Arrays, Metric
from provenance.recursion.engine import Finished, Measured, Turn, turns
from provenance.recursion.manifest import alone, digest, read_arrays, read_manifest, write_generation
from provenance.recursion.plan import ENGINE, Plan, Run, build_world, metrics_of, pool_of

_PICTURES = "pictures"


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
    pictures: NDArray[np.uint8] | None
    """Some of what it made, (n, height, width), in image worlds."""
    resumed: bool

    @property
    def metrics(self) -> list[Measured]:
        """The generation's numbers."""
        return [Measured(**values) for values in self.summary["metrics"]]


class Recorder(Protocol):
    """Where results go beside the disk; the catalog's is `recorder.CatalogRecorder`."""

    def begin(self, run: Run, *, device: str) -> None: ...
    def generation(self, result: Result) -> None: ...
    def end(self, run: Run) -> None: ...


def _dump(policy: MixPolicy) -> dict[str, Any]:
    return policy.model_dump(mode="json", by_alias=True, exclude={"description"})


def run_experiment(plan: Plan, recorder: Recorder | None = None) -> Iterator[Result]:
    """Run or resume every run of the plan, yielding each generation as it is finished or read back.

    Raises ConfigError when the folder holds an experiment of this name with other settings.
    """
    own = _world(plan)
    metrics = metrics_of(plan.experiment)
    with alone(plan.folder / plan.experiment.name):
        _claim(plan)
    with _shared(own) as world, PoolEvaluator() as evaluator:
        for run in plan.runs:
            with _claimed(plan, run):
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


def stored_model(plan: Plan, run: Run, generation: int) -> tuple[Any, Any]:
    """The world of a plan and the model that a finished generation of a run ended with.

    Raises ConfigError when settings or real data have changed since, NotFoundError when that model is not there.
    """
    with alone(plan.folder / plan.experiment.name):
        _claim(plan)
    for folder, generations in plan.segments(run):
        if generation in generations:
            stored = _read(folder, generations) or []
            weights = next((done.weights for done, _, _ in stored if done.generation == generation), {})
            if weights:
                world = build_world(plan)
                return world, world.restore(weights)
            what = "its model was not kept" if stored else "it is not finished"
            raise NotFoundError(
                f"generation {generation} of {run.run_id}: {what}",
                hint="generation 0's model always is, others with keep_models = true",
            )
    raise NotFoundError(f"{run.run_id} has generations 0 to {plan.experiment.generations}, not {generation}")


def helps() -> bool:
    """Whether this process is one that `torchrun` started beside the first."""
    return _processes() > 1 and int(os.environ.get("RANK", "0")) > 0


def help_train(plan: Plan) -> None:
    """Take part in the training of `run_experiment` in the first process. Nothing is written here."""
    from provenance.recursion.training_ranks import follow

    follow(_world(plan))


def _processes() -> int:
    """How many `torchrun` has started; some clusters set a WORLD_SIZE for programs that are on their own."""
    together = {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()
    return int(os.environ["WORLD_SIZE"]) if together else 1


def _world(plan: Plan) -> Any:
    world = build_world(plan)
    if hasattr(world, "scratch"):  # worlds that train for long keep the state of the training under way
        world.scratch = plan.folder / plan.experiment.name / "scratch"
    elif _processes() > 1:
        raise ConfigError(
            f"world {plan.experiment.world!r} does not train in several processes",
            hint="share the work by run: provenance experiment run … --only POLICY-sSEED",
        )
    return world


@contextmanager
def _shared(world: Any) -> Iterator[Any]:
    """Under `torchrun` the world has the other processes train along; they end with us, or are ended by torchrun."""
    if _processes() == 1:
        yield world
        return
    from provenance.recursion.training_ranks import Leader

    leader = Leader(world)
    yield leader
    leader.end()


@contextmanager
def _claimed(plan: Plan, run: Run) -> Iterator[None]:
    """Nobody else may be at the same run: two would write the same files. Raises ProvenanceError."""
    with ExitStack() as stack:
        try:
            stack.enter_context(alone(plan.folder / run.run_id, wait=False))
        except BlockingIOError as error:
            raise ProvenanceError(
                f"run {run.name!r} of experiment {run.experiment!r} is under way in another process",
                hint="wait for it, or share the work by run: provenance experiment run … --only POLICY-sSEED",
            ) from error
        yield


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
            for finished, summary, pictures in stored:
                done.append(finished)
                yield _result(run, summary, finished.record, finished.kept, world, pictures=pictures, resumed=True)
        if done:
            first_generation.close()
        if not segments:
            return
        pending: list[tuple[Turn, dict[str, Any]]] = []
        for turn in turns(
            world, pool_of(plan, run, world, evaluator), run.policy, seed=run.seed,
            generations=plan.experiment.generations, metrics=metrics, done=done,
            measure_every=plan.experiment.record_every,
        ):  # fmt: skip
            if turn.generation == 0:
                _check_measured(plan, turn)
            pending.append((turn, _summary(turn, world)))
            folder, generations = segments[0]
            if turn.generation == generations[-1]:
                _write(plan, run, folder, pending, world)
                first_generation.close()
                for finished_turn, summary in pending:
                    yield _result(
                        run, summary, finished_turn.training.record, finished_turn.written.kept, world,
                        pictures=_pictures(world, finished_turn), resumed=False,
                    )  # fmt: skip
                pending.clear()
                segments.pop(0)


def _check_measured(plan: Plan, turn: Turn) -> None:
    """Raises ConfigError where a metric that was asked for by name cannot be had, before more is spent."""
    silent = [name for name in plan.experiment.metrics.names or () if name not in turn.raw]
    if silent:
        raise ConfigError(
            f"world {plan.experiment.world!r} cannot measure {silent[0]!r} here",
            hint=f"it can: {', '.join(sorted(turn.raw)) or 'none of those named'}",
        )


def _pictures(world: Any, turn: Turn) -> NDArray[np.uint8] | None:
    return world.pictures(turn.written.samples) if hasattr(world, "pictures") else None


def _result(
    run: Run,
    summary: Mapping[str, Any],
    record: Arrays,
    kept: Arrays,
    world: Any,
    *,
    pictures: NDArray[np.uint8] | None,
    resumed: bool,
) -> Result:
    return Result(
        run=run,
        generation=summary["generation"],
        summary=summary,
        record=record,
        texts=world.texts(kept) if hasattr(world, "texts") else None,
        pictures=pictures,
        resumed=resumed,
    )


def _read(folder: Path, generations: range) -> list[tuple[Finished, dict[str, Any], NDArray[np.uint8] | None]] | None:
    """The generations of a complete segment; None where the segment was never finished."""
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    groups = {name: read_arrays(folder, name) for name in ("training", "kept", "model")}
    pictures = read_arrays(folder, _PICTURES) if (folder / f"{_PICTURES}.npz").exists() else {}
    return [
        (
            Finished(
                generation=generation,
                record=_of(groups["training"], generation),
                kept=_of(groups["kept"], generation),
                weights=_of(groups["model"], generation),
            ),
            summary,
            pictures.get(str(generation)),
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
        if (pictures := _pictures(world, turn)) is not None:
            groups.setdefault(_PICTURES, {})[str(turn.generation)] = pictures
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
        "generation_0": sorted({plan.first_key(run.seed) for run in plan.runs}),
    }
    if file.exists():
        theirs = json.loads(file.read_text(encoding="utf-8"))
        if theirs.get("engine") != ENGINE:
            raise ConfigError(
                f"experiment {plan.experiment.name!r} was run by another version of the engine "
                f"({theirs.get('engine')}, this is {ENGINE}), whose numbers may differ",
                hint="its numbers stay; run it again under another name, or remove it: provenance experiment rm",
            )
        different = [name for name, old in theirs["policies"].items() if mine["policies"].get(name, old) != old]
        if theirs["fingerprint"] != mine["fingerprint"] or different:
            what = f"another policy {different[0]!r}" if different else "other settings or other real data"
            raise ConfigError(
                f"experiment {plan.experiment.name!r} exists with {what}",
                hint="give this one another name, or remove the old one: provenance experiment rm",
            )
        mine["policies"] = theirs["policies"] | mine["policies"]
        mine["generation_0"] = sorted({*theirs.get("generation_0", ()), *mine["generation_0"]})
        if all(mine[key] == theirs.get(key) for key in mine):
            return
    temporary = folder / ".plan.json.tmp"
    content = {"schema": "provenance.experiment/1", "engine": ENGINE, **mine}
    temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    temporary.rename(file)

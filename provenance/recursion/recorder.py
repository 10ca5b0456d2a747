"""Writes finished generations into the catalog: numbers, models, and in text worlds the documents with their lineage.

One transaction per generation of a text world. Statistical worlds turn over too fast for that and are written once per
second. Being told of a generation twice writes it once.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.catalog import experiments as rows
from provenance.catalog.ledger import Activity
from provenance.catalog.store import Catalog
from provenance.corpus.record import Recorded, record_corpus
from provenance.errors import ConfigError
from provenance.plugins import METRICS
from provenance.png import mosaic
from provenance.recursion.documents import RealTexts
from provenance.recursion.plan import Plan, Run
from provenance.recursion.run import Result
from provenance.types import LineageEdge, Relation

FLUSH_SECONDS = 1.0


class _Step(Activity):
    """The experiment's activity while it goes on: a generation's commit does not end the command's ledger row."""

    def __init__(self, outer: Activity) -> None:
        self.activity_id, self.started_at = outer.activity_id, outer.started_at
        self.inputs, self.outputs, self.committed = outer.inputs, outer.outputs, False
        self._catalog, self._command, self._params = outer._catalog, outer._command, outer._params

    def _end(self, con: Any, status: str, error: str | None) -> None:  # noqa: ARG002
        return None


class CatalogRecorder:
    """A `run.Recorder` that writes to a catalog under one activity, the experiment command."""

    def __init__(self, catalog: Catalog, plan: Plan, activity: Activity) -> None:
        self._catalog, self._plan, self._activity = catalog, plan, activity
        self._recorded: dict[int, str | None] = {}
        self._prefix = plan.experiment.name
        self._ancestry = _Ancestry(plan.real) if plan.real is not None else None
        self._waiting: list[tuple[rows.GenerationRow, list[rows.MetricRow]]] = []
        self._flushed_at = time.monotonic()

    def begin(self, run: Run, *, device: str) -> None:
        """Put the run into the catalog unless it is there."""
        policy = run.policy.model_dump(mode="json", by_alias=True)
        experiment = self._plan.experiment
        config = experiment.model_dump(mode="json", by_alias=True)
        # Written out: files that policies came from may be gone when it is resumed.
        config["policies"] = [one.model_dump(mode="json", by_alias=True) for one in self._plan.policies]
        with self._catalog.write() as con:
            rows.begin_experiment(
                con, experiment.name, experiment.world, config, self._plan.fingerprint(), self._activity.activity_id
            )
            rows.begin_run(
                con, run.run_id, experiment=run.experiment, policy=run.policy.name, policy_json=policy, seed=run.seed,
                device=device,
            )  # fmt: skip
        self._recorded = rows.recorded_generations(self._catalog, run.run_id)
        self._prefix = rows.model_prefix(self._catalog, experiment.name)
        if self._plan.real is not None:
            self._ancestry = _Ancestry(self._plan.real)
            if experiment.keep_texts and None in self._recorded.values():
                raise ConfigError(
                    f"experiment {experiment.name!r} was begun with keep_texts = false",
                    hint="leave it so, or remove the experiment and run it again: provenance experiment rm",
                )

    def generation(self, result: Result) -> None:
        """Write one generation, unless it is there."""
        if self._ancestry is None or result.texts is None or not self._plan.experiment.keep_texts:
            self._number_generation(result)
        else:
            self._text_generation(result, self._ancestry)

    def end(self, run: Run) -> None:
        """Write what is waiting and mark the run as done."""
        with self._catalog.write() as con:
            self._flush(con)
            rows.end_run(con, run.run_id)

    def _number_generation(self, result: Result) -> None:
        if result.generation in self._recorded:
            return
        trained_on = {str(name): int(count) for name, count in result.summary["trained_on"].items()}
        row = _row(
            result, model_id=None, kind=self._plan.experiment.world, depth=result.generation, trained_on=trained_on
        )
        self._waiting.append((row, _metrics(result)))
        if time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            with self._catalog.write() as con:
                self._flush(con)

    def _flush(self, con: Any) -> None:
        for row, metrics in self._waiting:
            rows.insert_generation(con, row, metrics, sampled_corpus=None)
        self._waiting.clear()
        self._flushed_at = time.monotonic()

    def _text_generation(self, result: Result, ancestry: "_Ancestry") -> None:
        texts = result.texts or []
        run, generation = result.run, result.generation
        place = f"s{run.seed}" if generation == 0 else f"{run.policy.name}-s{run.seed}"
        model_id = f"{self._prefix}/{place}/{generation}"
        trained_on, low, high, human = ancestry.of(result.record["rows"])
        row = _row(result, model_id=model_id, kind=self._plan.experiment.world, depth=low, trained_on=trained_on)
        if generation in self._recorded:
            corpus = self._recorded[generation]
        elif generation == 0 and (shared := rows.model_corpus(self._catalog, model_id)) is not None:
            corpus = shared
            with self._catalog.write() as con:
                rows.insert_generation(con, row, _metrics(result), sampled_corpus=corpus)
        else:
            corpus = self._record_texts(result, row, texts, low=low, high=high, human=human)
        ancestry.append(f"corpus:{corpus}", len(texts), low=low + 1, high=high + 1, human=human)

    def _record_texts(
        self, result: Result, row: rows.GenerationRow, texts: Sequence[str], *, low: int, high: int, human: float
    ) -> str:
        name = str(row.model_id).replace("/", ".")
        recorded = Recorded(
            keys=[f"{i:06d}" for i in range(len(texts))],
            texts=texts,
            generator=str(row.model_id),
            generation=low + 1,
            generation_max=high + 1,
            human_ancestry=human,
            edges=[
                LineageEdge(child=f"model:{row.model_id}", parent=parent, relation=Relation.TRAINED_ON)
                for parent in row.trained_on
            ],
        )
        written: list[str] = []

        def also(con: Any, corpus: Any) -> None:
            written.append(corpus.ref)
            rows.insert_generation(con, row, _metrics(result), sampled_corpus=corpus.ref)

        record_corpus(self._catalog, _Step(self._activity), name, recorded, also=also)
        return written[0]


class _Ancestry:
    """Depth and human share of every row of a run's pool, in the pool's order."""

    def __init__(self, real: RealTexts) -> None:
        n = len(real.texts)
        self._nodes = list(real.node) if real.node is not None else ["corpus:real"] * n
        generation = real.generation if real.generation is not None else [0] * n
        human = real.human_ancestry if real.human_ancestry is not None else [1.0] * n
        self._low = self._high = np.array(generation, dtype=np.int64)
        self._human = np.array(human, dtype=np.float64)

    def of(self, drawn: NDArray[np.int64]) -> tuple[dict[str, int], int, int, float]:
        """Documents per node, least and greatest depth, and human share of a training set."""
        names, counts = np.unique(np.array(self._nodes)[drawn], return_counts=True)
        trained_on = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
        low, high = int(self._low[drawn].min()), int(self._high[drawn].max())
        return trained_on, low, high, float(self._human[drawn].mean())

    def append(self, node: str, n: int, *, low: int, high: int, human: float) -> None:
        """Add the documents a generation wrote."""
        self._nodes += [node] * n
        self._low = np.concatenate([self._low, np.full(n, low)])
        self._high = np.concatenate([self._high, np.full(n, high)])
        self._human = np.concatenate([self._human, np.full(n, human)])


def _row(
    result: Result, *, model_id: str | None, kind: str, depth: int, trained_on: dict[str, int]
) -> rows.GenerationRow:
    summary = result.summary
    return rows.GenerationRow(
        run_id=result.run.run_id,
        generation=result.generation,
        model_id=model_id,
        kind=kind,
        depth=depth,
        trained_on=trained_on,
        samples=summary["samples"],
        seconds=summary["seconds"],
        training_sha256=summary["training_sha256"],
        samples_sha256=summary["kept_sha256"],
        model_sha256=summary["model_sha256"],
        realised=summary["realised"],
        picture=mosaic(result.pictures) if result.pictures is not None else None,
    )


def _metrics(result: Result) -> list[rows.MetricRow]:
    found = []
    for measured in result.metrics:
        known = METRICS.load(measured.metric)
        found.append(
            rows.MetricRow(
                metric=measured.metric,
                subgroup=measured.subgroup,
                value=measured.value,
                low=measured.low,
                high=measured.high,
                stderr=measured.stderr,
                expected=measured.expected,
                higher_is_better=known.higher_is_better,
                unit=known.unit,
            )
        )
    return found

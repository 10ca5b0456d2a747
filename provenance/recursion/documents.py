"""The pool of a text world: one row per document, real ones first. Policies see sizes, tags and keys, never texts.

Rows are never removed; each generation appends its samples. Everything a row needs to be rebuilt is in the arrays that
`begin`, `draw` and `write` return, so that a resumed run has the same pool.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from provenance import seeds
from provenance.catalog.pool import PoolEvaluator
from provenance.errors import ConfigError, DataError
from provenance.mixing.draw import Realised, draw
from provenance.mixing.policy import Budget, MixPolicy, Share
from provenance.mixing.quotas import expand
from provenance.plugins import Arrays, DocumentWorld, Part
from provenance.recursion.config import SimulatedDetector
from provenance.recursion.training_set import Training, Written

Detect = Callable[[Sequence[str]], NDArray[np.float64]]
"""Texts to p_model, NaN where the detector abstains."""


MOST_MEASURED = 200
"""Texts of a generation that the detector reads for its own metric, where no policy wants to know."""
_P_MODEL = "pool.p_model"
"""Name of the scores among the arrays kept of a generation; the others are the world's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealTexts:
    """The real documents an experiment may train on, and those it may not."""

    ids: Sequence[bytes]
    """16-byte document ids: draws depend on them, not on order."""
    texts: Sequence[str]
    held_out: Sequence[str] = ()
    held_out_subgroup: Sequence[str | None] = ()
    origin: Sequence[str] | None = None
    """As tagged; `human` where not given."""
    p_model: Sequence[float] | None = None
    source: Sequence[str] | None = None
    subgroup: Sequence[str | None] | None = None
    node: Sequence[str] | None = None
    """`corpus:NAME@VERSION` or `mix:NAME@VERSION` each document comes from, for lineage."""
    generation: Sequence[int] | None = None
    """Model generations between each document and human text; 0 where not given."""
    human_ancestry: Sequence[float] | None = None


class DocumentPool:
    """Documents a policy can draw from. One pool per run."""

    def __init__(
        self,
        world: DocumentWorld,
        real: RealTexts,
        *,
        seed: int,
        budget: Budget,
        evaluator: PoolEvaluator,
        detect: Detect | SimulatedDetector | None = None,
        real_scores: NDArray[np.float64] | None = None,
        archive: int | None = None,
        arrivals: int = 0,
        writes: int | None = None,
        asks_for_scores: bool = True,
        measures_detector: bool = False,
    ) -> None:
        self._world, self._seed, self._budget, self._evaluator, self._detect = world, seed, budget, evaluator, detect
        self._writes, self._asks_for_scores, self._measures_detector = writes, asks_for_scores, measures_detector
        self.held_out: Sequence[str] = real.held_out
        self.held_out_subgroup: Sequence[str | None] = real.held_out_subgroup
        n = len(real.texts)
        if n == 0:
            raise DataError("there are no real documents to train on")
        if arrivals and archive is None:
            raise ConfigError(
                f"[real] arrivals = {arrivals}, but all {n} documents are there from the first generation on",
                hint="say how many are there at first: samples under [real]",
            )
        self._batches = [world.encode(real.texts)]
        self.real: Sequence[Arrays] = self._batches[:1]
        self._first_row = [0]
        self._generation = np.zeros(n, dtype=np.int64)
        self._origin = list(real.origin or ["human"] * n)
        self._source = list(real.source or ["real"] * n)
        self._subgroup = list(real.subgroup or [None] * n)
        self.real_subgroup: Sequence[str | None] = tuple(self._subgroup)
        self._tokens = world.n_tokens(self._batches[0])
        self._uses = np.zeros(n, dtype=np.int64)
        self._ids = list(real.ids)
        self._arrived = _arrivals(seeds.units(seeds.integer(seed, "arrival"), self._ids), archive, arrivals)
        is_model = np.array([origin == "model" for origin in self._origin])
        scores = self._scores(real.texts, is_model, generation=0) if real_scores is None else real_scores
        # The experiment's detector judges real and sampled texts alike; tags of the catalog serve where there is none.
        tagged = real.p_model if detect is None else None
        self._p_model = scores if tagged is None else np.array(tagged, dtype=np.float64)
        self._flagged = self._verdicts(self._p_model, is_model, generation=0)
        self.first: Arrays = {}
        self.samples = self.writes = 0

    def begin(self) -> Training:
        """Generation 0: real documents up to the budget, the same for every policy."""
        policy = MixPolicy(name="generation-0", share=[Share(where="generation = 0", share=1.0)])
        training = self.draw(policy, generation=0)
        self._start(training)
        return training

    def _start(self, training: Training) -> None:
        self.first = training.parts[0].batch
        n_tokens = self._world.n_tokens(self.first)
        self.samples = len(n_tokens)
        self.writes = self._writes or self.samples
        if self._budget.tokens is not None:
            # Whole documents seldom fill a number of tokens, and later generations write as many as these hold.
            self._budget = Budget(tokens=int(n_tokens.sum()))

    def draw(self, policy: MixPolicy, *, generation: int) -> Training:
        """The training set of `generation` under `policy`. Raises ConfigError when the pool cannot serve it."""
        there = np.flatnonzero(self._arrived <= generation)
        pool = self.table(generation)
        policy, _ = expand(policy, pool, self._evaluator)
        values = self._evaluator.evaluate(pool, policy.shares, policy=policy.name)
        keys = seeds.units(seeds.integer(self._seed, "draw", generation), self._ids)[there]
        budget = self._budget.model_copy(update={"on_shortfall": policy.budget.on_shortfall})
        drawn = draw(policy, values, keys=keys, n_tokens=self._tokens[there], budget=budget)
        if len(drawn.rows) == 0:
            raise ConfigError(
                f"policy {policy.name!r} leaves nothing to train on",
                hint=f"no document satisfies {' or '.join(repr(share.where) for share in policy.shares)}",
            )
        record: Arrays = {"rows": there[drawn.rows], "share": drawn.share, "weight": drawn.weight}
        return self._training(record, drawn.realised)

    def _training(self, record: Arrays, realised: list[Realised]) -> Training:
        rows, weight = record["rows"], record["weight"]
        np.add.at(self._uses, rows, 1)
        which = np.searchsorted(self._first_row, rows, side="right") - 1
        plain = bool(np.all(weight == 1.0))
        parts = [
            Part(
                batch=self._world.take(self._batches[b], rows[which == b] - self._first_row[b]),
                weight=1.0 if plain else weight[which == b],
            )
            for b in np.unique(which)
        ]
        trained_on = {f"generation-{b - 1}" if b else "real": int((which == b).sum()) for b in np.unique(which)}
        return Training(parts=parts, realised=realised, record=record, trained_on=trained_on)

    def write(self, model: Any, *, generation: int) -> Written:
        """Let the model of `generation` write documents like the first training set's, and add them to the pool."""
        like = self.first
        if self._writes is not None:
            like = self._world.take(like, np.arange(self._writes) % self.samples)
        samples = self._world.sample(model, like, seeds.stream(self._seed, "sample", generation))
        n = len(self._world.n_tokens(samples))
        # Generation 0 is shared, so its texts are judged for those policies that will ask.
        asked = n if self._asks_for_scores or generation == 0 else MOST_MEASURED if self._measures_detector else 0
        judged, texts = min(asked, n), [""] * min(asked, n)
        if callable(self._detect):
            texts = self._world.texts(self._world.take(samples, np.arange(judged)))
        p_model = np.full(n, np.nan)
        p_model[:judged] = self._scores(texts, np.ones(judged, dtype=np.bool_), generation=generation + 1)
        self._append(samples, p_model, generation=generation)
        return Written(samples=samples, kept={**samples, _P_MODEL: p_model}, n=n)

    def _append(self, samples: Arrays, p_model: NDArray[np.float64], *, generation: int) -> None:
        """Add rows for what the model of `generation` wrote; its texts are of generation + 1."""
        n = len(p_model)
        self._batches.append(samples)
        self._first_row.append(len(self._ids))
        self._ids += [hashlib.sha256(b"sample:%d:%d" % (generation, row)).digest()[:16] for row in range(n)]
        self._generation = np.concatenate([self._generation, np.full(n, generation + 1)])
        self._origin += ["model"] * n
        self._source += [f"generation-{generation}"] * n
        self._subgroup += [None] * n
        self._tokens = np.concatenate([self._tokens, self._world.n_tokens(samples)])
        self._uses = np.concatenate([self._uses, np.zeros(n, dtype=np.int64)])
        self._arrived = np.concatenate([self._arrived, np.full(n, generation + 1)])
        self._p_model = np.concatenate([self._p_model, p_model])
        flagged = self._verdicts(p_model, np.ones(n, dtype=np.bool_), generation=generation + 1)
        self._flagged = np.concatenate([self._flagged, flagged])

    def observe(self, written: Written) -> dict[str, Any]:
        """What a trained detector said of the real human texts and of those just written."""
        if not callable(self._detect):
            return {}
        n = len(self.real_subgroup)
        human = np.array([origin == "human" for origin in self._origin[:n]])
        return {"human_p_model": self._p_model[:n][human], "sample_p_model": written.kept[_P_MODEL]}

    def restore(self, *, generation: int, record: Arrays, kept: Arrays) -> None:
        """Replay a finished generation from what `draw` and `write` said of it."""
        training = self._training(record, [])
        if generation == 0:
            self._start(training)
        samples = {name: array for name, array in kept.items() if name != _P_MODEL}
        self._append(samples, kept[_P_MODEL], generation=generation)

    def table(self, generation: int) -> pa.Table:
        """What a policy sees. `age` counts from the texts about to be made, so the newest rows have age 1."""
        known = ~np.isnan(self._p_model)
        everything = pa.table(
            {
                "generation": self._generation,
                "age": generation + 1 - self._generation,
                "origin": pa.array(self._origin, pa.string()),
                "p_model": pa.array(self._p_model, pa.float64(), mask=~known),
                "tag": pa.array(np.where(self._flagged, "model", "human"), pa.string(), mask=~known),
                "source": pa.array(self._source, pa.string()),
                "subgroup": pa.array(self._subgroup, pa.string()),
                "n_tokens": self._tokens,
                "uses": self._uses,
                "arrived": self._arrived,
            }
        )
        return everything.filter(pa.array(self._arrived <= generation))

    def _scores(self, texts: Sequence[str], is_model: NDArray[np.bool_], *, generation: int) -> NDArray[np.float64]:
        if self._detect is None:
            return np.full(len(texts), np.nan)
        if callable(self._detect):
            return np.asarray(self._detect(texts), dtype=np.float64)
        return simulated_scores(self._detect, self._simulated(self._detect, is_model, generation))

    def _verdicts(
        self, p_model: NDArray[np.float64], is_model: NDArray[np.bool_], *, generation: int
    ) -> NDArray[np.bool_]:
        """Which texts are taken for a model's. A simulated detector says so itself: its scores may be all alike."""
        if isinstance(self._detect, SimulatedDetector):
            return self._simulated(self._detect, is_model, generation)
        return p_model >= 0.5

    def _simulated(
        self, detector: SimulatedDetector, is_model: NDArray[np.bool_], generation: int
    ) -> NDArray[np.bool_]:
        return simulated_verdicts(detector, is_model, seeds.stream(self._seed, "detect", generation))


def _arrivals(keys: NDArray[np.float64], archive: int | None, arrivals: int) -> NDArray[np.int64]:
    """The generation in whose pool each real document is first: an archive at 0, then so many each time."""
    order = np.argsort(keys, kind="stable")
    first = len(keys) if archive is None else archive
    turn = np.zeros(len(keys), dtype=np.int64)
    late = np.arange(max(len(keys) - first, 0))
    turn[order[first:]] = 1 + late // arrivals if arrivals else np.iinfo(np.int64).max
    return turn


def simulated_verdicts(
    detector: SimulatedDetector, is_model: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which texts a detector that errs at the given rates takes for a model's."""
    return rng.random(len(is_model)) < np.where(is_model, detector.true_positive_rate, detector.false_positive_rate)


def simulated_scores(detector: SimulatedDetector, flagged: NDArray[np.bool_]) -> NDArray[np.float64]:
    """p_model after such a verdict: the posterior at even odds, so it is calibrated there."""
    caught, false = detector.true_positive_rate, detector.false_positive_rate
    return np.where(flagged, posterior(caught, false), posterior(1 - caught, 1 - false))


def posterior(model: float, human: float) -> float:
    """Probability that a model wrote it, at even odds, when this verdict falls on so much of either kind."""
    return model / (model + human) if model + human else 0.5

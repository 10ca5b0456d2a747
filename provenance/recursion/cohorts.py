"""The pool of a statistical world: one row per cohort, a set of exchangeable samples in every replica.

A policy's SQL sees one row for thousands of samples; how many it takes of each cohort is then drawn per replica
(hypergeometric, as if every sample had been a row). A cohort is kept as the model and the random stream it came from,
so a restart, or a full memory, makes it again bit by bit. A cohort counts as used when any of it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from provenance import seeds
from provenance.catalog.pool import PoolEvaluator
from provenance.errors import ConfigError
from provenance.mixing.draw import Realised
from provenance.mixing.policy import Budget, MixPolicy
from provenance.plugins import Arrays, CohortWorld, Part
from provenance.recursion.cohort_draw import draw_counts
from provenance.recursion.config import Detection, Real
from provenance.recursion.documents import posterior
from provenance.recursion.training_set import Training, Written

Counts = NDArray[np.int64]
Draw = Callable[[Counts, Counts, np.random.Generator], dict[str, Arrays]]
"""Samples by subgroup, from how many came before them in the same lot, how many there are, and a random stream."""
Verdict = tuple[float, str | None]
"""p_model and tag."""

POOL_COLUMNS = (
    "generation", "age", "origin", "p_model", "tag", "source", "subgroup", "n_tokens", "uses", "arrived", "n",
)  # fmt: skip
"""What a policy may ask for."""

WRONG = "wrong"
"""The subgroup a verifier should reject."""

CACHE_BYTES = 128 * 1024 * 1024
"""Samples kept in memory; older cohorts beyond it are made again when a policy asks for them."""


@dataclass(slots=True, kw_only=True)
class Cohort:
    """Samples that no policy can tell apart."""

    generation: int
    origin: str
    source: str
    subgroup: str
    p_model: float
    tag: str | None
    size: Counts
    """Samples per replica; one number where all replicas have the same, which keeps bookkeeping cheap."""
    make: Callable[[], Arrays]
    arrived: int
    """The generation whose pool it was first in."""
    uses: int = 0
    cached: Arrays | None = None


class CohortPool:
    """Cohorts a policy can draw from. One pool per run."""

    held_out: Sequence[str] = ()
    held_out_subgroup: Sequence[str | None] = ()
    real_subgroup: Sequence[str | None] = ()

    def __init__(
        self,
        world: CohortWorld,
        real: Real,
        *,
        seed: int,
        budget: Budget,
        evaluator: PoolEvaluator,
        detection: Detection | None = None,
        writes: int | None = None,
    ) -> None:
        if budget.documents is None:
            raise ConfigError("a statistical world's [budget] is a number of samples: give 'documents'")
        self._world, self._seed, self._evaluator = world, seed, evaluator
        self._settings, self._budget, self._detection = real, budget.documents, detection
        self.samples = budget.documents
        self.writes = writes or budget.documents
        self._dealt = np.zeros(1, dtype=np.int64)
        self._cohorts: list[Cohort] = []
        self.real: Sequence[Arrays] = ()
        self._fixed: pa.Table | None = None

    def begin(self) -> Training:
        """Generation 0: as many real samples as the budget, the same for every policy."""
        spare = (self._settings.samples or self._budget) - self._budget
        if spare < 0:
            raise ConfigError(f"[real] samples = {self._settings.samples} is less than the budget of {self._budget}")
        first = self._add_real(self._budget, "real", "first", arrived=0)
        if spare:
            self._add_real(spare, "real", "spare", arrived=0)
        counts = self._sizes()
        counts[:, first:] = 0
        training = self._training(counts, np.ones(len(self._cohorts)), [], generation=0)
        self.real = [self._batch(cohort) for cohort in self._cohorts]
        return training

    def draw(self, policy: MixPolicy, *, generation: int) -> Training:
        """The training set of `generation` under `policy`. Raises ConfigError when the pool cannot serve it."""
        self._arrive(generation)
        values = self._evaluator.evaluate(self.table(generation), policy.shares, policy=policy.name)
        rng = seeds.stream(self._seed, "draw", generation)
        counts, weights, realised = draw_counts(
            policy, values, self._sizes(), replicas=self._world.replicas, budget=self._budget, rng=rng
        )
        if not counts.any(axis=1).all():
            raise ConfigError(
                f"policy {policy.name!r} leaves nothing to train on",
                hint=f"its shares take {', '.join(repr(share.where) for share in policy.shares)} of a pool with "
                + ", ".join(sorted({f"{c.origin} {c.source}" for c in self._cohorts})[:8]),
            )
        return self._training(counts, weights, realised, generation=generation)

    def write(self, model: Any, *, generation: int) -> Written:
        """Let every replica's model write, and add the samples to the pool."""
        samples = [(cohort.subgroup, self._batch(cohort)) for cohort in self._add_model(model, generation)]
        return Written(samples=samples, kept=self._world.weights(model), n=self.writes)

    def observe(self, written: Written) -> dict[str, Any]:  # noqa: ARG002
        """Nothing: a simulated verdict is as good as it was told to be."""
        return {}

    def restore(self, *, generation: int, record: Arrays, kept: Arrays) -> None:
        """Replay a finished generation: the same cohorts from the same streams, made only when asked for."""
        if generation == 0:
            self.begin()
        else:
            self._arrive(generation)
            for cohort, used in zip(self._cohorts, record["used"], strict=True):
                cohort.uses += int(used)
        self._add_model(self._world.restore(kept), generation)

    def table(self, generation: int) -> pa.Table:
        """What a policy sees; `n` is the cohort's size, the mean over replicas."""
        fixed = self._fixed_columns()
        columns = {name: fixed[name] for name in fixed.column_names}
        columns["age"] = pa.array(generation + 1 - fixed["generation"].to_numpy())
        columns["uses"] = pa.array([cohort.uses for cohort in self._cohorts], pa.int64())
        return pa.table({name: columns[name] for name in POOL_COLUMNS})

    def _fixed_columns(self) -> pa.Table:
        """The columns that stay, grown by what is new: thousands of generations are not listed again every time."""
        rows = self._cohorts[self._fixed.num_rows if self._fixed is not None else 0 :]
        if not rows and self._fixed is not None:
            return self._fixed
        new = pa.table(
            {
                "generation": pa.array([cohort.generation for cohort in rows], pa.int64()),
                "origin": pa.array([cohort.origin for cohort in rows], pa.string()),
                "p_model": pa.array([cohort.p_model for cohort in rows], pa.float64(), from_pandas=True),
                "tag": pa.array([cohort.tag for cohort in rows], pa.string()),
                "source": pa.array([cohort.source for cohort in rows], pa.string()),
                "subgroup": pa.array([cohort.subgroup for cohort in rows], pa.string()),
                "n_tokens": np.ones(len(rows), dtype=np.int64),
                "arrived": pa.array([cohort.arrived for cohort in rows], pa.int64()),
                "n": pa.array([float(cohort.size.mean()) for cohort in rows], pa.float64()),
            }
        )
        self._fixed = new if self._fixed is None else pa.concat_tables([self._fixed, new]).combine_chunks()
        return self._fixed

    def _sizes(self) -> Counts:
        """Sizes of all cohorts, shape (replicas or 1, cohorts)."""
        return np.stack(np.broadcast_arrays(*(cohort.size for cohort in self._cohorts)), axis=1)

    def _training(
        self, counts: Counts, weights: NDArray[np.float64], realised: list[Realised], *, generation: int
    ) -> Training:
        parts: list[Part] = []
        used = counts.any(axis=0)
        trained_on: dict[str, int] = {}
        for index in np.flatnonzero(used):
            cohort, left = self._cohorts[index], counts[:, index]
            trained_on[cohort.source] = trained_on.get(cohort.source, 0) + round(float(left.mean()))
            cohort.uses += 1
            batch = self._batch(cohort)
            while left.any():  # more than once around only where on_shortfall = "upsample"
                now = np.minimum(left, cohort.size)
                piece = batch
                if (now != cohort.size).any():
                    rng = seeds.stream(self._seed, "thin", generation, int(index))
                    piece = self._world.split(batch, self._each(now), rng)[0]
                parts.append(Part(batch=piece, weight=float(weights[index])))
                left = left - now
        return Training(parts=parts, realised=realised, record={"used": np.asarray(used)}, trained_on=trained_on)

    def _batch(self, cohort: Cohort) -> Arrays:
        if cohort.cached is None:
            cohort.cached = cohort.make()
            self._forget(cohort)
        return cohort.cached

    def _forget(self, newest: Cohort) -> None:
        """Drop the samples of the oldest cohorts that are more than CACHE_BYTES together with the newest."""
        held = [c for c in self._cohorts if c.cached is not None]
        total = sum(_bytes(c.cached) for c in held)
        for old in held:
            if total <= CACHE_BYTES or old is newest:
                break
            total -= _bytes(old.cached)
            old.cached = None

    def _each(self, size: Counts) -> Counts:
        return np.ascontiguousarray(np.broadcast_to(size, self._world.replicas))

    def _arrive(self, generation: int) -> None:
        if self._settings.arrivals:
            self._add_real(self._settings.arrivals, "arrival", f"arrival-{generation}", arrived=generation)

    def _add_real(self, n: int, source: str, stream: str, *, arrived: int) -> int:
        """Add real samples; returns how many cohorts the detector made of them."""
        lots = self._lots(partial(self._real, self._dealt), n, "human", stream)
        self._dealt = self._dealt + n
        for lot in lots:
            self._cohorts.append(_cohort(lot, generation=0, origin="human", source=source, arrived=arrived))
        return len(lots)

    def _real(self, dealt: Counts, before: Counts, size: Counts, rng: np.random.Generator) -> dict[str, Arrays]:
        """Real samples: new ones, or where there is a finite set of them the next that have not been dealt yet."""
        if not hasattr(self._world, "deal"):
            return {"": self._world.real(size, rng)}
        return {"": self._world.deal(self._each(dealt + before), size, seeds.stream(self._seed, "deal"))}

    def _add_model(self, model: Any, generation: int) -> list[Cohort]:
        lots = self._lots(
            lambda _, size, rng: self._world.sample(model, size, rng), self.writes, "model", f"sample-{generation}"
        )
        new = [
            _cohort(
                lot,
                generation=generation + 1,
                origin="model",
                source=f"generation-{generation}",
                arrived=generation + 1,
            )
            for lot in lots
        ]
        self._cohorts += new
        self._forget(new[0])
        return new

    def _lots(self, draw: Draw, n: int, origin: str, stream: str) -> list["_Lot"]:
        """`n` samples per replica, apart by what a policy can tell: subgroup, and what a detector or verifier said."""
        everyone = np.full(1, n, dtype=np.int64)
        if self._world.subgroups == ("",):
            # Verdicts that do not look at the sample: draw how many of each first, and the samples when asked for.
            judged = self._judged("", everyone, origin, stream)
            before = np.cumsum([np.zeros_like(judged[0][1]), *(size for _, size in judged)], axis=0)
            return [
                _Lot(
                    subgroup="", verdict=verdict, size=size, make=partial(self._plain, draw, before[k], size, stream, k)
                )
                for k, (verdict, size) in enumerate(judged)
            ]
        pieces = self._by_subgroup(draw, everyone, origin, stream)
        return [
            _Lot(
                subgroup=subgroup,
                verdict=verdict,
                size=self._world.size(batch),
                cached=batch,
                make=partial(self._again, draw, everyone, origin, stream, k),
            )
            for k, (subgroup, verdict, batch) in enumerate(pieces)
        ]

    def _plain(self, draw: Draw, before: Counts, size: Counts, stream: str, k: int) -> Arrays:
        return draw(before, self._each(size), seeds.stream(self._seed, stream, k))[""]

    def _again(self, draw: Draw, size: Counts, origin: str, stream: str, k: int) -> Arrays:
        return self._by_subgroup(draw, size, origin, stream)[k][2]

    def _by_subgroup(self, draw: Draw, size: Counts, origin: str, stream: str) -> list[tuple[str, Verdict, Arrays]]:
        pieces: list[tuple[str, Verdict, Arrays]] = []
        drawn = draw(np.zeros(1, dtype=np.int64), self._each(size), seeds.stream(self._seed, stream, 0))
        for subgroup, batch in sorted(drawn.items()):
            rest = batch
            for verdict, n in self._judged(subgroup, self._world.size(batch), origin, stream):
                piece, rest = self._world.split(rest, n, seeds.stream(self._seed, stream, "split", subgroup))
                pieces.append((subgroup, verdict, piece))
        return pieces

    def _judged(self, subgroup: str, size: Counts, origin: str, stream: str) -> list[tuple[Verdict, Counts]]:
        """How many of `size` samples get which verdict."""
        if self._detection is None:
            return [((np.nan, None), size)]
        rng, size = seeds.stream(self._seed, "judge", stream, subgroup), self._each(size)
        if self._detection.simulated is not None:
            detector = self._detection.simulated
            caught, false = detector.true_positive_rate, detector.false_positive_rate
            flagged = rng.binomial(size, caught if origin == "model" else false)
            low, high = posterior(1 - caught, 1 - false), posterior(caught, false)
            return [((low, "human"), size - flagged), ((high, "model"), flagged)]
        if self._detection.verifier is not None:
            if origin == "human":
                return [((0.0, "kept"), size)]
            verifier = self._detection.verifier
            kept = rng.binomial(size, verifier.psi if subgroup == WRONG else verifier.phi)
            return [((0.0, "kept"), kept), ((1.0, "rejected"), size - kept)]
        raise ConfigError("a trained detector reads texts; a statistical world has none", hint="use detector.simulated")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lot:
    subgroup: str
    verdict: Verdict
    size: Counts
    make: Callable[[], Arrays]
    cached: Arrays | None = None


def _cohort(lot: _Lot, *, generation: int, origin: str, source: str, arrived: int) -> Cohort:
    p_model, tag = lot.verdict
    return Cohort(
        generation=generation, origin=origin, source=source, subgroup=lot.subgroup, p_model=p_model, tag=tag,
        size=lot.size, make=lot.make, arrived=arrived, cached=lot.cached,
    )  # fmt: skip


def _bytes(batch: Arrays | None) -> int:
    return sum(array.nbytes for array in batch.values()) if batch else 0

"""Checks T8 to T11 and T19: discrete distributions."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from provenance.mixing.policy import Share
from provenance.recursion.config import Real
from provenance.recursion.models.tilt import Decoding, tilted
from provenance.recursion.theory import categorical as law
from provenance.recursion.theory.checks import Check, Effort, of_mean, wrong
from provenance.recursion.theory.simulate import last, simulate

TOO_LONG = 40
"""Runs of this many times the sample size are enough for every replica to be absorbed."""


def fixation(effort: Effort) -> Iterator[Check]:
    """T8: where and when drift ends."""
    n, p = 20, 0.3
    model = {"replicas": effort.replicas(30_000), "probabilities": [p, 1.0 - p]}
    time, winner = _absorption(model, n, effort.seed)
    yield of_mean("T8", "P(ends in state 1) = p", p, winner == 0)
    exact = law.absorption_time(p, n)
    yield of_mean("T8", "generations until one of two is left", exact, time)
    yield wrong("T8-", "off by one generation", exact - 1.0, time)
    diffusion = law.absorption_time_diffusion(p, n)
    yield of_mean(
        "T8", "the same, diffusion limit", diffusion, time, slack=2.0, note="limit of large n; off by 1.6 at n = 20"
    )
    n = 30
    model = {"replicas": effort.replicas(1_000), "states": n}
    time, _ = _absorption(model, n, effort.seed)
    yield of_mean("T8", "generations until one of n is left", law.coalescence_time_exact(n), time)
    yield of_mean("T8", "the same, 2 (n - 1)", law.coalescence_time(n), time, slack=2.0, note="limit of large n")


def _absorption(model: Mapping[str, object], n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Fits until one state is left in each replica, and which one it is."""
    time: NDArray[np.float64] = np.zeros(0)
    winner: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
    for turn in simulate(
        "categorical", model, "replace", samples=n, generations=TOO_LONG * n, seed=seed, measure_every=10**6
    ):
        p = turn.model["p"]
        done = p.max(axis=1) == 1.0
        if turn.generation == 0:
            time = np.full(len(p), np.inf)
        time[done & np.isinf(time)] = turn.generation + 1
        winner = p.argmax(axis=1)
        if done.all():
            break
    return time, winner


def squares(effort: Effort) -> Iterator[Check]:
    """T9: the sum of squares, the martingale, one step's loss."""
    n, fits = 100, 20
    model = {"replicas": effort.replicas(1_000), "states": 200, "distribution": "zipf"}
    p = np.arange(1, 201) ** -1.0
    p = p / p.sum()
    real = float((p**2).sum())
    turn = last(
        simulate("categorical", model, "replace", samples=n, generations=fits - 1, seed=effort.seed, measure_every=fits)
    )
    s = (turn.model["p"] ** 2).sum(axis=1)
    yield of_mean("T9", "E sum p^2", law.sum_of_squares(fits, n, real), s)
    yield wrong("T9-", "off by ten generations", law.sum_of_squares(fits - 10, n, real), s)
    yield of_mean("T9", "E p of the likeliest state", float(p[0]), turn.model["p"][:, 0])
    turn = last(
        simulate(
            "categorical", model, "accumulate", samples=n, generations=fits - 1, seed=effort.seed, measure_every=fits
        )
    )
    s = (turn.model["p"] ** 2).sum(axis=1)
    yield of_mean("T9", "E sum p^2, accumulate", law.accumulate_sum_of_squares(fits, n, real), s, note="T7's product")
    q, n = 0.05, 60
    model = {"replicas": effort.replicas(40_000), "probabilities": [q, 1.0 - q]}
    first = next(simulate("categorical", model, "replace", samples=n, generations=1, seed=effort.seed))
    yield of_mean("T9", "P(lost in one step) = (1 - q)^n", law.loss_in_one_step(q, n), first.model["p"][:, 0] == 0)


def vocabulary(effort: Effort) -> Iterator[Check]:
    """T10: how a Zipf vocabulary dies out, and the published bound."""
    n, states = 2_000, 4_000
    model = {"replicas": effort.replicas(60), "states": states, "distribution": "zipf"}
    p = np.arange(1, states + 1) ** -1.0
    p = p / p.sum()
    for turn in simulate(
        "categorical", model, "replace", samples=n, generations=20, seed=effort.seed, measure_every=10**6
    ):
        alive = turn.model["p"] > 0
        fits = turn.generation + 1
        if turn.generation in (5, 20):
            predicted = law.vocabulary(fits, n, p)
            # Branching lines are independent, a fixed total is not: the law is the limit of large n.
            yield of_mean(
                "T10",
                f"vocabulary after {turn.generation} generations",
                predicted,
                alive.sum(axis=1),
                slack=0.004 * predicted,
                note="derived, limit of large n: 4 % too low at n = 50 after 5 generations, 18 % after 50",
            )
            effective = law.effective_samples(float(alive.sum(axis=1).mean()), fits, p)
            yield Check(
                id="T10", what="effective M fitted to it", predicted=n, simulated=effective, stderr=0.0, slack=0.03 * n
            )
        if turn.generation == 10:
            state = int(np.argmin(np.abs(n * p - 10.0)))
            survived = alive[:, state].mean()
            bound = law.survival_bound(float(n * p[state]), turn.generation)
            yield Check(
                id="T10", what="survival of a word with 10 copies beats the bound", predicted=1.0,
                simulated=float(survived > bound), stderr=0.0, note=f"{survived:.3f} > {bound:.3f}",
            )  # fmt: skip


def replay(effort: Effort) -> Iterator[Check]:
    """T11: fixed real data beside each new generation."""
    n, real, states = 50, 100, 10
    model = {"replicas": effort.replicas(4_000), "states": states}
    both = [Share(where="generation = 0", take="all"), Share(where="age = 1 and origin = 'model'", take="all")]
    turn = last(
        simulate(
            "categorical",
            model,
            both,
            samples=n,
            generations=25,
            seed=effort.seed,
            real=Real(samples=real),
            measure_every=10**6,
        )
    )
    fixed = _real_frequencies(model, n, real, effort.seed)
    distance = ((turn.model["p"] - fixed) ** 2).sum(axis=1)
    expected = float(np.mean([law.replay_limit(n, real, s) for s in (fixed**2).sum(axis=1)]))
    yield of_mean("T11", "E ||p - p_real||^2 under replay", expected, distance, note="derived")
    wrongly = float(np.mean([law.replay_limit(n, 2 * real, s) for s in (fixed**2).sum(axis=1)]))
    yield wrong("T11-", "twice the real data", wrongly, distance)


def _real_frequencies(model: Mapping[str, object], n: int, real: int, seed: int) -> NDArray[np.float64]:
    """The empirical distribution of all real samples: what a fit on them alone gives."""
    everything = [Share(where="generation = 0", take="all")]
    turn = last(
        simulate("categorical", model, everything, samples=n, generations=1, seed=seed, real=Real(samples=real))
    )
    frequencies: NDArray[np.float64] = turn.model["p"]
    return frequencies


def decoding(effort: Effort) -> Iterator[Check]:
    """T19: temperature and top-k without sampling error."""
    del effort
    p0 = np.arange(1, 21) ** -1.0
    p0 = (p0 / p0.sum())[None, :]
    p, temperature = p0, Decoding(temperature=0.9)
    for _ in range(10):
        p = tilted(p, temperature)
    law_ = p0 ** (0.9**-10)
    gap = float(np.abs(p - law_ / law_.sum()).max())
    yield Check(id="T19", what="p_n ~ p_0^(T^-n), largest gap", predicted=0.0, simulated=gap, stderr=0.0, slack=1e-12)
    once = tilted(p0, Decoding(top_k=5))
    again = tilted(once, Decoding(top_k=5))
    yield Check(id="T19", what="top-5 leaves 5 states", predicted=5.0, simulated=float((once > 0).sum()), stderr=0.0)
    change = float(np.abs(again - once).max())
    yield Check(id="T19", what="top-5 again changes nothing", predicted=0.0, simulated=change, stderr=0.0, slack=1e-15)


GROUPS = (fixation, squares, vocabulary, replay, decoding)

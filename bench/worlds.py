"""Statistical worlds: replicas x generations per second of CPU, against the published way and against the RNG itself.

    python bench/worlds.py [--quick]

The published way is the notebooks' loop: one replica at a time, every sample drawn, NumPy or scikit-learn to fit. The
limit is a loop that does nothing but draw the same random numbers. All in one process on one thread, in one run; CPU
time, best of three. Needs no data. Writes bench/results/worlds.json.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

# Before NumPy is loaded: idle threads that wait by spinning would count as scikit-learn's CPU time.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import numpy as np
from machine import machine, write_result
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from provenance.plugins import Part
from provenance.recursion.models.gmm import GMMWorld
from provenance.recursion.theory.simulate import last, simulate
from provenance.seeds import stream

ROUNDS = 3
SAMPLES = 100
GENERATIONS = 50
STATES = 20


def cpu_seconds(work: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Best process CPU time of several goes."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def rate(replicas: int, seconds: float) -> float:
    """Replicas x generations per CPU second."""
    return replicas * GENERATIONS / seconds


def gaussian(replicas: int, plain_replicas: int) -> dict[str, float]:
    """Gaussian under replace: the engine, the notebook's loop, and drawing the random numbers alone."""

    def engine() -> None:
        model = {"replicas": replicas}
        last(
            simulate(
                "gaussian", model, "replace", samples=SAMPLES, generations=GENERATIONS - 1, seed=0, measure_every=10**6
            )
        )

    def notebook() -> None:
        rng = np.random.default_rng(0)
        for _ in range(plain_replicas):
            mu, sigma = 0.0, 1.0
            for _ in range(GENERATIONS):
                x = rng.normal(mu, sigma, SAMPLES)
                mu, sigma = np.mean(x), np.std(x)

    def numbers() -> None:
        rng = np.random.Generator(np.random.PCG64DXSM(0))
        for _ in range(GENERATIONS):
            rng.standard_normal(replicas)
            rng.standard_gamma((SAMPLES - 1) / 2.0, size=replicas)

    return summary(replicas, plain_replicas, cpu_seconds(engine), cpu_seconds(notebook), cpu_seconds(numbers))


def categorical(replicas: int, plain_replicas: int) -> dict[str, float]:
    """Wright-Fisher drift of 20 states: the same three."""
    uniform = np.full(STATES, 1.0 / STATES)

    def engine() -> None:
        model = {"replicas": replicas, "states": STATES}
        last(
            simulate(
                "categorical",
                model,
                "replace",
                samples=SAMPLES,
                generations=GENERATIONS - 1,
                seed=0,
                measure_every=10**6,
            )
        )

    def notebook() -> None:
        rng = np.random.default_rng(0)
        for _ in range(plain_replicas):
            p = uniform
            for _ in range(GENERATIONS):
                x = rng.choice(STATES, size=SAMPLES, p=p)
                p = np.bincount(x, minlength=STATES) / SAMPLES

    def numbers() -> None:
        # The same multinomials as the loop draws, so that dying states make both cheaper alike.
        rng = np.random.Generator(np.random.PCG64DXSM(0))
        p = np.broadcast_to(uniform, (replicas, STATES))
        for _ in range(GENERATIONS):
            p = rng.multinomial(SAMPLES, p) / SAMPLES

    return summary(replicas, plain_replicas, cpu_seconds(engine), cpu_seconds(notebook), cpu_seconds(numbers))


def summary(replicas: int, plain_replicas: int, engine: float, notebook: float, numbers: float) -> dict[str, float]:
    """Rates and ratios."""
    return {
        "replicas": replicas,
        "generations": GENERATIONS,
        "samples": SAMPLES,
        "engine_per_cpu_second": rate(replicas, engine),
        "notebook_per_cpu_second": rate(plain_replicas, notebook),
        "random_numbers_per_cpu_second": rate(replicas, numbers),
        "times_faster_than_notebook": rate(replicas, engine) / rate(plain_replicas, notebook),
        "times_the_rng_limit": engine / numbers,
    }


def mixture(samples: int, generations: int) -> dict[str, float]:
    """Two components refitted: warm starts against scikit-learn from scratch, on the same data every generation.

    Both fit what the warm-started chain wrote, so that likelihoods can be compared fit by fit.
    """
    world = GMMWorld({"replicas": 1, "centers": [[-2.0, 0.0], [2.0, 0.0]]}, {})
    n = np.array([samples])
    batch = world.real(n, stream(0, "real"))
    world.fit([Part(batch=batch)], stream(0))  # compiled before the clock starts
    ours = theirs = drawing = 0.0
    behind = []
    for generation in range(generations):
        start = time.process_time()
        model = world.fit([Part(batch=batch)], stream(0))
        ours += time.process_time() - start
        x = batch["x"][0]
        start = time.process_time()
        plain = GaussianMixture(n_components=2, covariance_type="full", tol=1e-5, max_iter=2000, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            plain.fit(x)
        theirs += time.process_time() - start
        mine = GaussianMixture(n_components=2)
        mine.weights_, mine.means_, mine.covariances_ = model["weights"][0], model["means"][0], model["covs"][0]
        mine.precisions_cholesky_ = np.stack([np.linalg.inv(np.linalg.cholesky(c)).T for c in mine.covariances_])
        behind.append(plain.score(x) - mine.score(x))
        start = time.process_time()
        batch = world.sample(model, n, stream(0, "sample", generation))[""]
        drawing += time.process_time() - start
    return {
        "samples": samples,
        "generations": generations,
        "fit_cpu_seconds": ours,
        "sklearn_fit_cpu_seconds": theirs,
        "sampling_cpu_seconds": drawing,
        "times_faster_fit": theirs / ours,
        "times_faster_loop": (theirs + drawing) / (ours + drawing),
        "sklearn_likelihood_ahead_mean": float(np.mean(behind)),
        "sklearn_likelihood_ahead_worst": float(np.max(behind)),
    }


def main() -> None:
    """Run all of it and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="A tenth of the work; writes nothing.")
    quick = parser.parse_args().quick
    share = 10 if quick else 1
    result = {
        "gaussian": gaussian(500_000 // share, 400 // share),
        "categorical": categorical(50_000 // share, 200 // share),
        "mixture": [
            mixture(1_000, 2_000 // share),
            mixture(10_000, 400 // share),
            mixture(200_000, 30 // share),
        ],
    }
    for name, numbers in result.items():
        print(name, numbers)
    if not quick:
        write_result("worlds", {"machine": machine(), **result})


if __name__ == "__main__":
    main()

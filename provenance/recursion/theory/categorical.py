"""Closed forms for discrete distributions fitted to their own samples: neutral Wright-Fisher drift.

`fits` counts fits: the model trained on real data is fit 1. `n` samples each time; S is the sum of squared
probabilities, one minus the heterozygosity.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def sum_of_squares(fits: int, n: int, real: float) -> float:
    """T9: E S under replace, from S = `real` of the true distribution (Seddik et al. 2024)."""
    return 1.0 - (1.0 - 1.0 / n) ** fits * (1.0 - real)


def accumulate_sum_of_squares(fits: int, n: int, real: float) -> float:
    """E S of the pooled fit when all samples are kept: the Gaussian's T7 product with heterozygosity for variance."""
    product = 1.0
    for t in range(1, fits + 1):
        product *= 1.0 - 1.0 / (n * t * t)
    return 1.0 - product * (1.0 - real)


def loss_in_one_step(q: float, n: int) -> float:
    """T9: probability that a state of probability q is not sampled once in n draws."""
    return (1.0 - q) ** n


def absorption_time(p: float, n: int) -> float:
    """T8: expected generations until one of two states is lost, exact: (I - Q)^-1 1 over the transient counts."""
    from scipy.stats import binom  # takes a second to import, and experiments do not need it

    counts = np.arange(1, n)
    q = binom.pmf(counts[None, :], n, counts[:, None] / n)
    after = np.linalg.solve(np.eye(n - 1) - q, np.ones(n - 1))
    # The first sample is drawn from p itself, which need not be a multiple of 1 / n.
    return float(1.0 + binom.pmf(counts, n, p) @ after)


def absorption_time_diffusion(p: float, n: int) -> float:
    """T8: the diffusion limit of the same, -2 n (p ln p + q ln q)."""
    q = 1.0 - p
    return float(-2.0 * n * (p * np.log(p) + q * np.log(q)))


def coalescence_time(n: int) -> float:
    """T8: generations until one of n different samples has all descendants, in the diffusion limit 2 (n - 1)."""
    return 2.0 * (n - 1)


def coalescence_time_exact(n: int) -> float:
    """T8 exactly: k lines have j parents with probability S(k, j) n (n-1) … (n-j+1) / n^k (Stirling numbers S)."""
    time = np.zeros(n + 1)
    # parents[j] = P(k lines have j parents), one line at a time: it falls on a parent already taken, or on a new one.
    parents = np.zeros(n + 2)
    parents[1] = 1.0
    lines = np.arange(n + 2)
    for k in range(2, n + 1):
        parents[1:] = parents[1:] * lines[1:] / n + parents[:-1] * (n - lines[:-1]) / n
        parents[0] = 0.0
        time[k] = (1.0 + parents[1:k] @ time[1:k]) / (1.0 - parents[k])
    return float(time[n])


def extinction(generations: int) -> float:
    """T10: probability that the line of one copy has died out after so many resamplings (Poisson branching)."""
    q = 0.0
    for _ in range(generations):
        q = float(np.exp(q - 1.0))
    return q


def survival(copies: float, generations: int) -> float:
    """T10: probability that a state with `copies` copies is alive after so many resamplings."""
    return float(1.0 - extinction(generations) ** copies)


def survival_bound(copies: float, generations: int) -> float:
    """The published lower bound (Suresh et al. 2025), which T10 must exceed."""
    return 1.0 - float(np.exp(-copies / generations))


def vocabulary(fits: int, n: float, p: Floats) -> float:
    """T10: expected number of states with probability in the `fits`-th model."""
    alive = 1.0 - extinction(fits - 1)
    return float(-np.expm1(-n * p * alive).sum())


def effective_samples(observed: float, fits: int, p: Floats) -> float:
    """The n for which T10 gives the observed vocabulary: how many independent samples the loop behaves as."""
    from scipy.optimize import brentq

    known = float((p > 0).sum())
    if not 0.0 < observed < known:
        return float("nan")
    low, high = -3.0, 15.0

    def miss(log10_n: float) -> float:
        return vocabulary(fits, 10.0**log10_n, p) - observed

    if miss(low) > 0 or miss(high) < 0:
        return float("nan")
    return float(10.0 ** brentq(miss, low, high, xtol=1e-6))


def replay_limit(n: int, real: int, real_sum_of_squares: float) -> float:
    """T11: E ||p - p_real||^2 in the long run when `real` fixed real samples join n new ones every generation.

    p_real is the empirical distribution of the real samples, S its sum of squares.
    """
    a = n / (real + n)
    return a * a * (1.0 - real_sum_of_squares) / n / (1.0 - a * a * (1.0 - 1.0 / n))


def expected(policy: str, generation: int, n: int, p: Floats) -> dict[str, float]:
    """Metrics of the categorical world that have a closed form under a shipped policy."""
    fits, squares = generation + 1, float((p**2).sum())
    if policy == "control":
        fits, policy = 1, "replace"
    if policy == "replace":
        s = sum_of_squares(fits, n, squares)
        return {"sum_p2": s, "l2_squared": s - squares, "support": vocabulary(fits, n, p)}
    if policy == "accumulate":
        s = accumulate_sum_of_squares(fits, n, squares)
        return {"sum_p2": s, "l2_squared": s - squares}
    return {}

"""How far a fitted discrete distribution is from the real one, and what of it is still alive.

Arrays are (replicas, states). All are exact functions of the fitted probabilities; equal numbers of states make them
comparable between generations.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric
from provenance.recursion.theory.categorical import effective_samples

Floats = NDArray[np.float64]


def sum_p2(p: Floats) -> Floats:
    """Chance that two draws agree: 1 / states when even, 1 when collapsed."""
    return np.asarray((p**2).sum(axis=1))


def support(p: Floats) -> Floats:
    """States that can still occur."""
    return np.asarray((p > 0).sum(axis=1), dtype=np.float64)


def lost_mass(p: Floats, real_p: Floats) -> Floats:
    """Real probability of the states that cannot occur any more."""
    return np.asarray((real_p * (p == 0)).sum(axis=1))


def tail_coverage(p: Floats, real_p: Floats, tail: NDArray[np.bool_]) -> Floats:
    """Share of the real tail's probability that is in states still alive; NaN where there is no tail."""
    mass = real_p[tail].sum()
    return np.asarray(((p[:, tail] > 0) * real_p[tail]).sum(axis=1) / (mass or np.nan))


def total_variation(p: Floats, real_p: Floats) -> Floats:
    """Half the sum of absolute differences: the largest error in the probability of any event."""
    return np.asarray(0.5 * np.abs(p - real_p).sum(axis=1))


def l2_squared(p: Floats, real_p: Floats) -> Floats:
    """Sum of squared differences between fitted and real probabilities."""
    return np.asarray(((p - real_p) ** 2).sum(axis=1))


def reverse_kl(p: Floats, real_p: Floats) -> Floats:
    """KL(fitted || real) in nats: the direction that stays finite when states die out."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / real_p), 0.0)
    return np.asarray(terms.sum(axis=1))


def absorbed(p: Floats) -> Floats:
    """1 where a single state is left; its mean is the share of replicas that have collapsed."""
    return np.asarray((p.max(axis=1) == 1.0), dtype=np.float64)


def effective_m(survivors: float, real_p: Floats, fits: int) -> float:
    """Samples per generation that explain the surviving vocabulary under plain replacement (T10), states independent.

    Comparable across worlds: a language model that keeps as many words alive as drawing 20,000 words at random each
    generation would, has an effective M of 20,000 whatever its training set holds.
    """
    return effective_samples(survivors, fits, real_p)


SUM_P2 = Metric(name="sum_p2", unit="probability", higher_is_better=False, needs=("p",), measure=sum_p2)
SUPPORT = Metric(name="support", unit="states", higher_is_better=True, needs=("p",), measure=support)
LOST_MASS = Metric(
    name="lost_mass", unit="probability", higher_is_better=False, needs=("p", "real_p"), measure=lost_mass
)
TAIL_COVERAGE = Metric(
    name="tail_coverage", unit="fraction", higher_is_better=True, needs=("p", "real_p", "tail"), measure=tail_coverage
)
TOTAL_VARIATION = Metric(
    name="total_variation", unit="probability", higher_is_better=False, needs=("p", "real_p"), measure=total_variation
)
L2_SQUARED = Metric(
    name="l2_squared", unit="probability^2", higher_is_better=False, needs=("p", "real_p"), measure=l2_squared
)
REVERSE_KL = Metric(name="reverse_kl", unit="nat", higher_is_better=False, needs=("p", "real_p"), measure=reverse_kl)
ABSORBED = Metric(name="absorbed", unit="fraction", higher_is_better=False, needs=("p",), measure=absorbed)
EFFECTIVE_M = Metric(
    name="effective_m",
    unit="samples",
    higher_is_better=True,
    needs=("survivors", "survivors_real_p", "fits"),
    measure=effective_m,
)

"""Who vanishes first: what share of the samples each class of the real data still has, and how many classes are left.

Classes are subgroups of the real data (digits, speakers, periods). How much of the samples is of each class is what the
world says: verdicts of a classifier on images, the weights of a mixture in texts. Real data is looked at the same way.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric
from provenance.recursion.metrics.replicas import per_replica

ALIVE = 0.1
"""A class counts as covered while it keeps at least a tenth of its real share."""


def representation(
    sample_shares: NDArray[np.floating], real_shares: NDArray[np.floating], names: list[str]
) -> dict[str, float]:
    """Each class's share among the samples over its share of the real data: 1 is fair, 0 is gone."""
    if np.isnan(sample_shares).any():
        return {}
    return {
        name: float(made / real) for name, made, real in zip(names, sample_shares, real_shares, strict=True) if real > 0
    }


def coverage(sample_shares: NDArray[np.floating], real_shares: NDArray[np.floating], names: list[str]) -> float:
    """Share of the real classes that are still made."""
    found = representation(sample_shares, real_shares, names)
    return float(np.mean([share >= ALIVE for share in found.values()])) if found else float("nan")


REPRESENTATION = Metric(
    name="representation",
    unit="ratio",
    higher_is_better=None,
    needs=("sample_class_shares", "real_class_shares", "class_names"),
    measure=per_replica(representation),
)
CLASS_COVERAGE = Metric(
    name="class_coverage",
    unit="fraction",
    higher_is_better=True,
    needs=("sample_class_shares", "real_class_shares", "class_names"),
    measure=per_replica(coverage),
)

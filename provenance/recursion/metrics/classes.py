"""Who vanishes first: what share of the samples each class of the real data still has, and how many classes are left.

Classes are subgroups of the real data (digits, speakers, dialects). A sample's class is what a classifier trained on
the real data sees in it.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric
from provenance.recursion.metrics.replicas import per_replica

ALIVE = 0.1
"""A class counts as covered while it keeps at least a tenth of its real share."""


def representation(
    sample_classes: NDArray[np.integer], real_classes: NDArray[np.integer], names: list[str]
) -> dict[str, float]:
    """Each class's share among the samples over its share of the real data: 1 is fair, 0 is gone."""
    if len(sample_classes) == 0 or len(real_classes) == 0:
        return {}
    real = np.bincount(real_classes, minlength=len(names)) / len(real_classes)
    made = np.bincount(sample_classes, minlength=len(names)) / len(sample_classes)
    return {name: float(made[i] / real[i]) for i, name in enumerate(names) if real[i] > 0}


def coverage(sample_classes: NDArray[np.integer], real_classes: NDArray[np.integer], names: list[str]) -> float:
    """Share of the real classes that are still made."""
    found = representation(sample_classes, real_classes, names)
    return float(np.mean([share >= ALIVE for share in found.values()])) if found else float("nan")


REPRESENTATION = Metric(
    name="representation",
    unit="ratio",
    higher_is_better=None,
    needs=("sample_classes", "real_classes", "class_names"),
    measure=per_replica(representation),
)
CLASS_COVERAGE = Metric(
    name="class_coverage",
    unit="fraction",
    higher_is_better=True,
    needs=("sample_classes", "real_classes", "class_names"),
    measure=per_replica(coverage),
)

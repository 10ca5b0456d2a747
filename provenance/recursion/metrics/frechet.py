"""Distances between two clouds of feature vectors: Fréchet distance, and precision and recall by nearest neighbours.

The features are principal components of the real images, not of Inception or LeNet: values compare between generations
and policies of one experiment, not with published FIDs.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric
from provenance.recursion.metrics.replicas import per_replica

NEIGHBOURS = 5
MOST = 5_000
"""Points used for precision and recall: the first so many of each cloud."""


def frechet_distance(samples: NDArray[np.floating], real: NDArray[np.floating]) -> float:
    """Squared Fréchet distance of the Gaussians fitted to both: |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½)."""
    if len(samples) < 2 or len(real) < 2:
        return float("nan")
    one, two = np.asarray(samples, dtype=np.float64), np.asarray(real, dtype=np.float64)
    cov_one, cov_two = np.atleast_2d(np.cov(one.T)), np.atleast_2d(np.cov(two.T))
    # The trace of the root is the sum of the roots of the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, which is symmetric.
    values, vectors = np.linalg.eigh(cov_one)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_two @ root), 0)).sum()
    gap = one.mean(axis=0) - two.mean(axis=0)
    return float(gap @ gap + np.trace(cov_one) + np.trace(cov_two) - 2 * cross)


def precision(samples: NDArray[np.floating], real: NDArray[np.floating]) -> float:
    """Share of samples that lie within reach of a real point (Kynkäänniemi et al. 2019): is what is made real?"""
    return _covered(samples[:MOST], real[:MOST])


def recall(samples: NDArray[np.floating], real: NDArray[np.floating]) -> float:
    """Share of real points within reach of a sample: is what is real still made?"""
    return _covered(real[:MOST], samples[:MOST])


def _covered(points: NDArray[np.floating], by: NDArray[np.floating]) -> float:
    """Share of `points` no farther from some point of `by` than that point's own k-th neighbour in `by`."""
    if len(by) <= NEIGHBOURS or len(points) == 0:
        return float("nan")
    # Every experiment loads every metric; only image worlds should wait for scikit-learn.
    from sklearn.metrics import pairwise_distances
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(algorithm="brute").fit(by)
    reach = index.kneighbors(by, n_neighbors=NEIGHBOURS + 1)[0][:, -1]  # the nearest is the point itself
    covered = 0
    for start in range(0, len(points), 1000):
        distance = pairwise_distances(points[start : start + 1000], by)
        covered += int((distance <= reach).any(axis=1).sum())
    return covered / len(points)


FRECHET = Metric(
    name="frechet_distance",
    unit="squared feature units",
    higher_is_better=False,
    needs=("sample_features", "real_features"),
    measure=per_replica(frechet_distance),
)
PRECISION = Metric(
    name="precision",
    unit="fraction",
    higher_is_better=True,
    needs=("sample_features", "real_features"),
    measure=per_replica(precision),
)
RECALL = Metric(
    name="recall",
    unit="fraction",
    higher_is_better=True,
    needs=("sample_features", "real_features"),
    measure=per_replica(recall),
)

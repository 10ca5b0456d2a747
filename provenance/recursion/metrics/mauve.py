"""MAUVE (Pillutla et al. 2021): how far two clouds of text features overlap, 1 for the same distribution.

The reference formula: unit-length features, principal components that carry 90 % of the variance, k-means over both
clouds, the divergence frontier of the two cluster histograms at scale 5, and the area under it. The features are the
generation-0 model's, not GPT-2-large's: values compare within one experiment, not with published ones. A tiny model
from scratch hardly sees word order: shuffle the tokens of real text and it may score like real text (see the lab log).
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric

SCALE = 5.0
MIXTURES = np.linspace(1e-6, 1 - 1e-6, 25)
EXPLAINED = 0.9
MOST = 2_000
"""Texts of each cloud that are used: k-means costs the square of that."""


def mauve(samples: NDArray[np.floating], real: NDArray[np.floating]) -> float:
    """Area under the divergence frontier, seen by generation 0: as fine as that model. NaN for fewer than 20 texts."""
    samples, real = samples[:MOST], real[:MOST]
    fewer = min(len(samples), len(real))
    if fewer < 20:
        return float("nan")
    # Every experiment loads every metric; only neural text worlds should wait for scikit-learn.
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import normalize

    data = normalize(np.vstack([real, samples]).astype(np.float64))
    components = PCA(random_state=0).fit(data)
    enough = 1 + int(np.argmax(np.cumsum(components.explained_variance_ratio_) >= EXPLAINED))
    data = components.transform(data)[:, :enough]
    clusters = max(2, round(fewer / 10))
    labels = KMeans(clusters, n_init=5, random_state=0).fit_predict(data)
    p, q = (np.bincount(part, minlength=clusters) / len(part) for part in (labels[: len(real)], labels[len(real) :]))
    return frontier_area(p, q)


def frontier_area(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """The area for two histograms: mean of the area seen from either axis, as in the reference implementation."""
    mixtures = MIXTURES[:, None] * p + (1 - MIXTURES[:, None]) * q
    x = np.r_[1.0, np.exp(-SCALE * _divergence(q, mixtures)), 0.0]
    y = np.r_[0.0, np.exp(-SCALE * _divergence(p, mixtures)), 1.0]
    by_x, by_y = np.lexsort((-y, x)), np.lexsort((-x, y))  # the frontier falls: of equal x, the higher y comes first
    return float((np.trapezoid(y[by_x], x[by_x]) + np.trapezoid(x[by_y], y[by_y])) / 2)


def _divergence(p: NDArray[np.float64], mixtures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kullback-Leibler divergence in nats of `p` from each row of `mixtures`, which are positive where `p` is."""
    seen = p > 0
    found: NDArray[np.float64] = (p[seen] * np.log(p[seen] / mixtures[:, seen])).sum(axis=1)
    return found


METRIC = Metric(
    name="mauve",
    unit="area",
    higher_is_better=True,
    needs=("sample_text_features", "real_text_features"),
    measure=mauve,
)

"""Random subsets, many replicas at once. Knows booleans alone."""

import numpy as np
from numpy.typing import NDArray


def chosen(there: NDArray[np.bool_], n: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """`n[r]` of the true entries of row r, each subset equally likely."""
    keys = np.where(there, rng.random(there.shape), 2.0)
    if there.shape[1] == 0 or not n.any():
        return np.zeros_like(there)
    # The n-th smallest key of each row is the threshold; where all rows ask alike a partition is cheaper than a sort.
    if (n == n[0]).all():
        last = np.partition(keys, int(n[0]) - 1, axis=1)[:, int(n[0]) - 1]
    else:
        nth = np.take_along_axis(np.sort(keys, axis=1), np.maximum(n - 1, 0)[:, None], axis=1)[:, 0]
        last = np.where(n > 0, nth, -1.0)
    return (keys <= last[:, None]) & there


def compacted(there: NDArray[np.bool_], *arrays: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The marked entries of each row of `arrays` moved to its front, and the rows cut to the longest."""
    most = int(there.sum(axis=1).max(initial=0))
    front = np.argsort(~there, axis=1, kind="stable")[:, :most]
    return [np.take_along_axis(array, front.reshape(*front.shape, *[1] * (array.ndim - 2)), axis=1) for array in arrays]


def present(n: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
    """Which of `most` places the first `n[r]` samples of replica r fill."""
    return np.arange(most) < n[:, None]

"""The n-grams of a batch of documents as numbers: equal numbers are equal n-grams. Shared by the metrics that count."""

import numpy as np
from numpy.typing import NDArray


def ngram_codes(
    ids: NDArray[np.integer], offsets: NDArray[np.int64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A code for each n-gram and the document it is in; n-grams do not cross documents."""
    if len(ids) < n:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(ids, n)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    inside = owner[: len(windows)] == owner[n - 1 :]
    windows, owner = windows[inside], owner[: len(inside)][inside]
    if len(windows) == 0:
        return np.empty(0, dtype=np.int64), owner
    radix = int(ids.max()) + 1
    codes = windows[:, 0].astype(np.int64)
    for column in range(1, n):
        if int(codes.max()) >= np.iinfo(np.int64).max // radix:
            codes = np.unique(codes, return_inverse=True)[1]  # ranks are small again, and as different
        codes = codes * radix + windows[:, column]
    return codes, owner

"""Zipf exponent: how steeply token frequency falls with rank. Collapse steepens it; human text lies near 1.

Maximum likelihood over the ranks of the tokens that occur, not a line through a log-log plot, where the rarest ranks
would count as much as the commonest.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric


def zipf_exponent(ids: NDArray[np.integer]) -> float:
    """The exponent s of p(rank) ∝ rank^−s that makes the sample likeliest; NaN for fewer than two token types."""
    counts = np.sort(np.bincount(ids)) if len(ids) else np.empty(0)
    counts = counts[counts > 0][::-1]
    if len(counts) < 2:
        return float("nan")
    from scipy.optimize import minimize_scalar

    log_rank = np.log(np.arange(1, len(counts) + 1))
    mean_log_rank = float(counts @ log_rank / counts.sum())

    def nats_per_token(s: float) -> float:
        return s * mean_log_rank + float(np.log(np.exp(-s * log_rank).sum()))

    return float(minimize_scalar(nats_per_token, bounds=(0.0, 10.0), method="bounded", options={"xatol": 1e-6}).x)


METRIC = Metric(
    name="zipf_exponent", unit="exponent", higher_is_better=None, needs=("sample_ids",), measure=zipf_exponent
)

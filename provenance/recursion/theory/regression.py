"""Closed forms for linear regression on its own labels: n rows, d coefficients, noise s; normal inputs."""


def replace_error(fits: int, n: int, d: int, noise: float) -> float:
    """T12: E ||w - truth||^2 under replace (Gerstgrasser et al. 2024): linear in the number of fits."""
    return fits * noise**2 * d / (n - d - 1)


def accumulate_error(fits: int, n: int, d: int, noise: float) -> float:
    """T12: the same when all labels are kept: bounded by pi^2 / 6 times one fit's error. Fixed design."""
    return noise**2 * d / (n - d - 1) * sum(1.0 / i**2 for i in range(1, fits + 1))


def static_mix_error(n: int, d: int, noise: float, synthetic: float, bias: float) -> float:
    """T16: one fit on a mix whose fraction `synthetic` is labelled by a model at distance `bias` from the truth.

    The published first order (Dohmatob et al. 2025, "strong collapse") is noise^2 d / n + synthetic^2 bias^2: a plateau
    for any fraction above 0.
    """
    p = synthetic
    return (noise**2 + p * (1.0 - p) * bias**2) * d / (n - d - 1) + p**2 * bias**2


def static_mix_error_first_order(n: int, d: int, noise: float, synthetic: float, bias: float) -> float:
    """T16 as published."""
    return noise**2 * d / n + synthetic**2 * bias**2

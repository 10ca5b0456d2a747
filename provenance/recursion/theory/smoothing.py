"""Closed form for kernel density estimates of their own samples: m samples, bandwidth h, unit variance at first."""


def kde_sample_variance(fits: int, m: int, h: float) -> float:
    """T14: E of the training sample's variance (divisor m): v' = (1 - 1 / m) (v + h^2), towards h^2 (m - 1)."""
    v = 1.0 - 1.0 / m
    for _ in range(fits - 1):
        v = (1.0 - 1.0 / m) * (v + h * h)
    return v


def kde_variance(fits: int, m: int, h: float) -> float:
    """The same of the estimated density, whose kernel adds h^2."""
    return kde_sample_variance(fits, m, h) + h * h


def kde_limit(m: int, h: float) -> float:
    """T14: where the training sample's variance ends: the kernel's noise, not the data."""
    return h * h * (m - 1)

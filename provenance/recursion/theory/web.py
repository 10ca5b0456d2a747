"""Drift of a loop fed by a web that a detector has filtered, with some verified data beside: the price sweeps' law.

One law for means and for frequencies, because both average samples: D below is the variance of a fitted mean in units
of one real sample's, and the squared error of fitted frequencies in units of 1 - sum p^2. Derived here.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """What a generation trains on: `verified` of an archive of `budget` real samples, drawn again each time, and for
    the rest of the `budget` what the detector passes of `arrivals` new human and `writes` model samples."""

    budget: int
    verified: int
    arrivals: int
    writes: int
    true_positive_rate: float = 0.0
    false_positive_rate: float = 0.0

    def counts(self) -> tuple[float, float, float]:
        """Mean number of new human samples and of model samples in a training set, and the variance of both.

        To second order in one over what passes.
        """
        rest = self.budget - self.verified
        human, model = self.arrivals * (1 - self.false_positive_rate), self.writes * (1 - self.true_positive_rate)
        passed = human + model
        q = model / passed
        # Which of those that passed are drawn, and how many of each kind passed.
        drawn = rest * q * (1 - q) * max(passed - rest, 0.0) / max(passed - 1.0, 1.0)
        detected = self.true_positive_rate / model if model else 0.0
        lost = self.false_positive_rate / human if human else 0.0
        return rest * (1 - q), rest * q, drawn + (rest * q * (1 - q)) ** 2 * (detected + lost)


def drift(fits: int, web: Web) -> float:
    """D of fit number `fits`; the first one is on the archive. E s^2 is 1 - D where the divisor is n."""
    n = web.budget
    human, model, variance = web.counts()
    archive, share, share_squared = web.verified / n, model / n, (model**2 + variance) / n**2
    d = with_archive = 1.0 / n  # D, and the covariance with the archive's mean
    for _ in range(fits - 1):
        d, with_archive = (
            # Each kind's own noise; a model's samples vary less the more it has drifted, for the total is conserved.
            (web.verified + human + model * (1.0 - d)) / n**2
            + share_squared * d
            + 2.0 * archive * share * with_archive,
            archive / n + share * with_archive,
        )
    return d


def smallest_verified(fits: int, web: Web, level: float) -> float:
    """The least number of verified samples from which on D stays at most `level`, between whole ones on a line.

    `web.verified` does not matter. `inf` where not even a budget of them is enough.
    """
    worse = level
    for verified in range(web.budget, -1, -1):
        d = drift(
            fits,
            Web(
                budget=web.budget, verified=verified, arrivals=web.arrivals, writes=web.writes,
                true_positive_rate=web.true_positive_rate, false_positive_rate=web.false_positive_rate,
            ),
        )  # fmt: skip
        if d > level:
            return float("inf") if verified == web.budget else verified + (d - level) / (d - worse)
        worse = d
    return 0.0

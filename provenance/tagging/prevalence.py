"""The share of model text in a corpus, with an interval: a bound that assumes almost nothing, and a mixture estimate.

Knows scores alone. Local human scores are indispensable: a threshold carried over from elsewhere had false positive
rates from 0.7 % to 49 %, so without them there is no point estimate. The mixture is human scores, as the local sample
shows them, plus model scores, whose shape is known from elsewhere and whose place and width are not: they are inferred
together with the share, under priors from how far known generators and domains lie apart and scatter. Generators that
write like people stay unseen, so every estimate is of the model text that can be told apart, and nothing bounds the
share from above but a sample of the very model texts: known generators lie from -0.4 to 3.4 standard deviations above
their domain's humans.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from provenance.errors import DataError
from provenance.seeds import stream
from provenance.tagging.conformal import HumanReference
from provenance.tagging.metrics import Interval, clopper_pearson

Floats = NDArray[np.float64]

MIN_HUMANS = 50
_EDGES = np.array([-np.inf, -0.75, 0.25, 1.0, 1.75, 2.5, np.inf])
"""In standard deviations of the local humans. Wide bins: 200 humans fill them evenly, and how known
generators' scores scatter inside them need not hold for this corpus. Mean error of shares in the
benchmark that these were chosen by: 0.036, with nine bins 0.040, with fourteen 0.041."""
_SHARES = np.linspace(0.0, 1.0, 201)
_SHARE_PRIOR = 1 / np.sqrt((_SHARES + 0.0025) * (1.0025 - _SHARES))
"""Jeffreys' prior of a share: few corpora are half and half, many are all of one kind."""
_PLACES = 31
_NEAREST_PLACE = 1.2
"""A model whose mean score is closer than this to the human mean, in standard deviations, cannot be counted: where
nothing local is known such models are left out of the estimate, and the interval has no upper end."""
_DRIFT = 0.35
"""Prior spread of the place where local model texts are known: other generators may be in the corpus."""
_MOST_COUNTED = 400
"""Texts beyond this number sharpen nothing: the shape of the model scores is known only about that well."""
_DRAWS = 60
_THRESHOLD_QUANTILE = 0.9
_THRESHOLD_SHARE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReference:
    """Where model texts score, in standard deviations of the human texts of their own domain."""

    cells: Sequence[Floats]
    """One array per (domain, generator)."""
    local: bool
    """Whether they come from the domain that is estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What can be said of one set of documents."""

    documents: int
    judged: int
    """Documents with a score; the others are left out of the share."""
    lower_bound: float
    """At least this share is model text, with 95 % confidence, whatever wrote it. 0 says nothing."""
    share: Interval | None
    """None without model references. It ends at 1 unless they are local: elsewhere says nothing of power here."""
    high_if_known: float | None
    """Where the interval would end if the model texts were like the references."""
    flagged: float
    """Share of judged documents above the threshold of the bound; no estimate of anything."""
    false_positive_rate: Interval
    """Of the local human texts held out for it, at the same threshold."""


def estimate_share(scores: Floats, human_scores: Floats, model: ModelReference | None, *, seed: int = 0) -> Estimate:
    """The share of model text among `scores`, given scores of known-human local texts.

    Raises DataError when fewer than MIN_HUMANS local humans were scored: no honest figure exists then.
    """
    humans = human_scores[np.isfinite(human_scores)]
    if len(humans) < MIN_HUMANS:
        raise DataError(
            f"an estimate needs at least {MIN_HUMANS} known-human local texts with a score, got {len(humans)}",
            hint="add some and run: provenance tag calibrate CORPUS --human SAMPLE (200 are recommended)",
        )
    judged = scores[np.isfinite(scores)]
    order = stream(seed, "prevalence", "split").permutation(len(humans))
    first = max(2, int(_THRESHOLD_SHARE * len(humans)))
    # The threshold comes from some of the humans and its error rate from the others, so the bound is exact.
    threshold = float(np.quantile(humans[order[:first]], _THRESHOLD_QUANTILE))
    held_out = humans[order[first:]]
    flagged, false = int(np.sum(judged > threshold)), int(np.sum(held_out > threshold))
    low_flagged, _ = clopper_pearson(flagged, len(judged))
    known = _mixture(judged, humans, model, seed) if model is not None and model.cells and len(judged) else None
    low_false, high_false = clopper_pearson(false, len(held_out))
    return Estimate(
        documents=len(scores),
        judged=len(judged),
        lower_bound=max(0.0, (low_flagged - high_false) / (1 - high_false)) if high_false < 1 else 0.0,
        share=replace(known, high=1.0) if known is not None and model is not None and not model.local else known,
        high_if_known=known.high if known is not None else None,
        flagged=flagged / len(judged) if len(judged) else 0.0,
        false_positive_rate=Interval(value=false / len(held_out), low=low_false, high=high_false),
    )


def _mixture(judged: Floats, humans: Floats, model: ModelReference, seed: int) -> Interval:
    """Posterior median of the share and its 95 % highest-density interval, if the model texts are like `model`."""
    reference = HumanReference.of(humans)
    counts = _histogram(reference.standardised(judged)).astype(np.float64)
    counts *= min(1.0, _MOST_COUNTED / counts.sum())
    human_counts = _histogram(reference.standardised(humans))
    places, prior = _places(model)
    shape = np.concatenate([cell - cell.mean() for cell in model.cells])
    scatters, weights = _scatters(model, float(shape.std()))
    prior = np.outer(weights, prior).ravel()
    densities = _densities(shape, scatters, places)
    rng = stream(seed, "prevalence", "references")
    posterior = np.zeros(len(_SHARES))
    for human in rng.dirichlet(human_counts + 0.5, size=_DRAWS):
        if model.local:
            # A small sample shows the shape of its scores as roughly as the humans show theirs.
            drawn = rng.choice(shape, len(shape))
            densities = _densities(drawn, scatters, places)
        mixed = (1 - _SHARES)[:, None, None] * human + _SHARES[:, None, None] * densities  # (shares, states, bins)
        log_likelihood = (np.log(mixed) * counts).sum(axis=2) + np.log(prior)
        weight = np.exp(log_likelihood - log_likelihood.max())
        posterior += weight.sum(axis=1) / weight.sum()
    posterior *= _SHARE_PRIOR
    posterior /= posterior.sum()
    low, high = _densest(posterior, 0.95)
    return Interval(value=float(_SHARES[np.searchsorted(posterior.cumsum(), 0.5)]), low=low, high=high)


def _places(model: ModelReference) -> tuple[Floats, Floats]:
    """Mean scores that the corpus's model texts may have, with their prior weights."""
    means = np.array([cell.mean() for cell in model.cells])
    spread = max(float(means.std(ddof=1)) if len(means) > 1 and not model.local else 0.0, _DRIFT)
    places = np.linspace(means.mean() - 2.5 * spread, means.mean() + 2.5 * spread, _PLACES)
    if not model.local:
        places = places[places > _NEAREST_PLACE]
        if len(places) == 0:
            places = np.array([max(_NEAREST_PLACE, float(means.mean()))])
    prior = np.exp(-0.5 * ((places - means.mean()) / spread) ** 2)
    return places, prior / prior.sum()


def _scatters(model: ModelReference, pooled: float) -> tuple[Floats, Floats]:
    """How widely model scores may lie about their place, as multiples of `pooled`, with their prior weights.

    Known generators differ in that; their spread of it is taken at the nodes of a three-point Gauss-Hermite rule.
    """
    spreads = np.array([cell.std() for cell in model.cells])
    logs = np.log(spreads[spreads > 0] / pooled) if pooled > 0 else np.empty(0)
    if model.local or len(logs) < 2:
        return np.ones(1), np.ones(1)
    return np.exp(logs.mean() + logs.std(ddof=1) * np.sqrt(3) * np.array([-1, 0, 1])), np.array([1, 4, 1]) / 6


def _densities(shape: Floats, scatters: Floats, places: Floats) -> Floats:
    """float64[scatters * places, bins]: the shape made wider and moved."""
    return np.array([_smoothed(_histogram(shape * scatter + place)) for scatter in scatters for place in places])


def _histogram(values: Floats) -> NDArray[np.int64]:
    return np.histogram(values, _EDGES)[0]


def _smoothed(counts: NDArray[np.int64]) -> Floats:
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * len(counts)), dtype=np.float64)


def _densest(posterior: Floats, mass: float) -> tuple[float, float]:
    """The shortest run of grid points that holds `mass`; unlike equal tails it can reach 0 and 1."""
    total = np.concatenate([[0.0], posterior.cumsum()])
    stops = np.searchsorted(total, total[:-1] + mass - 1e-12)
    starts = np.arange(len(posterior))
    usable = stops <= len(posterior)
    widths = np.where(usable, stops - starts, len(posterior) + 1)
    start = int(np.argmin(widths))
    return float(_SHARES[start]), float(_SHARES[min(stops[start], len(posterior)) - 1])

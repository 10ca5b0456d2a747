"""With a few local texts whose origin is known: are promised rates kept, and do probabilities mean what they say?

Knows scores and a reading of them, no texts.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from provenance.seeds import stream
from provenance.tagging.conformal import HumanReference
from provenance.tagging.local import calibrate_locally, calibrate_on_labels
from provenance.tagging.metrics import calibration_error
from provenance.tagging.reading import Reading

Floats = NDArray[np.float64]


def conformal(reading: Reading) -> dict[str, dict[str, float]]:
    """Realised rates with 200 local humans, mean over 100 draws, per held-out domain."""
    humans, models = np.asarray(reading.human_domains), np.asarray(reading.model_domains)
    return {
        domain: realised_rates(reading.human_scores[humans == domain], reading.model_scores[models == domain], domain)
        for domain, count in zip(*np.unique(humans, return_counts=True), strict=True)
        if count >= 250
    }


def realised_rates(own: Floats, other: Floats, key: str) -> dict[str, float]:
    """Shares of human and model texts flagged against 200 of the human ones, mean over 100 draws."""
    rates: dict[str, list[float]] = {}
    for trial in range(100):
        order = stream(trial, "conformal", key).permutation(len(own))
        reference = HumanReference.of(own[order[:200]])
        for rate in (0.05, 0.01):
            flagged = reference.p_values(own[order[200:]]) <= rate
            rates.setdefault(f"fpr_at_{rate:g}", []).append(float(flagged.mean()))
            if len(other):
                rates.setdefault(f"tpr_at_{rate:g}", []).append(float((reference.p_values(other) <= rate).mean()))
    found = {name: round(float(np.mean(values)), 4) for name, values in rates.items()}
    return found | {"fpr_at_0.01_worst_of_100": round(max(rates["fpr_at_0.01"]), 4)}


def few_labels(reading: Reading, domains: Sequence[str]) -> dict[str, dict[str, float]]:
    """Calibration error after 20 + 20 labels on held-out domains."""
    humans, models = np.asarray(reading.human_domains), np.asarray(reading.model_domains)
    return {
        domain: error_after_labels(
            reading.human_scores[humans == domain],
            reading.model_scores[models == domain],
            without_domain(reading, domain),
            domain,
        )
        for domain in domains
    }


def error_after_labels(own: Floats, other: Floats, elsewhere: Reading, key: str) -> dict[str, float]:
    """Expected calibration error after 20 human and 20 model labels of these scores, mean of 50 draws.

    `by_chance` is what the same probabilities would show if they were exactly right: few texts fill ten bins unevenly.
    """
    errors, by_chance = [], []
    for trial in range(50):
        rng = stream(trial, "labels", key)
        h, m = rng.permutation(own), rng.permutation(other)
        n = min(len(h), len(m)) - 20
        local = calibrate_locally("stack", elsewhere.version, elsewhere, "20 humans", h[:20])
        labelled = calibrate_on_labels(local, elsewhere, np.r_[h[:20], m[:20]], np.arange(40) >= 20)
        log_lr = labelled.log_lr(np.r_[h[20 : 20 + n], m[20 : 20 + n]])
        p_model = 1 / (1 + np.exp(-log_lr))
        errors.append(calibration_error(p_model, np.arange(2 * n) >= n))
        by_chance.append(calibration_error(p_model, rng.random(2 * n) < p_model))
    return {
        "texts": 2 * n,
        "error": round(float(np.mean(errors)), 4),
        "by_chance": round(float(np.mean(by_chance)), 4),
    }


def without_domain(reading: Reading, domain: str) -> Reading:
    """What was known before the domain was seen."""
    of_human, of_model = np.asarray(reading.human_domains), np.asarray(reading.model_domains)
    humans, models = of_human != domain, of_model != domain
    return replace(
        reading,
        human_scores=reading.human_scores[humans],
        human_domains=of_human[humans].tolist(),
        model_scores=reading.model_scores[models],
        model_domains=of_model[models].tolist(),
        model_generators=np.asarray(reading.model_generators)[models].tolist(),
    )

"""How near estimates of the share of model text come, over shares from 0 to 1. Knows scores, no texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.seeds import stream
from provenance.tagging.conformal import HumanReference
from provenance.tagging.prevalence import Estimate, ModelReference, estimate_share
from provenance.tagging.reading import Reading, local_model_scores

SHARES = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
TRIALS = 12
CORPUS = 500
Floats = NDArray[np.float64]


def prevalence(reading: Reading, chat_domains: Sequence[str], left_out: Sequence[str]) -> dict[str, Any]:
    """Shares 0 to 1 in corpora from each held-out domain; model references come from the other domains.

    A corpus has 500 texts, or as many as the domain has human texts left: none occurs twice where that can be helped.
    A domain with few human texts gives half of them as the known ones; `humans` and `corpus` tell the sizes.

    `one` corpora hold the texts of one generator, `all` those of every generator of the domain; wiki_squad's are base
    models, which the detector cannot tell apart: there a bound must hold although a point cannot.
    """
    settings = {"200 humans": (200, 0), "100 humans": (100, 0), "200 humans + 150 model texts": (200, 150)}
    found: dict[str, Any] = {}
    for setting, (num_human, num_model) in settings.items():
        trials, sizes = [], {}
        for domain in (*chat_domains, "wiki_squad"):
            for share in SHARES:
                for trial in range(TRIALS):
                    drawn = mixed_corpus(reading, domain, share, trial, num_human, num_model, left_out)
                    if drawn is None:
                        continue
                    scores, known, reference, mix = drawn
                    sizes[domain] = {"humans": len(known), "corpus": len(scores)}
                    estimate = estimate_share(scores, known, reference, seed=trial)
                    trials.append((domain, share, mix, estimate))
        chat = [one for one in trials if one[0] in chat_domains]
        found[setting] = {
            **share_figures(chat),
            "by_domain": {d: sizes[d] | share_figures([one for one in trials if one[0] == d]) for d in sorted(sizes)},
            "by_generators": {m: share_figures([one for one in chat if one[2] == m]) for m in ("one", "all")},
            "error_by_share": {
                str(s): share_figures([one for one in chat if one[1] == s])["mean_absolute_error"] for s in SHARES
            },
        }
    return found


def mixed_corpus(
    reading: Reading, domain: str, share: float, trial: int, num_human: int, num_model: int, left_out: Sequence[str]
) -> tuple[Floats, Floats, ModelReference, str] | None:
    """Scores of a corpus, of local humans, model references, and whose model texts; None where too few."""
    humans, models = np.asarray(reading.human_domains), np.asarray(reading.model_domains)
    generators = np.asarray(reading.model_generators)
    rng = stream(trial, "prevalence", domain, str(share))
    own = rng.permutation(reading.human_scores[humans == domain])
    num_human = min(num_human, len(own) // 2)
    known, unknown = own[:num_human], own[num_human:]
    inside = (models == domain) & ~np.isin(generators, left_out)
    pool = rng.permutation(reading.model_scores[inside])
    mix = "one" if trial % 2 else "all"
    if num_model:
        if len(pool) < 2 * num_model:
            return None
        cell = HumanReference.of(known).standardised(pool[:num_model])
        reference, pool = ModelReference(cells=[cell], local=True), pool[num_model:]
    else:
        reference = reference_elsewhere(reading, domain)
        if mix == "one":
            pool = reading.model_scores[inside & (generators == rng.choice(np.unique(generators[inside])))]
    mix = "all" if num_model else mix
    size = min(CORPUS, len(unknown))
    count = round(size * share)
    model = rng.choice(pool, count, replace=count > len(pool))
    return np.r_[model, rng.permutation(unknown)[: size - count]], known, reference, mix


def reference_elsewhere(reading: Reading, domain: str = "") -> ModelReference:
    """What models score, a cell per domain and generator, outside `domain`."""
    standard, cells = local_model_scores(reading)
    names = np.array(["\0".join(cell) for cell in cells])
    elsewhere = [standard[names == n] for n in np.unique(names) if n.partition("\0")[0] != domain]
    return ModelReference(cells=[cell for cell in elsewhere if len(cell) >= 20], local=False)


def share_figures(trials: list[tuple[str, float, str, Estimate]]) -> dict[str, Any]:
    """Errors of the point, and how often the interval and the bound hold, over (domain, share, mix, estimate)."""
    if not trials:
        return {"trials": 0, "mean_absolute_error": None}
    rows = [(share, one.share, one) for _, share, _, one in trials if one.share is not None]
    return {
        "trials": len(rows),
        "mean_absolute_error": round(float(np.mean([abs(i.value - share) for share, i, _ in rows])), 4),
        "interval_covers": round(float(np.mean([i.low - 1e-9 <= s <= i.high + 1e-9 for s, i, _ in rows])), 3),
        "covers_if_known": round(
            float(np.mean([i.low - 1e-9 <= s <= (e.high_if_known or 0) + 1e-9 for s, i, e in rows])), 3
        ),
        "lower_bound_holds": round(float(np.mean([e.lower_bound <= s + 1e-9 for s, _, e in rows])), 3),
    }

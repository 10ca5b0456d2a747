"""A calibration from a few local labels: how scores spread is known from elsewhere, where they lie is learned here.

Knows scores alone. Domains and generators differ in where model texts score (over a range of four human standard
deviations) far more than in how they scatter around that place, so twenty labels need only find the place.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from provenance.errors import DataError
from provenance.tagging.calibrate import Calibration, fit_calibration
from provenance.tagging.conformal import HumanReference
from provenance.tagging.reading import MIN_LOCAL, Reading, human_scores_by_domain, local_model_scores

Floats = NDArray[np.float64]
_USUAL_SPREAD_TEXTS = 100
"""How many local texts the usual spread of human scores is worth; domains differ little in it."""
_USUAL_TEXTS = 20
"""How many local texts it is worth that model texts do not usually hide among human ones."""
_SHAPE_TEXTS = 100
"""How many labels of a class the shape known from elsewhere is worth: 20 to 200 and no limit were tried."""


def calibrate_few(human: Floats, model: Floats, reading: Reading) -> Calibration | None:
    """A calibration of raw scores from raw scores of local texts; None where too little is known elsewhere.

    Raises DataError when there are fewer than 10 model texts with a score or human scores do not vary.
    """
    by_domain = human_scores_by_domain(reading)
    elsewhere, cells = local_model_scores(reading)
    names = np.array(["\0".join(cell) for cell in cells])
    known = [some for some in (elsewhere[names == name] for name in np.unique(names)) if len(some) >= MIN_LOCAL]
    if len(known) < 2 or len(by_domain) < 2:
        return None
    human, model = human[np.isfinite(human)], model[np.isfinite(model)]
    if len(model) < 10:
        raise DataError(f"local labels need 10 model texts with a score, got {len(model)}", hint="20 of each kind do")
    usual = np.mean([scores.var() for scores in by_domain])
    place = float(human.mean())
    spread = float(
        np.sqrt((len(human) * human.var() + _USUAL_SPREAD_TEXTS * usual) / (len(human) + _USUAL_SPREAD_TEXTS))
    )
    local_human, local_model = (human - place) / spread, (model - place) / spread
    human_shape = np.concatenate([HumanReference.of(scores).standardised(scores) for scores in by_domain])
    model_shape = np.concatenate([some - some.mean() for some in known]) + _mean_score(local_model, known)
    parts = (human_shape, local_human, model_shape, local_model)
    worth = (_SHAPE_TEXTS, len(human), _SHAPE_TEXTS, len(model))
    fitted = fit_calibration(
        np.concatenate(parts),
        np.repeat([False, False, True, True], [len(part) for part in parts]),
        weights=np.concatenate([np.full(len(part), num / len(part)) for part, num in zip(parts, worth, strict=True)]),
        # The labels show the very generators: no more are taken for missed than so few can rule out.
        missed_share=1 / (len(model) + _USUAL_TEXTS + 2),
    )
    return replace(
        fitted,
        slope=fitted.slope / spread,
        intercept=fitted.intercept - fitted.slope * place / spread,
        num_human=len(human),  # what is read against n local humans may not claim more than n humans can show
    )


def _mean_score(local: Floats, known: list[Floats]) -> float:
    """Where model texts score here: the mean of few, drawn towards where they score elsewhere (normal posterior)."""
    means = np.array([some.mean() for some in known])
    error = float(np.mean([some.var() for some in known])) / len(local)
    between = float(means.var(ddof=1))
    return float((local.mean() * between + means.mean() * error) / (between + error))

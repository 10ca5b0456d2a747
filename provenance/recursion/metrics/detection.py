"""How well the experiment's detector tells a generation from human text: does collapse give a model away or hide it?

The detector is the one of the experiment, fixed before it began, and sees the same real texts every time.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric
from provenance.tagging.metrics import auroc


def detector_auroc(human_p_model: NDArray[np.float64], sample_p_model: NDArray[np.float64]) -> float:
    """AUROC of the detector between real human texts and this generation's; NaN where it judged none of either."""
    human, sample = (np.sort(scores[~np.isnan(scores)]) for scores in (human_p_model, sample_p_model))
    return auroc(human, sample) if len(human) and len(sample) else float("nan")


METRIC = Metric(
    name="detector_auroc",
    unit="AUROC",
    higher_is_better=None,
    needs=("human_p_model", "sample_p_model"),
    measure=detector_auroc,
)

"""A detector read against known-human text of the user's own domain: p-values with a promise, recalibrated ratios.

Knows scores and stored calibrations; no texts.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from provenance.errors import DataError
from provenance.tagging.calibrate import Calibration, fit_calibration
from provenance.tagging.conformal import MIN_POWER, HumanReference, needed_humans
from provenance.tagging.few_labels import calibrate_few
from provenance.tagging.reading import Reading, local_model_scores

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalReading:
    """How one detector's scores are read in one corpus."""

    detector: str
    version: str
    human_ref: str
    human: HumanReference
    calibration: Calibration | None
    """Score in standard deviations of the local humans to log likelihood ratio; None where none is known."""
    model_scores: Floats
    """Standardised scores of model texts elsewhere; empty where none are known."""

    def log_lr(self, scores: Floats) -> Floats:
        """NaN without a calibration."""
        if self.calibration is None:
            return np.full(len(scores), np.nan)
        return self.calibration.log_lr(self.human.standardised(scores))

    def p_values(self, scores: Floats) -> Floats:
        """Rank among the local human texts; see `HumanReference`."""
        return self.human.p_values(scores)

    def power_at(self, rate: float) -> float:
        """Share of reference model texts that would be flagged at `rate`; NaN where there are none."""
        if len(self.model_scores) == 0:
            return float("nan")
        standard = self.human.standardised(self.human.scores)
        # The highest standardised score whose p-value is above the rate.
        allowed = int(np.floor(rate * (len(standard) + 1))) - 1
        if allowed < 0:
            return 0.0
        return float(np.mean(self.model_scores > standard[len(standard) - 1 - allowed]))

    def why_not_flag_at(self, rate: float) -> str | None:
        """Why nothing may be flagged at `rate`; None where it may."""
        if not self.human.can_flag_at(rate):
            num = len(self.human.scores)
            return f"flagging at {rate:g} needs {needed_humans(rate)} local human texts, there are {num}"
        if self.power_at(rate) < MIN_POWER:
            return f"too little power at {rate:g}: {self.power_at(rate):.0%} of model texts elsewhere would be found"
        return None

    def to_row(self, corpus: str, labelled_ref: str | None) -> dict[str, Any]:
        """For the catalog's calibration table."""
        fitted = self.calibration.to_json() if self.calibration else None
        return {
            "corpus": corpus,
            "detector": self.detector,
            "detector_version": self.version,
            "human_ref": self.human_ref,
            "human_scores": self.human.scores.tolist(),
            "labelled_ref": labelled_ref,
            "fitted": orjson.dumps(fitted).decode(),
        }

    @classmethod
    def from_row(cls, row: dict[str, Any], reading: Reading | None) -> Self:
        """Read what `to_row` gave; `reading` brings the model scores of the detector's own reference."""
        fitted = orjson.loads(row["fitted"])
        return cls(
            detector=row["detector"],
            version=row["detector_version"],
            human_ref=row["human_ref"],
            human=HumanReference.of(np.asarray(row["human_scores"], dtype=np.float64)),
            calibration=Calibration.from_json(fitted) if fitted else None,
            model_scores=local_model_scores(reading)[0] if reading is not None else np.empty(0),
        )


def calibrate_locally(
    detector: str, version: str, reading: Reading | None, human_ref: str, human_scores: Floats
) -> LocalReading:
    """From scores of known-human local texts alone. Raises DataError when none could be scored."""
    human = HumanReference.of(human_scores)
    calibration = reading.local if reading is not None else None
    if calibration is not None:
        calibration = _bounded(calibration, len(human.scores))
    return LocalReading(
        detector=detector,
        version=version,
        human_ref=human_ref,
        human=human,
        calibration=calibration,
        model_scores=local_model_scores(reading)[0] if reading is not None else np.empty(0),
    )


def calibrate_on_labels(
    local: LocalReading, reading: Reading | None, scores: Floats, is_model: NDArray[np.bool_]
) -> LocalReading:
    """The same, with the likelihood ratio made from local labels (20 of each kind do). Raises DataError on fewer.

    The local human sample counts among the human labels.
    """
    human = np.concatenate([local.human.scores, scores[~is_model]])
    few = calibrate_few(human, scores[is_model], reading) if reading is not None else None
    if few is None:
        labels = np.concatenate([np.zeros(len(human), dtype=bool), np.ones(int(is_model.sum()), dtype=bool)])
        few = fit_calibration(np.concatenate([human, scores[is_model]]), labels)
    return replace(local, calibration=_standardised(few, local.human))


def _standardised(raw: Calibration, human: HumanReference) -> Calibration:
    """The same calibration for scores in standard deviations of the local humans."""
    centre, spread = float(human.scores.mean()), float(human.scores.std())
    return replace(raw, slope=raw.slope * spread, intercept=raw.intercept + raw.slope * centre)


def _bounded(calibration: Calibration, num_human: int) -> Calibration:
    """What is read against n local humans may not claim more than n humans can show."""
    if num_human < 2:
        raise DataError(f"{num_human} known-human text is no sample", hint="200 are recommended, 99 flag at 1 %")
    return replace(calibration, num_human=min(calibration.num_human, num_human))

"""How to read a trained detector's scores: calibrations, what its reference texts scored, what they looked like.

Made once by training on scores of texts the detector had not seen, stored beside its weights, used by every tag run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from provenance.errors import DataError
from provenance.npz import read_npz
from provenance.tagging.calibrate import Calibration, fit_calibration
from provenance.tagging.conformal import HumanReference
from provenance.tagging.crossval import Labelled
from provenance.tagging.shift import Profile

READING, REFERENCE = "reading.json", "reference.npz"
MIN_LOCAL = 20
"""Fewer texts than this of one domain or generator say nothing of where its scores lie."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Calibrations of one version of one detector."""

    detector: str
    version: str
    anywhere: Calibration
    """For scores as they are: what they mean where nothing local is known."""
    local: Calibration | None
    """For scores in standard deviations of a local human sample, from domains each read against its own humans."""
    human_scores: Floats
    human_domains: Sequence[str]
    model_scores: Floats
    model_domains: Sequence[str]
    model_generators: Sequence[str]
    profile: Profile

    def save(self, folder: Path) -> None:
        """Write into the detector's folder."""
        np.savez_compressed(
            folder / REFERENCE,
            human_scores=self.human_scores.astype(np.float32),
            human_domains=np.asarray(self.human_domains, dtype=np.str_),
            model_scores=self.model_scores.astype(np.float32),
            model_domains=np.asarray(self.model_domains, dtype=np.str_),
            model_generators=np.asarray(self.model_generators, dtype=np.str_),
            **self.profile.arrays(),  # type: ignore[arg-type]
        )
        body: dict[str, Any] = {
            "detector": self.detector,
            "version": self.version,
            "anywhere": self.anywhere.to_json(),
            "local": self.local.to_json() if self.local else None,
        }
        (folder / READING).write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def load_reading(folder: Path, version: str) -> Reading | None:
    """What `save` wrote; None where a detector has none. Raises DataError when it is for another version."""
    if not (folder / READING).is_file():
        return None
    try:
        body = orjson.loads((folder / READING).read_bytes())
        arrays = read_npz(folder / REFERENCE, hint="train the detector again")
        found = Reading(
            detector=body["detector"],
            version=body["version"],
            anywhere=Calibration.from_json(body["anywhere"]),
            local=Calibration.from_json(body["local"]) if body["local"] else None,
            human_scores=arrays["human_scores"].astype(np.float64),
            human_domains=arrays["human_domains"].tolist(),
            model_scores=arrays["model_scores"].astype(np.float64),
            model_domains=arrays["model_domains"].tolist(),
            model_generators=arrays["model_generators"].tolist(),
            profile=Profile.of_arrays(arrays),
        )
    except (OSError, ValueError, KeyError, orjson.JSONDecodeError) as error:
        raise DataError(
            f"{folder}: the calibration cannot be read: {error}", hint="train the detector again"
        ) from error
    if found.version != version:
        raise DataError(
            f"{folder}: calibrated for version {found.version}, but the weights are version {version}",
            hint="train the detector again",
        )
    return found


def make_reading(name: str, version: str, data: Labelled, held_out: Floats, profile: Profile) -> Reading:
    """From scores of texts by detectors that had not seen their domain. Raises DataError when too few."""
    known = np.isfinite(held_out)
    human, model = known & ~data.is_model, known & data.is_model
    domains, generators = np.asarray(data.domains), np.asarray(data.generators)
    return Reading(
        detector=name,
        version=version,
        anywhere=fit_calibration(held_out, data.is_model),
        local=_local_calibration(held_out, data.is_model, domains),
        human_scores=held_out[human],
        human_domains=domains[human].tolist(),
        model_scores=held_out[model],
        model_domains=domains[model].tolist(),
        model_generators=generators[model].tolist(),
        profile=profile,
    )


def human_scores_by_domain(reading: Reading) -> list[Floats]:
    """Reference human scores of every domain that has enough of them."""
    domains = np.asarray(reading.human_domains)
    by_domain = [reading.human_scores[domains == name] for name in np.unique(domains)]
    return [scores for scores in by_domain if len(scores) >= MIN_LOCAL]


def local_model_scores(reading: Reading) -> tuple[Floats, list[tuple[str, str]]]:
    """Reference model scores in standard deviations of their domain's humans; each one's (domain, generator)."""
    humans = np.asarray(reading.human_domains)
    out, cells = [], []
    for domain in sorted(set(reading.model_domains)):
        own = reading.human_scores[humans == domain]
        if len(own) < MIN_LOCAL:
            continue
        rows = [i for i, name in enumerate(reading.model_domains) if name == domain]
        out.append(HumanReference.of(own).standardised(reading.model_scores[rows]))
        cells += [(domain, reading.model_generators[i]) for i in rows]
    return (np.concatenate(out) if out else np.empty(0)), cells


def _local_calibration(scores: Floats, is_model: NDArray[np.bool_], domains: NDArray[np.str_]) -> Calibration | None:
    """None where no domain has enough human texts of its own and model texts beside them."""
    standardised = np.full(len(scores), np.nan)
    for domain in np.unique(domains):
        rows = domains == domain
        own = scores[rows & ~is_model]
        if np.isfinite(own).sum() >= MIN_LOCAL and (rows & is_model).any():
            standardised[rows] = HumanReference.of(own).standardised(scores[rows])
    known = np.isfinite(standardised)
    if min((known & is_model).sum(), (known & ~is_model).sum()) < MIN_LOCAL:
        return None
    return fit_calibration(standardised, is_model)

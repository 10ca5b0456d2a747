"""The calibrate and estimate stages: local human samples, local labels, shares of model text per group."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from provenance.catalog.corpora import CorpusInfo
from provenance.catalog.evidence import add_calibration, calibrations_of, document_columns, scores_of
from provenance.catalog.store import Catalog
from provenance.corpus.texts import iter_texts
from provenance.errors import DataError, UsageError
from provenance.tagging.crossval import Labelled
from provenance.tagging.local import LocalReading, calibrate_locally, calibrate_on_labels
from provenance.tagging.prevalence import Estimate, ModelReference, estimate_share
from provenance.tagging.reading import local_model_scores
from provenance.tagging.shift import SHIFT_LIMIT, Profile
from provenance.tagging.stored import open_detector

_PROFILE_TEXTS = 2000
_BY = ("subgroup", "source", "month")
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """A local calibration that was stored."""

    local: LocalReading
    shift: float
    """How unlike the corpus the human sample is; above SHIFT_LIMIT the promise is off."""
    power: float

    @property
    def shifted(self) -> bool:
        """Whether sample and corpus are too unlike for any promise."""
        return self.shift > SHIFT_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEstimate:
    """One line of `tag estimate`."""

    group: str
    estimate: Estimate | None
    why_not: str
    """Why there is no estimate; empty where there is one."""


def calibrate(
    catalog: Catalog,
    info: CorpusInfo,
    human: CorpusInfo,
    *,
    detector: str,
    rate: float,
    labelled: Labelled | None = None,
    labelled_ref: str = "",
) -> Calibrated:
    """Read `detector` against the known-human corpus `human` wherever it judges `info`.

    Raises DataError, and UsageError when `human` is the corpus itself or holds text that is declared a model's.
    """
    _check_known_human(catalog, info, human)
    opened = open_detector(catalog.root, detector)
    texts = _texts(catalog, human, None)
    scores = opened.detector.score(texts)
    local = calibrate_locally(detector, opened.detector.version, opened.reading, human.ref, scores)
    if labelled is not None:
        local = calibrate_on_labels(local, opened.reading, opened.detector.score(labelled.texts), labelled.is_model)
    # Before anything is stored: a sample whose scores do not vary is refused here.
    power = local.power_at(rate)
    shift = Profile.of(texts).shift(_texts(catalog, info, _PROFILE_TEXTS))
    params = {"corpus": info.corpus, "human": human.ref, "detector": detector, "labelled": labelled_ref}
    with catalog.activity("tag calibrate", params) as activity:
        activity.inputs.extend([f"corpus:{info.ref}", f"corpus:{human.ref}"])
        with activity.commit() as con:
            add_calibration(con, local.to_row(info.corpus, labelled_ref or None), activity.activity_id)
    return Calibrated(local=local, shift=shift, power=power)


def _check_known_human(catalog: Catalog, info: CorpusInfo, human: CorpusInfo) -> None:
    if human.corpus == info.corpus:
        raise UsageError(
            f"{info.corpus} cannot be calibrated by itself: which of its texts are human is what is asked",
            hint="give --human a corpus of texts that are known to be human, like those in it",
        )
    declared = document_columns(catalog, human, ["declared_origin"])["declared_origin"].to_pylist()
    for origin in ("model", "mixed"):
        if count := declared.count(origin):
            raise UsageError(
                f"{human.ref} is no known-human sample: {count} of its {len(declared)} texts are declared {origin}",
                hint="give --human a corpus that holds human texts alone",
            )


def estimate(
    catalog: Catalog, info: CorpusInfo, *, detector: str, by: str | None, model: CorpusInfo | None
) -> tuple[list[GroupEstimate], float]:
    """The share of model text in a corpus and, with `by`, in each of its groups; and its shift from the human sample.

    Needs a local calibration (`calibrate`) and scores (`tag run`). Raises UsageError, DataError naming what is missing.
    """
    if by is not None and by not in _BY:
        raise UsageError(f"cannot group by {by!r}", hint=f"known: {', '.join(_BY)}")
    opened = open_detector(catalog.root, detector)
    row = next((row for row in calibrations_of(catalog, info.corpus) if row["detector"] == detector), None)
    if row is None or row["detector_version"] != opened.detector.version:
        raise DataError(
            f"no local human reference for {info.corpus!r} under {detector}@{opened.detector.version}",
            hint=f"without one no honest estimate exists; run: provenance tag calibrate {info.corpus} --human SAMPLE",
        )
    local = LocalReading.from_row(row, opened.reading)
    table = scores_of(catalog, info, detector, opened.detector.version)
    if table.num_rows == 0:
        raise DataError(f"{info.ref} has no scores of {detector}", hint=f"run: provenance tag run {info.corpus}")
    scores = np.array(table["score"].to_numpy(zero_copy_only=False), dtype=np.float64)
    reference = _model_reference(catalog, opened, local, model)
    groups: list[tuple[str, NDArray[np.bool_]]] = [("all", np.ones(len(scores), dtype=bool))]
    if by is not None:
        labels = _groups(table, by)
        groups += [(name, labels == name) for name in np.unique(labels)]
    found = []
    for name, rows in groups:
        if np.isfinite(scores[rows]).sum() == 0:
            found.append(GroupEstimate(group=str(name), estimate=None, why_not="no document could be scored"))
            continue
        one = estimate_share(scores[rows], local.human.scores, reference)
        found.append(GroupEstimate(group=str(name), estimate=one, why_not=""))
    sample = _texts_of_ref(catalog, local.human_ref)
    shift = Profile.of(sample).shift(_texts(catalog, info, _PROFILE_TEXTS)) if sample else float("nan")
    return found, shift


def _model_reference(
    catalog: Catalog, opened: Any, local: LocalReading, model: CorpusInfo | None
) -> ModelReference | None:
    if model is not None:
        scores = opened.detector.score(_model_texts(catalog, model))
        known = local.human.standardised(scores[np.isfinite(scores)])
        if len(known) < 20:
            raise DataError(f"{model.ref}: 20 scored model texts are needed, got {len(known)}")
        return ModelReference(cells=[known], local=True)
    if opened.reading is None:
        return None
    scores, cells = local_model_scores(opened.reading)
    names = np.array(["\0".join(cell) for cell in cells])
    return ModelReference(cells=[scores[names == name] for name in np.unique(names)], local=False)


def _groups(table: pa.Table, by: str) -> NDArray[np.str_]:
    if by == "month":
        return np.array([at.strftime("%Y-%m") if at else "unknown" for at in table["created_at"].to_pylist()])
    return np.array([value or "unknown" for value in table[by].to_pylist()])


def _model_texts(catalog: Catalog, info: CorpusInfo) -> list[str]:
    """The texts of a sample that are not declared human."""
    origins = document_columns(catalog, info, ["declared_origin"]).to_pylist()
    human = {row["doc_id"].bytes for row in origins if row["declared_origin"] == "human"}
    texts: list[str] = []
    for batch in iter_texts(catalog, info):
        pairs = zip(batch["doc_id"].storage.to_pylist(), batch["text"].to_pylist(), strict=True)
        texts += [text for raw, text in pairs if raw not in human]
    return texts


def _texts(catalog: Catalog, info: CorpusInfo, limit: int | None) -> list[str]:
    texts: list[str] = []
    for batch in iter_texts(catalog, info):
        texts += batch["text"].to_pylist()
        if limit is not None and len(texts) >= limit:
            return texts[:limit]
    return texts


def _texts_of_ref(catalog: Catalog, ref: str) -> Sequence[str]:
    """The sample's texts, or none where the sample was removed since."""
    from provenance.catalog.corpora import get_corpus
    from provenance.errors import NotFoundError

    try:
        return _texts(catalog, get_corpus(catalog, ref), _PROFILE_TEXTS)
    except NotFoundError:
        return []

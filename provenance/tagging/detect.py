"""The detect stage: texts of a corpus to evidence rows. Resumable, memory flat; knows no rule and no tag.

A batch is scored, then committed in a short transaction of its own. A killed run keeps what it committed, and the next
one skips it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from provenance import tables
from provenance.catalog.corpora import CorpusInfo
from provenance.catalog.evidence import add_scores, document_columns, unscored
from provenance.catalog.ledger import Activity
from provenance.catalog.store import Catalog
from provenance.corpus.texts import iter_texts
from provenance.plugins import Detector, MetadataDetector
from provenance.tagging.log_lr import to_log_lr
from provenance.tagging.reading import Reading

_TEXTS_PER_COMMIT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """What one detector did to one corpus."""

    detector: str
    version: str
    scored: int
    abstained: int
    skipped: int
    """Scored by this version before."""


def detect(
    catalog: Catalog,
    activity: Activity,
    info: CorpusInfo,
    detector: Detector,
    reading: Reading | None,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Detected:
    """Score every document of a corpus that this version of the detector has not scored."""
    asked = datetime.now(UTC)
    wanted = unscored(catalog, info, detector.kind.value, detector.name, detector.version)
    scored = abstained = 0
    if len(wanted):
        for batch in iter_texts(catalog, info, batch_size=_TEXTS_PER_COMMIT, wanted=wanted):
            ids, texts = batch["doc_id"], batch["text"].to_pylist()
            scores = np.asarray(detector.score(texts), dtype=np.float64)
            scores[~np.isfinite(scores)] = np.nan
            _commit(catalog, activity, detector, reading, ids, texts, scores, asked)
            scored += int(np.isfinite(scores).sum())
            abstained += int(np.isnan(scores).sum())
            if on_progress is not None:
                on_progress(len(texts))
    return Detected(
        detector=detector.name,
        version=detector.version,
        scored=scored,
        abstained=abstained,
        skipped=info.documents - len(wanted),
    )


def read_metadata(catalog: Catalog, activity: Activity, info: CorpusInfo, detector: MetadataDetector) -> Detected:
    """Turn what the source says of each document into evidence; silent where it says nothing."""
    asked = datetime.now(UTC)
    wanted = unscored(catalog, info, detector.kind.value, detector.name, detector.version)
    table = document_columns(catalog, info, detector.columns)
    table = table.filter(pc.is_in(table["doc_id"].cast(pa.binary(16)), value_set=wanted))
    scores = detector.score_records({name: table[name].to_pylist() for name in detector.columns})
    speaks = np.flatnonzero(np.isfinite(scores))
    if len(speaks):
        doc_ids = table["doc_id"].combine_chunks().take(pa.array(speaks))
        log_lr = to_log_lr(detector.kind, "log_lr", scores[speaks], None)
        rows = _rows(detector, doc_ids, scores[speaks], log_lr, [None] * len(speaks))
        with catalog.write() as con:
            add_scores(con, rows, activity.activity_id, asked)
    return Detected(
        detector=detector.name,
        version=detector.version,
        scored=len(speaks),
        abstained=len(scores) - len(speaks),
        skipped=info.documents - len(wanted),
    )


def _commit(
    catalog: Catalog,
    activity: Activity,
    detector: Detector,
    reading: Reading | None,
    ids: pa.Array,
    texts: list[str],
    scores: NDArray[np.float64],
    asked: datetime,
) -> None:
    log_lr = to_log_lr(detector.kind, detector.score_is, scores, reading)
    reasons = _why_not(texts, scores, reading)
    log_lr[[reason is not None for reason in reasons]] = np.nan
    details = [orjson.dumps({"abstained": reason}).decode() if reason else None for reason in reasons]
    with catalog.write() as con:
        add_scores(con, _rows(detector, ids, scores, log_lr, details), activity.activity_id, asked)


def _why_not(texts: list[str], scores: NDArray[np.float64], reading: Reading | None) -> list[str | None]:
    """Why a text's score is missing, or does not count because no calibration text is like it."""
    from provenance.detectors.normalise import normalise
    from provenance.detectors.scope import Abstention, abstentions
    from provenance.detectors.tokens import tokenise

    reasons: list[str | None] = [None] * len(texts)
    missing = np.flatnonzero(np.isnan(scores)).tolist()
    if missing:
        codes = abstentions(tokenise([normalise(texts[i]) for i in missing]))
        for i, code in zip(missing, codes.tolist(), strict=True):
            reasons[i] = Abstention(code).name.lower() if code else "detector"
    if reading is not None:
        for i in np.flatnonzero(reading.profile.far_off(texts)).tolist():
            reasons[i] = reasons[i] or "unlike"
    return reasons


def _rows(
    detector: Any, ids: pa.Array, scores: NDArray[np.float64], log_lr: NDArray[np.float64], details: list[str | None]
) -> pa.Table:
    num = len(scores)
    return pa.Table.from_arrays(
        [
            ids,
            pa.array([detector.kind.value] * num),
            pa.array([detector.name] * num),
            pa.array([detector.version] * num),
            pa.array(scores, mask=np.isnan(scores)),
            pa.array(log_lr, mask=np.isnan(log_lr)),
            pa.array(details, type=pa.string()),
        ],
        schema=tables.EVIDENCE,
    )

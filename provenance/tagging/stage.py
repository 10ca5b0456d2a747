"""The tag stage: run detectors where they have not run, then turn all evidence of a corpus into tags."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from provenance.catalog.corpora import CorpusInfo
from provenance.catalog.evidence import calibrations_of, document_columns, evidence_of
from provenance.catalog.store import Catalog
from provenance.catalog.tags import write_tags
from provenance.errors import ProvenanceError
from provenance.plugins import DETECTORS
from provenance.tagging.detect import Detected, detect, read_metadata
from provenance.tagging.local import LocalReading
from provenance.tagging.resolve import resolve
from provenance.tagging.rules import Rules
from provenance.tagging.stored import open_detector

METADATA_DETECTORS = ("declared", "date")
"""Always read: they cost nothing, and a tag that overlooked a declaration would be wrong."""

DEFAULT_DETECTORS = (*METADATA_DETECTORS, "boilerplate", "stack")

DOCUMENTS_AT_ONCE = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """What a run did to one corpus."""

    corpus: str
    documents: int
    detected: list[Detected]
    changed: int
    """Tags that differ from before."""
    origins: Mapping[str, int]
    silenced: str | None
    """Why local p-values flagged nothing; None where they may."""


def tag_corpus(
    catalog: Catalog,
    info: CorpusInfo,
    *,
    detectors: Sequence[str] = DEFAULT_DETECTORS,
    settings: Mapping[str, str] | None = None,
    rules: Rules | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Tagged:
    """Score what is not scored, then tag. `settings` are for the one detector that needs them."""
    rules = rules or Rules()
    chosen = dict.fromkeys((*METADATA_DETECTORS, *detectors))
    opened = {name: _open(catalog, name, settings, alone=len(detectors) == 1) for name in chosen}
    params = {"corpus": info.ref, "detectors": {n: d.version for n, (d, _) in opened.items()}, "rules": repr(rules)}
    with catalog.activity("tag run", params) as activity:
        activity.inputs.append(f"corpus:{info.ref}")
        detected = []
        for detector, reading in opened.values():
            if hasattr(detector, "score_records"):
                detected.append(read_metadata(catalog, activity, info, detector))
                continue
            detected.append(detect(catalog, activity, info, detector, reading, on_progress=on_progress))
        tags, silenced = tags_of(catalog, info, rules)
        with activity.commit() as con:
            changed = write_tags(con, tags, activity)
    origins = tags["origin"].value_counts().to_pylist()
    return Tagged(
        corpus=info.ref,
        documents=info.documents,
        detected=detected,
        changed=changed,
        origins={entry["values"]: entry["counts"] for entry in origins},
        silenced=silenced,
    )


def tags_of(catalog: Catalog, info: CorpusInfo, rules: Rules) -> tuple[pa.Table, str | None]:
    """The tags that the evidence in the catalog supports now. Scores nothing and writes nothing."""
    doc_ids = document_columns(catalog, info, [])["doc_id"].combine_chunks()
    parts, silenced = [], None
    # In parts, so that memory holds the tags of a corpus and the evidence of some of its documents.
    for start in range(0, max(len(doc_ids), 1), DOCUMENTS_AT_ONCE):
        part = doc_ids[start : start + DOCUMENTS_AT_ONCE]
        between = (part[0].as_py(), part[-1].as_py()) if len(part) else None
        evidence, p_values, silenced = read_locally(catalog, info, evidence_of(catalog, info, between=between), rules)
        parts.append(resolve(part, evidence, rules, p_values=p_values, silenced=silenced))
    return pa.concat_tables(parts), silenced


def read_locally(
    catalog: Catalog, info: CorpusInfo, evidence: pa.Table, rules: Rules
) -> tuple[pa.Table, NDArray[np.float64], str | None]:
    """Evidence with the ratios of locally calibrated detectors replaced; p-values per row; why none may flag.

    Beside a detector that may flag, one that may not (too few local humans, too little power) has no p-values.
    """
    p_values = np.full(evidence.num_rows, np.nan)
    log_lr = np.array(evidence["log_lr"].to_numpy(zero_copy_only=False), dtype=np.float64)
    score = np.array(evidence["score"].to_numpy(zero_copy_only=False), dtype=np.float64)
    source = list(zip(evidence["name"].to_pylist(), evidence["version"].to_pylist(), strict=True))
    silenced: list[tuple[NDArray[np.bool_], str]] = []
    may_flag = False
    for local in local_readings(catalog, info):
        rows = np.array([pair == (local.detector, local.version) for pair in source], dtype=bool)
        p_values[rows] = local.p_values(score[rows])
        log_lr[rows] = local.log_lr(score[rows])
        why = local.why_not_flag_at(rules.flag_at)
        if why is not None:
            silenced.append((rows, f"{local.detector}: {why}"))
        elif rows.any():
            may_flag = True
    if may_flag:
        # Ranks that may not flag leave it to those that may, and cost them nothing in the correction for several.
        for rows, _ in silenced:
            p_values[rows] = np.nan
        silenced = []
    at = evidence.schema.get_field_index("log_lr")
    replaced = evidence.set_column(at, evidence.schema.field(at), pa.array(log_lr, mask=np.isnan(log_lr)))
    return replaced, p_values, "; ".join(why for _, why in silenced) or None


def local_readings(catalog: Catalog, info: CorpusInfo) -> list[LocalReading]:
    """The local calibrations that hold for a corpus. A detector that is gone leaves p-values but no power figure."""
    found = []
    for row in calibrations_of(catalog, info.corpus):
        try:
            reading = open_detector(catalog.root, row["detector"]).reading
        except ProvenanceError:
            reading = None
        if reading is not None and reading.version != row["detector_version"]:
            reading = None
        found.append(LocalReading.from_row(row, reading))
    return found


def _open(catalog: Catalog, name: str, settings: Mapping[str, str] | None, *, alone: bool) -> tuple[Any, Any]:
    """A detector and its reading; settings go to the only detector named, or to the one that takes settings."""
    cls = DETECTORS.load(name)
    if hasattr(cls, "score_records"):
        return cls(), None
    wants = alone or name in {"likelihood", "transformer", "watermark"}
    opened = open_detector(catalog.root, name, settings if wants else None)
    return opened.detector, opened.reading

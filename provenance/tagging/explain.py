"""Why a document has its tag: each piece of evidence with its weight, and the spans that spoke most."""

import math
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from provenance import tables
from provenance.catalog.corpora import CorpusInfo, documents_with_text
from provenance.catalog.evidence import evidence_of
from provenance.catalog.store import Catalog
from provenance.catalog.tags import current_tag
from provenance.corpus.texts import texts_by_id
from provenance.detectors.boilerplate import Boilerplate
from provenance.detectors.normalise import normalise
from provenance.detectors.registry import OutputRegistry
from provenance.detectors.stack import Stack
from provenance.detectors.stylometry import Stylometry
from provenance.detectors.tokens import tokenise
from provenance.errors import ProvenanceError
from provenance.tagging.resolve import merge_marks, resolve, weigh
from provenance.tagging.rules import Rules
from provenance.tagging.stage import read_locally
from provenance.tagging.stored import DEFAULT_DETECTOR, open_detector
from provenance.types import EvidenceKind

_NATS_PER_BIT = math.log(2)
_SPANS, _FEATURES = 3, 5
_CHANCE = 0.05
"""A match that chance makes more often than this names no source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece of evidence and what it adds to the decision."""

    kind: str
    name: str
    version: str
    score: float | None
    bits: float | None
    """Log likelihood ratio that counts, in bits; None where it only asserts, or abstained."""
    p_value: float | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything `tag explain` shows."""

    doc_id: UUID
    tag: dict[str, Any]
    prior_bits: float
    pieces: list[Piece]
    spans: list[tuple[float, str]]
    """Sentences with the highest share of the default detector's score, in its own units."""
    features: list[tuple[str, float]]


def explain(catalog: Catalog, info: CorpusInfo, doc_id: UUID, rules: Rules) -> Explanation:
    """Recompute the decision about one document from what the catalog holds."""
    evidence = evidence_of(catalog, info, [doc_id])
    evidence, p_values, silenced = read_locally(catalog, info, evidence, rules)
    log_lr = weigh(merge_marks(evidence), rules)
    pools = sum(
        rules.weight_of(row["name"])
        for row, value in zip(evidence.to_pylist(), log_lr, strict=True)
        if row["kind"] == EvidenceKind.DETECTOR.value and np.isfinite(value)
    )
    text = texts_by_id(catalog, [doc_id]).get(doc_id, "")
    pieces = []
    for row, value, p_value in zip(evidence.to_pylist(), log_lr, p_values, strict=True):
        share = rules.weight_of(row["name"]) / pools if row["kind"] == EvidenceKind.DETECTOR.value and pools else 1.0
        pieces.append(
            Piece(
                kind=row["kind"],
                name=row["name"],
                version=row["version"],
                score=row["score"],
                bits=float(share * value / _NATS_PER_BIT) if np.isfinite(value) else None,
                p_value=float(p_value) if np.isfinite(p_value) else None,
                note=_note(row, share) or _known_source(catalog, row, doc_id, text),
            )
        )
    tag = current_tag(catalog, doc_id)
    if tag is None:
        [tag] = resolve(tables.uuids([doc_id.bytes]), evidence, rules, p_values=p_values, silenced=silenced).to_pylist()
    spans, features = _speaking(catalog, text)
    return Explanation(
        doc_id=doc_id,
        tag=tag,
        prior_bits=math.log(rules.prior / (1 - rules.prior)) / _NATS_PER_BIT,
        pieces=pieces,
        spans=spans,
        features=features,
    )


def _note(row: dict[str, Any], share: float) -> str:
    details = orjson.loads(row["details"]) if row["details"] else {}
    if details.get("abstained"):
        return f"abstained: {details['abstained']}"
    if row["kind"] == EvidenceKind.DETECTOR.value and share < 1:
        return f"{share:.0%} of the detectors' pooled opinion"
    if row["kind"] == EvidenceKind.WATERMARK.value and row["score"] is not None:
        return f"{row['version'].partition('+')[2]}, p {10 ** -row['score']:.1g}"
    return ", ".join(f"{key} {value}" for key, value in details.items() if key != "abstained")


def _known_source(catalog: Catalog, row: dict[str, Any], doc_id: UUID, text: str) -> str:
    """Which registered text a registry's score speaks of; nothing where the registry is another one by now."""
    if row["kind"] != EvidenceKind.NEAR_DUPLICATE.value or row["score"] is None:
        return ""
    try:
        registry = open_detector(catalog.root, row["name"]).detector
    except ProvenanceError:
        return ""
    if not isinstance(registry, OutputRegistry) or registry.version != row["version"]:
        return ""
    [match] = registry.lookup([text])
    source = registry.source(match)
    if source is None or match.p_value > _CHANCE:
        return ""
    text_sha256, how = source
    # The document itself may be registered, and then so may another with its text.
    found = sorted(documents_with_text(catalog, text_sha256), key=lambda one: one[0] == doc_id)
    return f"{how} doc:{found[0][0]} of {found[0][1]}" if found else f"{how} a text that is not in the catalog"


def _speaking(catalog: Catalog, text: str) -> tuple[list[tuple[float, str]], list[tuple[str, float]]]:
    """Spans and features behind the default detector's score; nothing where it is not there or abstains."""
    spans = [(math.inf, match) for match in Boilerplate().matches(text)]
    try:
        detector = open_detector(catalog.root, DEFAULT_DETECTOR).detector
    except ProvenanceError:
        return spans, []
    if not isinstance(detector, Stack) or not np.isfinite(detector.score([text])).all():
        return spans, []
    clean = normalise(text)
    sentences = [
        part for part in clean.replace("! ", "!\n").replace("? ", "?\n").replace(". ", ".\n").split("\n") if part
    ]
    if len(sentences) > 1:
        # What leaving a sentence out takes away is what it said.
        rest = [" ".join(sentences[:i] + sentences[i + 1 :]) for i in range(len(sentences))]
        scores = detector.score_tokens(tokenise([clean, *rest]))
        ranked = sorted(zip((scores[0] - scores[1:]).tolist(), sentences, strict=True), reverse=True)
        spans += [(round(value, 3), sentence) for value, sentence in ranked[:_SPANS] if value > 0]
    tokens = tokenise([clean])
    style = next(member for member in detector.loudest(tokens) if isinstance(member, Stylometry))
    added = style.contributions(tokens)[0]
    ranked_features = sorted(added.items(), key=lambda item: -abs(item[1]))[:_FEATURES]
    return spans, [(name, round(value, 3)) for name, value in ranked_features]

"""The nouns of the package: document, evidence, tag, lineage edge. Plain data; knows no storage and no plugin."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class Origin(StrEnum):
    """Who wrote a text. `mixed` is a text both had a hand in; `unknown` is an answer, not a gap."""

    HUMAN = "human"
    MODEL = "model"
    MIXED = "mixed"
    UNKNOWN = "unknown"


class Basis(StrEnum):
    """How an origin is known, strongest first. A weaker basis never overwrites a stronger one."""

    RECORDED = "recorded"
    """We generated it: a lineage edge to the model exists."""
    ATTESTED = "attested"
    """A verified signature or watermark."""
    REVIEWED = "reviewed"
    """A person looked."""
    DECLARED = "declared"
    """The source says so."""
    INFERRED = "inferred"
    """A calibrated detector says so."""
    NONE = "none"


class EvidenceKind(StrEnum):
    """What sort of observation a piece of evidence is."""

    DECLARED = "declared"
    RECORDED = "recorded"
    WATERMARK = "watermark"
    NEAR_DUPLICATE = "near_duplicate"
    DETECTOR = "detector"
    DATE = "date"
    REVIEW = "review"
    HYGIENE = "hygiene"
    """Invisible characters found and stripped on ingest."""


class Relation(StrEnum):
    """What a lineage edge says about its child. All but NEAR_DUPLICATE_OF are acyclic."""

    DERIVED_FROM = "derived_from"
    GENERATED_BY = "generated_by"
    TRAINED_ON = "trained_on"
    MEMBER_OF = "member_of"
    NEAR_DUPLICATE_OF = "near_duplicate_of"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One text at one origin. Bulk code passes Arrow tables (`tables.DOCUMENTS`); this is for one at a time."""

    doc_id: UUID
    key: str
    """The source's own id, else `file:line`, the file by its path inside the folder that was added."""
    text: str
    text_sha256: bytes
    source: str = ""
    created_at: datetime | None = None
    language: str | None = None
    subgroup: str | None = None
    declared_origin: Origin | None = None
    declared_generator: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One observation about one document. Higher always means more model-like; never a verdict."""

    doc_id: UUID
    kind: EvidenceKind
    name: str
    version: str
    score: float | None = None
    """The source's raw score; None where it abstained or has none."""
    log_lr: float | None = None
    """Calibrated log likelihood ratio (nats), model over human; None where not calibrated."""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A decision about one document, and the rule that made it."""

    doc_id: UUID
    origin: Origin
    p_model: float | None
    """Probability that a model wrote it; None where nothing speaks to it."""
    basis: Basis
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageEdge:
    """`child` came to be through `relation` to `parent`. Nodes read `doc:…`, `corpus:…`, `mix:…`, `model:…`."""

    child: str
    parent: str
    relation: Relation

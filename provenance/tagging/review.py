"""Human verdicts as evidence: what to look at next, importing verdicts, how reviewers and detectors agree.

A verdict is evidence of kind `review`; tags follow from it like from any other, one basis above what sources declare.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa

from provenance import tables
from provenance.catalog.corpora import CorpusInfo, find_document, list_corpora
from provenance.catalog.evidence import add_evidence, corpora_of
from provenance.catalog.review import candidates, verdicts
from provenance.catalog.store import Catalog
from provenance.catalog.tags import write_tags
from provenance.errors import DataError, UsageError
from provenance.tagging.resolve import agreed
from provenance.tagging.rules import Rules
from provenance.tagging.stage import tags_of
from provenance.types import EvidenceKind

VERDICTS = {"human": -1.0, "mixed": 0.0, "model": 1.0}
_VERSION = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a person said of a document."""

    doc_id: UUID
    origin: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewStats:
    """How far reviewing has come and how well it agrees."""

    reviewers: dict[str, int]
    documents: int
    by_verdict: dict[str, int]
    twice: int
    """Documents with two or more reviewers."""
    disputed: int
    """Documents whose verdicts are no verdict together, by the rule that tags follow."""
    agreement: float | None
    """Cohen's kappa over pairs of reviewers, weighted by shared documents; None where nobody shares any."""
    model_agrees: float | None
    """Share of clear outcomes (human or model) on whose side the detectors' p_model was; None without any."""


def queue(catalog: Catalog, info: CorpusInfo, count: int) -> list[dict[str, Any]]:
    """Documents worth a person's time: disputed ones, then what contradicts its declaration, then p_model near 1/2.

    `worth` of a conflict is 1 and how far p_model is from what is declared, of others the uncertainty in bits.
    `disputed` is whether people have judged it and disagree.
    """
    said = _outcomes(verdicts(catalog, info))
    disputed = {doc_id for doc_id, outcome in said.items() if math.isnan(outcome)}
    rows = [{**row, "disputed": row["doc_id"] in disputed} for row in candidates(catalog, info, disputed)]

    def worth(row: dict[str, Any]) -> float:
        p_model = row["p_model"]
        if p_model is None:
            return 0.1
        # An audit or a card declares too: then the tag says so.
        said = row["declared_origin"] or (row["origin"] if row["basis"] == "declared" else "")
        declared = {"human": 0.0, "model": 1.0}.get(said)
        if declared is not None:
            against = abs(p_model - declared)
            if against > 0.5 or row["origin"] == ("human" if declared else "model"):
                return float(1 + against)
        return float(-sum(p * math.log2(p) for p in (p_model, 1 - p_model) if p > 0))

    ranked = sorted(rows, key=lambda row: (not row["disputed"], -worth(row), row["doc_id"].bytes))
    return [{**row, "worth": round(worth(row), 4)} for row in ranked[:count]]


def read_verdicts(catalog: Catalog, lines: Iterable[str], source: str) -> list[Verdict]:
    """Verdicts from JSON lines with doc_id and verdict (human, model, mixed; empty lines and "" are skipped).

    Raises DataError naming the line that is wrong.
    """
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            said = str(row.get("verdict") or "").strip().lower()
            doc_id = str(row["doc_id"])
        except (ValueError, AttributeError, KeyError) as error:
            raise DataError(
                f"{source}:{number}: not a verdict: {error}", hint='{"doc_id": …, "verdict": "human"}'
            ) from error
        if not said:
            continue
        if said not in VERDICTS:
            raise DataError(f"{source}:{number}: verdict {said!r}", hint=f"known: {', '.join(VERDICTS)}")
        found.append(Verdict(doc_id=find_document(catalog, doc_id), origin=said, note=str(row.get("note") or "")))
    return found


def record_verdicts(
    catalog: Catalog, verdicts_: Sequence[Verdict], *, reviewer: str, command: str, rules: Rules | None = None
) -> int:
    """Store verdicts and re-tag what they are about, in one transaction; returns how many tags changed.

    A reviewer's later verdict replaces the earlier one; several reviewers' verdicts stand side by side.
    """
    if not reviewer.strip():
        raise UsageError("a verdict needs a reviewer's name", hint="--reviewer NAME")
    if not verdicts_:
        return 0
    rules = rules or Rules()
    # All of them get one time, so what is replaced within them must not be stored.
    verdicts_ = list({verdict.doc_id: verdict for verdict in verdicts_}.values())
    with catalog.activity(command, {"reviewer": reviewer, "verdicts": len(verdicts_)}) as activity:
        rows = pa.Table.from_arrays(
            [
                tables.uuids([verdict.doc_id.bytes for verdict in verdicts_]),
                pa.array([EvidenceKind.REVIEW.value] * len(verdicts_)),
                pa.array([reviewer] * len(verdicts_)),
                pa.array([_VERSION] * len(verdicts_)),
                pa.array([VERDICTS[verdict.origin] for verdict in verdicts_]),
                pa.nulls(len(verdicts_), pa.float64()),
                pa.array([json.dumps({"note": v.note}) if v.note else None for v in verdicts_], pa.string()),
            ],
            schema=tables.EVIDENCE,
        )
        ids = [verdict.doc_id for verdict in verdicts_]
        with activity.commit() as con:
            add_evidence(con, rows, activity.activity_id)
            changed = 0
            for info in list_corpora(catalog):
                if info.corpus_id in corpora_of(catalog, ids):
                    changed += write_tags(con, tags_of(catalog, info, rules)[0], activity)
    return changed


def stats(catalog: Catalog, info: CorpusInfo | None) -> ReviewStats:
    """Counts, agreement between reviewers, agreement with the detectors."""
    rows = verdicts(catalog, info)
    said: dict[UUID, dict[str, float]] = defaultdict(dict)
    p_model: dict[UUID, float | None] = {}
    reviewers: dict[str, int] = defaultdict(int)
    by_verdict: dict[str, int] = defaultdict(int)
    names = {value: name for name, value in VERDICTS.items()}
    for row in rows:
        said[row["doc_id"]][row["reviewer"]] = row["score"]
        p_model[row["doc_id"]] = row["p_detector"]
        reviewers[row["reviewer"]] += 1
        by_verdict[names[row["score"]]] += 1
    outcomes = _outcomes(rows)
    right = total = 0
    for doc_id, outcome in outcomes.items():
        guess = p_model[doc_id]
        if guess is not None and outcome in {-1, 1} and guess != 0:
            total += 1
            right += (guess > 0) == (outcome > 0)
    return ReviewStats(
        reviewers=dict(sorted(reviewers.items())),
        documents=len(said),
        by_verdict=dict(by_verdict),
        twice=sum(len(votes) > 1 for votes in said.values()),
        disputed=sum(math.isnan(outcome) for outcome in outcomes.values()),
        agreement=_kappa(list(said.values())),
        model_agrees=right / total if total else None,
    )


def _outcomes(rows: Sequence[dict[str, Any]]) -> dict[UUID, float]:
    """What the verdicts on each document come to: 1, -1, 0, or NaN where people disagree."""
    number = {doc_id: k for k, doc_id in enumerate(dict.fromkeys(row["doc_id"] for row in rows))}
    of = np.array([number[row["doc_id"]] for row in rows], dtype=np.int64)
    outcomes = agreed(of, np.array([row["score"] for row in rows], dtype=np.float64), len(number))
    return dict(zip(number, outcomes.tolist(), strict=True))


def _kappa(votes: list[dict[str, float]]) -> float | None:
    """Mean Cohen's kappa over pairs of reviewers, weighted by the documents they share."""
    shared: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for one in votes:
        people = sorted(one)
        for i, a in enumerate(people):
            for b in people[i + 1 :]:
                shared[a, b].append((one[a], one[b]))
    total = weighted = 0.0
    for pairs in shared.values():
        num = len(pairs)
        observed = sum(a == b for a, b in pairs) / num
        chance = sum(
            sum(a == value for a, _ in pairs) * sum(b == value for _, b in pairs) / num**2
            for value in VERDICTS.values()
        )
        total += num
        weighted += num * (1.0 if chance == 1 else (observed - chance) / (1 - chance))
    return weighted / total if total else None


def export_rows(catalog: Catalog, info: CorpusInfo, count: int) -> list[dict[str, Any]]:
    """The queue with texts and an empty verdict, for `review import` after a person filled it in."""
    from provenance.corpus.texts import texts_by_id

    rows = queue(catalog, info, count)
    texts = texts_by_id(catalog, [row["doc_id"] for row in rows])
    return [
        {
            "doc_id": str(row["doc_id"]),
            "key": row["key"],
            "declared_origin": row["declared_origin"],
            "p_model": row["p_model"],
            "disputed": row["disputed"],
            "text": texts.get(row["doc_id"], ""),
            "verdict": "",
            "note": "",
        }
        for row in rows
    ]


def write_export(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write JSON lines, whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    temporary.replace(path)

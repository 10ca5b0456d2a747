"""What every exported description is written from: one corpus or mix, in numbers and ids. Knows no format.

Gathered once, so that a card, a Croissant file and a run event never disagree.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from provenance.catalog.corpora import CorpusInfo, get_corpus
from provenance.catalog.described import activity_of, corpus_counts, file_difference, mix_counts
from provenance.catalog.lineage import ancestors
from provenance.catalog.mixes import MixInfo, get_mix
from provenance.catalog.store import Catalog
from provenance.errors import DataError

PROJECT_URI = "https://pypi.org/project/corpus-provenance/"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """The Parquet file a description points to."""

    name: str
    sha256: str
    bytes: int
    columns: dict[str, str]
    """Column name to Arrow type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityFacts:
    """The command that made it."""

    activity_id: str
    command: str
    params: dict[str, Any]
    code_version: str
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One corpus version or built mix."""

    node: str
    """`corpus:name@version` or `mix:name@version`."""
    name: str
    version: int
    sha256: str
    """Of the content: the Merkle root of a corpus, the lock of a mix."""
    documents: int
    n_chars: int
    created_at: datetime
    licenses: dict[str, int]
    """Documents under each; `unknown` where none was recorded."""
    source_uris: list[str]
    languages: dict[str, int]
    origins: dict[str, int]
    bases: dict[str, int]
    """How the origins are known: documents under each basis."""
    contradicted: int
    """Documents declared as human that the evidence takes for a model's."""
    generators: dict[str, int]
    generations: dict[int | None, int]
    first_date: datetime | None
    last_date: datetime | None
    parents: list[tuple[str, str]]
    """(relation, node) of the nearest ancestors: corpora, mixes, models, external sources."""
    ancestry: list[tuple[str, str, int]]
    """(node, relation, distance) of all named ancestors."""
    activity: ActivityFacts
    data: DataFile | None


@cache
def vocabulary() -> Mapping[str, Any]:
    """The origin vocabulary with its crosswalk."""
    text = files("provenance.schemas").joinpath("origin-vocabulary.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def iptc_of(origins: Mapping[str, int]) -> str:
    """The IPTC digital source type of a collection with these origins."""
    terms = vocabulary()["collections"]
    if origins.get("model") or origins.get("mixed"):
        return str(terms["any model text"])
    return str(terms["only human"] if set(origins) == {"human"} else terms["otherwise"])


_KNOWN_BY = {
    "recorded": "recorded as they were generated",
    "attested": "attested by a signature or watermark",
    "reviewed": "reviewed by a person",
    "declared": "declared by the source, not verified",
    "inferred": "inferred by a detector",
    "none": "not known",
}


def bases_in_words(facts: Facts) -> dict[str, int]:
    """How the origins are known, in words: a declaration must not read like a finding."""
    return {_KNOWN_BY[basis]: n for basis, n in facts.bases.items()}


def contradiction(facts: Facts) -> str | None:
    """What the evidence says against what sources declare, as a sentence; None where nothing does."""
    if not facts.contradicted:
        return None
    return f"Documents declared as human that the evidence takes for a model's: {facts.contradicted:,}."


def gather(catalog: Catalog, ref: str, *, data: Path | None = None) -> Facts:
    """The facts about a corpus or a mix. Raises NotFoundError, and DataError when `data` is no Parquet file of it."""
    info: CorpusInfo | MixInfo
    if ref.startswith("mix:"):
        info = mix = get_mix(catalog, ref)
        node, name, version, sha256 = f"mix:{mix.ref}", mix.mix, mix.version, mix.lock_sha256
        counts = mix_counts(catalog, mix)
    else:
        info = corpus = get_corpus(catalog, ref.removeprefix("corpus:"))
        node, name, version = f"corpus:{corpus.ref}", corpus.corpus, corpus.version
        sha256 = corpus.content_root.rpartition(":")[2]
        counts = corpus_counts(catalog, corpus)
    above = [(r.node, r.relation, r.distance) for r in ancestors(catalog, node) if not r.node.startswith("doc:")]
    nearest = min((distance for _, _, distance in above), default=0)
    made = activity_of(catalog, counts.activity_id)
    return Facts(
        node=node,
        name=name,
        version=version,
        sha256=sha256,
        documents=counts.documents,
        n_chars=counts.n_chars,
        created_at=made["started_at"],
        licenses=counts.licenses,
        source_uris=counts.source_uris,
        languages=counts.languages,
        origins=counts.origins,
        bases=counts.bases,
        contradicted=counts.contradicted,
        generators=counts.generators,
        generations=counts.generations,
        first_date=counts.first_date,
        last_date=counts.last_date,
        parents=[(relation, parent) for parent, relation, distance in above if distance == nearest],
        ancestry=above,
        activity=ActivityFacts(activity_id=str(counts.activity_id), **made),
        data=None if data is None else _data_file(catalog, info, node, data),
    )


_WRITE_ONE = "write one: provenance corpus export NAME NAME.parquet, or mix build LOCK -o NAME.parquet"


def _data_file(catalog: Catalog, info: CorpusInfo | MixInfo, node: str, path: Path) -> DataFile:
    try:
        schema = pq.read_schema(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no Parquet file: {str(error).splitlines()[0]}", hint=_WRITE_ONE) from None
    if absent := [name for name in ("doc_id", "text") if name not in schema.names]:
        raise DataError(f"{path}: no column {' or '.join(absent)}, so not the data of {node}", hint=_WRITE_ONE)
    # A description of some other file would vouch for texts that nobody looked at.
    if difference := file_difference(catalog, info, path):
        other, missing = difference
        raise DataError(
            f"{path} is not the data of {node}: {other:,} of its rows are not in it, {missing:,} documents are missing",
            hint=_WRITE_ONE,
        )
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return DataFile(
        name=path.name,
        sha256=digest,
        bytes=path.stat().st_size,
        columns={field.name: str(field.type) for field in schema},
    )

"""Recording texts this program generated: a corpus whose origin is known because we made it. Knows no model.

Everything lands in one transaction: documents, tags with basis `recorded`, lineage edges, and whatever the caller adds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from provenance import ids
from provenance.catalog.corpora import CorpusInfo, check_name
from provenance.catalog.ledger import Activity
from provenance.catalog.lineage import add_edges
from provenance.catalog.store import Catalog
from provenance.corpus.ingest import commit_staged
from provenance.corpus.prepare import Prepared
from provenance.corpus.writer import CorpusWriter, Lineage
from provenance.errors import DataError
from provenance.types import LineageEdge, Origin, Relation

RECORDED_RULE = "recorded@1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Texts a model wrote, as columns of equal length, and where they stand in the lineage."""

    keys: Sequence[str]
    texts: Sequence[str]
    generator: str
    """The model's node name without its `model:` prefix."""
    generation: int
    """Model generations between these texts and human text, at the least."""
    generation_max: int
    human_ancestry: float
    """Expected share of human text among what the chain of models was trained on, in [0, 1]."""
    subgroups: Sequence[str | None] | None = None
    metas: Sequence[Mapping[str, Any]] | None = None
    edges: Sequence[LineageEdge] = field(default_factory=tuple)
    """Edges beside `corpus generated_by model`, which is always written."""


def record_corpus(
    catalog: Catalog,
    activity: Activity,
    name: str,
    recorded: Recorded,
    *,
    also: Callable[[Any, CorpusInfo], None] | None = None,
) -> CorpusInfo:
    """Commit generated texts as a new version of corpus `name`, and end the activity. Raises DataError when empty.

    `also(con, corpus)` runs inside the same transaction, for rows of the caller's own.
    """
    check_name(name)
    if not recorded.texts:
        raise DataError(f"nothing to record as {name!r}: no texts", hint="the model generated nothing")
    with catalog.staging(str(activity.activity_id)) as folder:
        lineage = Lineage(
            origin=Origin.MODEL,
            generator=recorded.generator,
            generation=recorded.generation,
            generation_max=recorded.generation_max,
            human_ancestry=recorded.human_ancestry,
        )
        with CorpusWriter(folder, lineage) as writer:
            writer.add(_prepared(name, recorded))
            staged = writer.finish()

        def extra(con: Any, info: CorpusInfo) -> None:
            made = LineageEdge(
                child=f"corpus:{info.ref}", parent=f"model:{recorded.generator}", relation=Relation.GENERATED_BY
            )
            add_edges(
                con,
                [made, *recorded.edges],
                activity_id=activity.activity_id,
                at=activity.started_at,
                new_models=True,
            )
            for table in ("tag_history_row", "tag_current"):
                con.execute(
                    f"INSERT INTO {table} SELECT doc_id, 'model', 1.0, 'recorded', ?, ?, ? FROM document "  # noqa: S608
                    "WHERE corpus_id = ? ORDER BY doc_id",
                    [RECORDED_RULE, activity.activity_id, activity.started_at, info.corpus_id],
                )
            if also is not None:
                also(con, info)

        return commit_staged(
            catalog, activity, name, staged, origin=Origin.MODEL, generator=recorded.generator, also=extra
        )


def _prepared(name: str, recorded: Recorded) -> Prepared:
    n = len(recorded.texts)
    texts = [text.encode() for text in recorded.texts]
    hashes = [ids.sha256_bytes(text) for text in texts]
    metas = recorded.metas
    return Prepared(
        doc_id=[ids.document_id_bytes(name, k, h) for k, h in zip(recorded.keys, hashes, strict=True)],
        key=list(recorded.keys),
        source=[recorded.generator] * n,
        line=list(range(1, n + 1)),
        text=texts,
        text_sha256=hashes,
        n_chars=[len(text) for text in recorded.texts],
        created_at=[None] * n,
        language=[None] * n,
        subgroup=list(recorded.subgroups) if recorded.subgroups is not None else [None] * n,
        declared_origin=[None] * n,
        declared_generator=[None] * n,
        meta=[orjson.dumps(m, option=orjson.OPT_SORT_KEYS).decode() for m in metas]
        if metas is not None
        else [None] * n,
    )

"""Labelled texts out of corpora: the label from a document field or what the source declares. Knows no detector."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from provenance.catalog.corpora import CorpusInfo
from provenance.catalog.evidence import document_columns
from provenance.catalog.store import Catalog
from provenance.corpus.texts import iter_texts
from provenance.errors import DataError, NotFoundError, UsageError, suggestion
from provenance.tagging.crossval import Labelled

_COLUMNS = ("key", "source", "language", "subgroup", "declared_origin", "declared_generator")
_HUMAN = {"human", "0", "false"}
_MODEL = {"model", "machine", "ai", "generated", "1", "true"}


def read_labelled(
    catalog: Catalog,
    corpora: Sequence[CorpusInfo],
    *,
    label_field: str,
    group_field: str,
    generator_field: str,
    writer_field: str = "",
) -> Labelled:
    """Documents whose label is known. A field is a document column or a metadata key.

    Documents without a label are left out. Raises DataError when none is left or a label is neither human nor model,
    NotFoundError when a field is in no document: what would stand in for it gives other figures.
    """
    names = ", ".join(info.ref for info in corpora)
    filled: set[str] = set()
    texts: list[str] = []
    labels: list[bool] = []
    domains: list[str] = []
    generators: list[str] = []
    writers: list[str] = []
    for info in corpora:
        columns = document_columns(catalog, info, [*_COLUMNS, "meta"]).to_pylist()
        known = {row["doc_id"].bytes: _fields(row) for row in columns}
        filled.update(name for row in known.values() for name, value in row.items() if value is not None)
        for batch in iter_texts(catalog, info):
            for raw, text in zip(batch["doc_id"].storage.to_pylist(), batch["text"].to_pylist(), strict=True):
                row = known[raw]
                label = _label(row.get(label_field), label_field)
                if label is None:
                    continue
                texts.append(text)
                labels.append(label)
                domains.append(str(row.get(group_field) or info.corpus) if group_field else info.corpus)
                writers.append(str(row.get(writer_field) or "") if writer_field else "")
                generators.append(str(row.get(generator_field) or "model") if label else "")
    # What is read when nobody names a field may be in no document: a source need not name its models or subgroups.
    for field, unasked in ((group_field, ""), (generator_field, "declared_generator"), (writer_field, "subgroup")):
        if field and field not in {*filled, unasked}:
            raise NotFoundError(
                f"no document of {names} has a field {field!r}", hint=suggestion("field", field, filled)
            )
    if not texts:
        raise DataError(
            f"no document of {names} has a label in {label_field!r}",
            hint="a label is human or model; import it with corpus add --meta-fields or --origin-field",
        )
    return Labelled(
        texts=texts,
        is_model=np.array(labels, dtype=bool),
        domains=domains,
        generators=generators,
        writers=writers if any(writers) else (),
    )


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    meta = orjson.loads(row["meta"]) if row["meta"] else {}
    return {**meta, **{name: row[name] for name in _COLUMNS}}


def _label(value: Any, field: str) -> bool | None:
    if value is None or value in {"", "unknown"}:
        return None
    text = str(value).lower()
    if text in _HUMAN:
        return False
    if text in _MODEL:
        return True
    raise UsageError(f"{field} = {value!r} is neither human nor model", hint="use human and model, or 0 and 1")

"""Lineage and declarations others wrote, into the catalog: edge lists, dataset cards, audits, run events.

What a card or an audit says of a whole set becomes declared evidence on each of its documents, beside whatever was
declared when it was added: contradictions are for `tag conflicts` to show, not for the import to settle. Values nobody
foresaw are counted and reported; an edge list with a column or relation nobody foresaw is refused.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import yaml  # type: ignore[import-untyped]

from provenance.catalog.corpora import CorpusInfo, get_corpus, list_corpora
from provenance.catalog.declared import declare_corpus
from provenance.catalog.depth import graph_depths, store_depths
from provenance.catalog.lineage import add_edges, direct_steps
from provenance.catalog.store import Catalog
from provenance.errors import ConfigError, DataError, NotFoundError
from provenance.types import LineageEdge, Origin, Relation

_EDGE_COLUMNS = ("child", "parent", "relation")
_IMPLIED = {Relation.MEMBER_OF}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did, or would do."""

    read: int
    """Edges the file holds."""
    edges: int
    """Edges that were new."""
    depths_changed: int
    """Documents whose generation or human ancestry follows from them anew."""
    declared: str | None = None
    """The origin the file declares for the corpus."""
    documents: int = 0
    """Documents that got a row of declared evidence."""
    unknown: dict[str, int] = field(default_factory=dict)
    """Values that were not understood, and how often."""


class _DryRunError(Exception):
    """Carries the result out of a transaction that is to be rolled back."""

    def __init__(self, result: Imported) -> None:
        super().__init__("dry run")
        self.result = result


def import_edges(catalog: Catalog, path: Path, *, new_models: bool = False, dry_run: bool = False) -> Imported:
    """Add the edges of a CSV or Parquet file with the columns child, parent, relation.

    Raises DataError on other columns, unknown relations, unknown nodes and cycles; nothing is changed then.
    """
    return _commit(catalog, "lineage import", path, read_edges(path), new_models=new_models, dry_run=dry_run)


def import_metadata(
    catalog: Catalog,
    path: Path,
    *,
    corpus: str | None = None,
    entry: str | None = None,
    new_models: bool = False,
    dry_run: bool = False,
) -> Imported:
    """Read a dataset card, a Data Provenance Initiative file, OpenLineage events or an edge list, told by its content.

    Cards and audits are about one corpus: `corpus` says which, `entry` which of the file's sets.
    """
    command = "metadata import"
    if path.suffix in {".csv", ".parquet"}:
        return _commit(catalog, command, path, read_edges(path), new_models=new_models, dry_run=dry_run)
    text = _read_text(path)
    if path.suffix == ".md" or text.startswith("---\n"):
        info = _named(catalog, corpus, path)
        found = read_card(text, info, str(path))
    else:
        values = _json_values(text, path)
        if values and all(isinstance(value, dict) and "job" in value and "run" in value for value in values):
            known = {info.corpus: info.ref for info in list_corpora(catalog)}
            edges = read_events(values, known)
            known_steps = direct_steps(catalog)
            return _commit(catalog, command, path, edges, skip=known_steps, new_models=new_models, dry_run=dry_run)
        info = _named(catalog, corpus, path)
        found = read_audit(values, info, entry, str(path))
    return _commit(catalog, command, path, found.edges, found, info, new_models=True, dry_run=dry_run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a card or an audit says of one corpus."""

    source: str
    """hf_card or dpi."""
    origin: Origin | None
    details: dict[str, Any]
    edges: list[LineageEdge]
    unknown: Counter[str]


def read_edges(path: Path) -> list[LineageEdge]:
    """The edges of a CSV or Parquet file. Raises DataError naming the file, and the row where there is one."""
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            table = pa.csv.read_csv(
                path, convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(_EDGE_COLUMNS, pa.string()))
            )
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    if sorted(table.column_names) != sorted(_EDGE_COLUMNS):
        extra = sorted(set(table.column_names) - set(_EDGE_COLUMNS))
        what = f"unknown column {extra[0]!r}" if extra else f"columns {', '.join(table.column_names)}"
        raise DataError(f"{path}: {what}", hint=f"an edge list has the columns {', '.join(_EDGE_COLUMNS)}")
    for column in table.schema:
        text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        if not (text or pa.types.is_dictionary(column.type) or pa.types.is_null(column.type)):
            raise DataError(f"{path}: column {column.name!r} holds {column.type}, not text")
    known = {relation.value: relation for relation in Relation if relation not in _IMPLIED}
    edges = []
    for number, row in enumerate(table.to_pylist(), start=1):
        relation = known.get(row["relation"])
        if relation is None or not row["child"] or not row["parent"]:
            what = f"relation {row['relation']!r}" if relation is None else "an empty end"
            raise DataError(f"{path}: row {number} has {what}", hint=f"relations: {', '.join(sorted(known))}")
        edges.append(LineageEdge(child=row["child"], parent=row["parent"], relation=relation))
    return edges


_MACHINE = "machine-generated"
_PEOPLE = {"found", "crowdsourced", "expert-generated"}


def read_card(text: str, info: CorpusInfo, source: str) -> Declaration:
    """The front matter of a Hugging Face dataset card: who wrote the texts, and from which sets they come."""
    parts = text.split("\n---", 1)
    if not text.startswith("---\n") or len(parts) != 2:
        raise DataError(f"{source}: no YAML front matter between lines of ---")
    try:
        front = yaml.safe_load(parts[0].removeprefix("---\n"))
    except yaml.YAMLError as error:
        raise DataError(f"{source}: front matter is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(front, dict):
        raise DataError(f"{source}: front matter holds no fields")
    creators, sources = _strings(front.get("language_creators")), _strings(front.get("source_datasets"))
    unknown = Counter(f"language_creators: {value}" for value in creators if value not in {_MACHINE, *_PEOPLE, "other"})
    machine, people = _MACHINE in creators, bool(_PEOPLE & set(creators))
    origin = Origin.MIXED if machine and people else Origin.MODEL if machine else Origin.HUMAN if people else None
    edges = [
        LineageEdge(child=f"corpus:{info.ref}", parent=f"external:{name}", relation=Relation.DERIVED_FROM)
        for name in sorted({s.removeprefix("extended|") for s in sources} - {"original", "extended"})
    ]
    details = {"language_creators": creators, "source_datasets": sources, "license": front.get("license")}
    return Declaration(source="hf_card", origin=origin, details=details, edges=edges, unknown=unknown)


def read_audit(values: list[Any], info: CorpusInfo, entry: str | None, source: str) -> Declaration:
    """One set of a Data Provenance Initiative file: `Model Generated`, `Human Annotation`, what it derives from."""
    sets = {
        name: record
        for value in values
        if isinstance(value, dict)
        for name, record in value.items()
        if isinstance(record, dict) and "Model Generated" in record
    }
    if not sets:
        raise DataError(
            f"{source}: neither run events nor an audit with 'Model Generated'",
            hint="known: dataset cards (.md), Data Provenance Initiative files, OpenLineage events, .csv and .parquet",
        )
    if entry is None and len(sets) > 1:
        raise ConfigError(
            f"{source} describes {len(sets)} sets", hint=f"choose with --entry: {', '.join(sorted(sets)[:8])}"
        )
    name = entry or next(iter(sets))
    if name not in sets:
        raise NotFoundError.of("set in that file", name, sets)
    record = sets[name]
    unknown: Counter[str] = Counter()
    models = _strings(record["Model Generated"])
    annotated = record.get("Human Annotation")
    if annotated not in {"Yes", "No", None, ""}:
        unknown[f"Human Annotation: {annotated}"] += 1
    origin = (Origin.MIXED if annotated == "Yes" else Origin.MODEL) if models else Origin.HUMAN
    node = f"corpus:{info.ref}"
    edges = [
        LineageEdge(child=node, parent=f"external:{parent}", relation=Relation.DERIVED_FROM)
        for parent in sorted(set(_strings(record.get("Derived from Datasets"))))
    ]
    if origin is Origin.MODEL:
        edges += [
            LineageEdge(child=node, parent=f"model:{model}", relation=Relation.GENERATED_BY)
            for model in sorted(set(models))
        ]
    licences = record.get("Licenses")
    for licence in licences if isinstance(licences, list) else []:
        if not isinstance(licence, dict) or not isinstance(licence.get("License"), str):
            unknown[f"Licenses: {str(licence)[:60]}"] += 1
    details = {
        "entry": name,
        "model_generated": models,
        "human_annotation": annotated,
        "text_sources": _strings(record.get("Text Sources")),
    }
    return Declaration(source="dpi", origin=origin, details=details, edges=edges, unknown=unknown)


def read_events(values: list[Any], known: dict[str, str]) -> list[LineageEdge]:
    """Edges from OpenLineage run events: each output of a finished run comes from each of its inputs.

    A model among the inputs wrote the output, and a model among the outputs was trained on the inputs.
    Datasets named like a corpus are that corpus's newest version; all others are `external:namespace/name`.
    """
    edges = set()
    for event in values:
        if event.get("eventType") != "COMPLETE":
            continue
        inputs, outputs = ([_dataset(d, known) for d in event.get(side) or []] for side in ("inputs", "outputs"))
        edges |= {(child, parent) for child in outputs for parent in inputs if child != parent}
    return [LineageEdge(child=c, parent=p, relation=_event_relation(c, p)) for c, p in sorted(edges)]


def _event_relation(child: str, parent: str) -> Relation:
    by_model, to_model = parent.startswith("model:"), child.startswith("model:")
    if by_model == to_model:
        return Relation.DERIVED_FROM
    return Relation.GENERATED_BY if by_model else Relation.TRAINED_ON


def _dataset(value: Any, known: dict[str, str]) -> str:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise DataError(f"a dataset of an event has no name: {str(value)[:80]}")
    name = value["name"]
    bare = name.removeprefix("corpus:").partition("@")[0]
    if bare in known:
        return f"corpus:{name.removeprefix('corpus:') if '@' in name else known[bare]}"
    if name.startswith(("mix:", "model:")):
        return str(name)
    return f"external:{value.get('namespace', '')}/{name}"


def _commit(
    catalog: Catalog,
    command: str,
    path: Path,
    edges: Iterable[LineageEdge],
    declaration: Declaration | None = None,
    info: CorpusInfo | None = None,
    *,
    skip: Collection[tuple[str, str]] = (),
    new_models: bool,
    dry_run: bool,
) -> Imported:
    """Write it all, or nothing, as `command`. `skip` holds (child, parent) pairs that are not added again."""
    listed = list(edges)
    wanted = [edge for edge in listed if (edge.child, edge.parent) not in skip]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    def write(con: Any, activity_id: Any, at: Any) -> Imported:
        added = add_edges(con, wanted, activity_id=activity_id, at=at, new_models=new_models)
        documents = 0
        if declaration is not None and declaration.origin is not None and info is not None:
            documents = declare_corpus(
                con, info, name=declaration.source, version=digest[:12], origin=declaration.origin,
                details=declaration.details, activity_id=activity_id, at=at,
            )  # fmt: skip
        changed = 0
        if added:
            with graph_depths(con):
                changed = store_depths(con)
        return Imported(
            read=len(listed),
            edges=added,
            depths_changed=changed,
            declared=declaration.origin.value if declaration and declaration.origin else None,
            documents=documents,
            unknown=dict(declaration.unknown) if declaration else {},
        )

    if dry_run:
        try:
            with catalog.write() as con:
                raise _DryRunError(write(con, UUID(int=0), datetime.now(UTC)))
        except _DryRunError as done:
            return done.result
    with catalog.activity(command, {"file": path.name, "sha256": digest}) as activity:
        activity.inputs.append(f"file:{path.name} sha256:{digest}")
        with activity.commit() as con:
            result = write(con, activity.activity_id, activity.started_at)
            activity.outputs.extend(sorted({edge.child for edge in wanted})[:100])
    return result


def _named(catalog: Catalog, corpus: str | None, path: Path) -> CorpusInfo:
    if corpus is None:
        raise ConfigError(f"{path} describes a set as a whole", hint="say which corpus it is about: --corpus NAME")
    return get_corpus(catalog, corpus)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}") from None


def _json_values(text: str, path: Path) -> list[Any]:
    """One JSON document, or one per line; a list is its items."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as whole:
        try:
            return [orjson.loads(line) for line in text.splitlines() if line.strip()]
        except orjson.JSONDecodeError:
            raise DataError(f"{path}: not JSON: {whole}") from None
    return value if isinstance(value, list) else [value]


def _strings(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]

"""The real validators of the formats we write. Each needs the extra `standards`; none is imported before it is asked.

Raises CheckFailedError with what the validator said, DataError when the file is of no format known here.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from provenance.errors import CheckFailedError, DataError, MissingExtraError
from provenance.lineage.cards import EU_SUMMARY_TITLE

_KNOWN = "known: Croissant, PROV-JSON, OpenLineage events, dataset cards"


def validate(path: Path) -> str:
    """Which format the file is valid in; the format is told by its content."""
    text = path.read_text(encoding="utf-8")
    if text.startswith(EU_SUMMARY_TITLE):
        raise DataError(
            f"{path}: a draft of the EU summary, which is for people and has no validator",
            hint=f"{_KNOWN}; the summary is checked against the template of the European Commission",
        )
    if path.suffix == ".md" or text.startswith("---\n"):
        return _run("Hugging Face dataset card", _card, path, text)
    try:
        values = [orjson.loads(text)]
    except orjson.JSONDecodeError:
        try:
            values = [orjson.loads(line) for line in text.splitlines() if line.strip()]
        except orjson.JSONDecodeError as error:
            raise DataError(f"{path}: neither JSON nor JSON lines: {error}") from None
    first = values[0] if values and isinstance(values[0], dict) else {}
    if "@context" in first:
        return _run("Croissant", _croissant, path, first)
    if "eventType" in first:
        return _run("OpenLineage", _openlineage, path, values)
    if "prefix" in first and ("entity" in first or "activity" in first):
        return _run("PROV-JSON", _prov, path, text)
    raise DataError(f"{path}: not a format known here", hint=_KNOWN)


def _run(name: str, check: Callable[[Path, Any], None], path: Path, value: Any) -> str:
    try:
        check(path, value)
    except ImportError:
        raise MissingExtraError.of(f"validating {name}", "standards") from None
    return name


def _croissant(path: Path, value: dict[str, Any]) -> None:
    import logging

    import mlcroissant  # type: ignore[import-untyped]

    # The library logs what it also raises.
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # rdflib's, about how mlcroissant calls it.
            warnings.simplefilter("ignore", DeprecationWarning)
            dataset = mlcroissant.Dataset(jsonld=value)
    except mlcroissant.ValidationError as error:
        raise CheckFailedError(f"{path}: {str(error).strip()}") from None
    doubts = sorted(dataset.metadata.ctx.issues.warnings)
    if doubts:
        raise CheckFailedError(f"{path}: {'; '.join(map(str, doubts))}")


def _prov(path: Path, text: str) -> None:
    from prov import Error
    from prov.model import ProvDocument

    try:
        # What the library only warns of, it leaves out: a file like that says less than it seems to.
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always")
            ProvDocument.deserialize(content=text, format="json")
    except (Error, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckFailedError(f"{path}: {type(error).__name__}: {error}") from None
    said = [str(doubt.message) for doubt in doubts if not issubclass(doubt.category, DeprecationWarning)]
    if said:
        raise CheckFailedError(f"{path}: {'; '.join(said)}")


def _openlineage(path: Path, values: list[Any]) -> None:
    from openlineage.client import event_v2 as model

    for number, value in enumerate(values, start=1):
        try:
            run, job = value["run"], value["job"]
            model.RunEvent(
                eventType=model.RunState[value["eventType"]],
                eventTime=value["eventTime"],
                producer=value["producer"],
                run=model.Run(runId=run["runId"], facets=_facets(run)),
                job=model.Job(namespace=job["namespace"], name=job["name"], facets=_facets(job)),
                inputs=[_dataset(model.InputDataset, dataset) for dataset in value["inputs"]],
                outputs=[_dataset(model.OutputDataset, dataset) for dataset in value["outputs"]],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckFailedError(f"{path}: event {number}: {type(error).__name__}: {error}") from None


def _dataset(kind: Any, value: dict[str, Any]) -> Any:
    facets = {"outputFacets": _facets(value, "outputFacets")} if "outputFacets" in value else {}
    return kind(namespace=value["namespace"], name=value["name"], facets=_facets(value), **facets)


def _facets(value: dict[str, Any], name: str = "facets") -> Any:
    """Facets must say who made them and by which schema, also those that nobody else knows."""
    for facet, fields in value.get(name, {}).items():
        for key in ("_producer", "_schemaURL"):
            if not isinstance(fields, dict) or not str(fields.get(key, "")).startswith("http"):
                raise ValueError(f"facet {facet!r} has no {key}")
    return value.get(name, {})


def _card(path: Path, text: str) -> None:
    # The library takes a text without front matter for an empty card, and says so on standard error alone.
    if not text.lstrip("\ufeff").startswith("---"):
        raise CheckFailedError(f"{path}: no front matter (a card starts with --- and YAML)")
    from huggingface_hub import DatasetCard, DatasetCardData

    try:
        card = DatasetCard(text)
    except (ValueError, TypeError) as error:
        raise CheckFailedError(f"{path}: {error}") from None
    if not isinstance(card.data, DatasetCardData) or not vars(card.data):
        raise CheckFailedError(f"{path}: the front matter holds no fields")

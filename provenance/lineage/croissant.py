"""Croissant 1.1 JSON-LD with origin per row. Knows facts, no catalog.

Croissant has no word for generated text, so origin is schema.org's digitalSourceType with IPTC terms, both as an
annotation of the text field, as the specification asks, and as an ordinary field, because readers yield only those.
"""

from typing import Any

from provenance.errors import ConfigError
from provenance.lineage.facts import PROJECT_URI, Facts, bases_in_words, contradiction, iptc_of

CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
# mlcroissant accepts `equivalentProperty` only as a plain term and schema.org only with https.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "annotation": "cr:annotation",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "iptc": "http://cv.iptc.org/newscodes/digitalsourcetype/",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_DESCRIBED = {
    "doc_id": "Identity of the document: a hash over its corpus, key and text.",
    "text": "The text.",
    "key": "The source's own id, else file and line.",
    "origin": "human, model, mixed or unknown.",
    "generation": "Model generations between this text and human text.",
    "p_model": "Probability that a model wrote it.",
    "basis": "How the origin is known.",
    "weight": "What the document counts for in training.",
}


def croissant(facts: Facts) -> dict[str, Any]:
    """The description of a corpus or mix and its data file. Raises ConfigError without one."""
    if facts.data is None:
        raise ConfigError(
            "Croissant describes a data file, and none was given",
            hint="write one first (corpus export or mix build -o NAME.parquet), then add --data NAME.parquet",
        )
    data = facts.data
    fields = [_field(name, kind) for name, kind in data.columns.items()]
    described: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": facts.name,
        "description": f"{facts.documents:,} documents. Origin: "
        + ", ".join(f"{n:,} {origin}" for origin, n in facts.origins.items())
        + ". How it is known: "
        + ", ".join(f"{n:,} {how}" for how, n in bases_in_words(facts).items())
        + "."
        + (f" {said}" if (said := contradiction(facts)) else ""),
        "conformsTo": CONFORMS_TO,
        "version": f"{facts.version}.0.0",
        "datePublished": facts.created_at.date().isoformat(),
        "creator": {"@type": "sc:Organization", "name": "corpus-provenance", "url": PROJECT_URI},
        "url": facts.source_uris[0] if facts.source_uris else PROJECT_URI,
        "license": list(facts.licenses) or ["unknown"],
        "citeAs": f"{facts.node}, sha256 {facts.sha256}",
        "sc:digitalSourceType": {"@id": f"iptc:{iptc_of(facts.origins)}"},
        "prov:wasDerivedFrom": [{"@id": _urn(parent)} for _, parent in facts.parents],
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "@id": f"urn:uuid:{facts.activity.activity_id}",
            "prov:startedAtTime": facts.activity.started_at.isoformat() + "Z",
            "sc:name": facts.activity.command,
            "sc:softwareVersion": facts.activity.code_version,
        },
        "rai:dataCollection": "Corpora added to a provenance catalog; origin and generation are recorded per document.",
        "rai:machineAnnotationTools": ["corpus-provenance"],
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "data",
                "name": data.name,
                "contentUrl": data.name,
                "contentSize": f"{data.bytes} B",
                # Not the registered vnd.apache.parquet: mlcroissant reads Parquet under this name alone.
                "encodingFormat": "application/x-parquet",
                "sha256": data.sha256,
                "prov:wasDerivedFrom": {"@id": f"urn:sha256:{facts.sha256}"},
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "documents",
                "name": "documents",
                "key": {"@id": "documents/doc_id"},
                "field": fields,
            }
        ],
    }
    if facts.languages:
        described["inLanguage"] = list(facts.languages)
    return described


def _field(name: str, kind: str) -> dict[str, Any]:
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"documents/{name}",
        "name": name,
        "description": _DESCRIBED.get(name, name.replace("_", " ")),
        "dataType": _type(kind),
        "source": {"fileObject": {"@id": "data"}, "extract": {"column": name}},
    }
    if name == "text":
        field["annotation"] = {
            "@type": "cr:Field",
            "@id": "documents/text/origin",
            "name": "origin of the text",
            "description": "human, model, mixed or unknown; see the crosswalk to IPTC in origin-vocabulary.json.",
            "dataType": "sc:Text",
            "equivalentProperty": "https://schema.org/digitalSourceType",
            "source": {"fileObject": {"@id": "data"}, "extract": {"column": "origin"}},
        }
    return field


def _type(kind: str) -> str:
    if kind.startswith(("int", "uint")):
        return "sc:Integer"
    if kind.startswith(("float", "double", "halffloat")):
        return "sc:Float"
    if kind.startswith("timestamp"):
        return "sc:Date"
    return "sc:Text"


def _urn(node: str) -> str:
    return f"urn:provenance:{node}"

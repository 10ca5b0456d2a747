"""OpenLineage 2 run events for the command that made a corpus or mix. Knows facts, no catalog.

The origin of the documents travels in a facet of our own, `corpusProvenance_origin`, because OpenLineage has none.
"""

from datetime import datetime
from typing import Any

from provenance.lineage.facts import PROJECT_URI, Facts, iptc_of

SCHEMA_URL = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
NAMESPACE = "corpus-provenance"
_VERSION_URL = "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json"
_STATISTICS_URL = "https://openlineage.io/spec/facets/1-0-2/OutputStatisticsOutputDatasetFacet.json"
_FACET_URL = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/DatasetFacet"


def run_events(facts: Facts) -> list[dict[str, Any]]:
    """The START and COMPLETE events of the activity, in order."""
    made = facts.activity
    run: dict[str, Any] = {"runId": made.activity_id, "facets": {}}
    job: dict[str, Any] = {"namespace": NAMESPACE, "name": made.command, "facets": {}}
    inputs = [_dataset(node) for _, node in facts.parents]
    output = _dataset(facts.node)
    output["facets"] = {
        "version": _facet(_VERSION_URL, datasetVersion=f"sha256:{facts.sha256}"),
        "corpusProvenance_origin": _facet(
            _FACET_URL,
            origins=facts.origins,
            generations={"unknown" if g is None else str(g): n for g, n in facts.generations.items()},
            generators=facts.generators,
            digitalSourceType=f"http://cv.iptc.org/newscodes/digitalsourcetype/{iptc_of(facts.origins)}",
        ),
    }
    output["outputFacets"] = {"outputStatistics": _facet(_STATISTICS_URL, rowCount=facts.documents, size=facts.n_chars)}
    common = {"run": run, "job": job, "producer": PROJECT_URI, "schemaURL": SCHEMA_URL}
    return [
        {"eventType": "START", "eventTime": _time(made.started_at), **common, "inputs": inputs, "outputs": []},
        {
            "eventType": "COMPLETE",
            "eventTime": _time(made.ended_at or made.started_at),
            **common,
            "inputs": inputs,
            "outputs": [output],
        },
    ]


def _dataset(node: str) -> dict[str, Any]:
    return {"namespace": NAMESPACE, "name": node, "facets": {}}


def _facet(schema_url: str, **fields: Any) -> dict[str, Any]:
    return {"_producer": PROJECT_URI, "_schemaURL": schema_url, **fields}


def _time(value: datetime) -> str:
    return value.isoformat(timespec="microseconds") + "Z"

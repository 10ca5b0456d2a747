"""W3C PROV-JSON: entities, activities and agents behind a corpus or mix. Knows facts, no catalog.

Documents are counted, not listed: PROV libraries hold every statement in memory, and the catalog's `lineage` view has
the documents.
"""

from datetime import datetime
from typing import Any

from provenance.lineage.facts import PROJECT_URI, Facts, iptc_of


def prov_json(facts: Facts) -> dict[str, Any]:
    """The graph of named nodes above a corpus or mix, with the activity that made it."""
    made = facts.activity
    entity: dict[str, Any] = {
        _id(facts.node): {
            "prov:label": facts.node,
            "prov:type": {"$": "prov:Collection", "type": "prov:QUALIFIED_NAME"},
            "cp:sha256": facts.sha256,
            "cp:documents": {"$": facts.documents, "type": "xsd:long"},
            "cp:digitalSourceType": f"http://cv.iptc.org/newscodes/digitalsourcetype/{iptc_of(facts.origins)}",
            **{f"cp:origin_{origin}": {"$": n, "type": "xsd:long"} for origin, n in sorted(facts.origins.items())},
        }
    }
    derived: dict[str, Any] = {}
    activity_id = f"cp:activity_{made.activity_id}"
    used: dict[str, Any] = {}
    for number, (node, relation, distance) in enumerate(facts.ancestry):
        entity[_id(node)] = {"prov:label": node}
        if distance == min(d for _, _, d in facts.ancestry):
            derived[f"_:d{number}"] = {
                "prov:generatedEntity": _id(facts.node), "prov:usedEntity": _id(node), "cp:relation": relation,
            }  # fmt: skip
            used[f"_:u{number}"] = {"prov:activity": activity_id, "prov:entity": _id(node)}
        else:
            derived[f"_:d{number}"] = {
                "prov:generatedEntity": _id(facts.node), "prov:usedEntity": _id(node), "cp:relation": relation,
                "cp:distance": {"$": distance, "type": "xsd:int"},
            }  # fmt: skip
    activity: dict[str, Any] = {
        "prov:startTime": _time(made.started_at),
        "prov:label": made.command,
        "cp:codeVersion": made.code_version,
    }
    if made.ended_at is not None:
        activity["prov:endTime"] = _time(made.ended_at)
    agent = "cp:corpus-provenance"
    return {
        "prefix": {
            "cp": f"{PROJECT_URI}ns#",
            "prov": "http://www.w3.org/ns/prov#",
            "xsd": "http://www.w3.org/2001/XMLSchema#",
        },
        "entity": entity,
        "activity": {activity_id: activity},
        "agent": {
            agent: {
                "prov:type": {"$": "prov:SoftwareAgent", "type": "prov:QUALIFIED_NAME"},
                "prov:label": f"corpus-provenance {made.code_version}",
            }
        },
        "wasGeneratedBy": {
            "_:g0": {"prov:entity": _id(facts.node), "prov:activity": activity_id, "prov:time": _time(made.started_at)}
        },
        "wasAssociatedWith": {"_:a0": {"prov:activity": activity_id, "prov:agent": agent}},
        **({"used": used} if used else {}),
        **({"wasDerivedFrom": derived} if derived else {}),
    }


def _id(node: str) -> str:
    """A qualified name: PROV-JSON wants prefix:local, and local names keep to letters, digits, '-', '_' and '.'."""
    return "cp:" + "".join(c if c.isalnum() or c in "-_." else f"_{ord(c):x}_" for c in node)


def _time(value: datetime) -> str:
    return value.isoformat() + "+00:00"

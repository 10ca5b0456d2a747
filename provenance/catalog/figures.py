"""The numbers of an experiment's figure, as plain data: series with bands and closed forms, published points beside.

Knows rows and the experiment's `[figure]` table; draws nothing.
"""

from typing import TYPE_CHECKING, Any

import orjson

from provenance.catalog.experiments import members

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog

SQL = """
SELECT e.experiment, e.config -> 'point' AS point, r.policy, m.generation, avg(m.value) AS y,
    CASE WHEN count(*) > 1 THEN min(m.value) ELSE any_value(m.low) END AS low,
    CASE WHEN count(*) > 1 THEN max(m.value) ELSE any_value(m.high) END AS high,
    avg(m.expected) AS expected, any_value(m.unit) AS unit
FROM metric_row m JOIN experiment_run r USING (run_id) JOIN experiment e USING (experiment)
WHERE e.experiment IN (SELECT unnest(?::VARCHAR[])) AND m.metric = ? AND m.subgroup = '' AND m.value IS NOT NULL
GROUP BY e.experiment, e.config, e.created_at, r.policy, m.generation
ORDER BY e.created_at, r.policy, m.generation
"""


def figure_of(catalog: "Catalog", name: str) -> dict[str, Any] | None:
    """The figure of an experiment or family; None where its file describes none. Raises NotFoundError.

    `series` holds `{"name", "points": [{"x", "y", "low", "high", "expected"}]}`: y is the mean over seeds, low and high
    their range, or with one seed the 5 % and 95 % quantiles over replicas; expected is the closed form where one is
    known. `published` holds `{"x", "y", "spread", "series"}`.
    """
    found = members(catalog, name)
    with catalog.read() as con:
        config = orjson.loads(
            con.execute("SELECT config FROM experiment WHERE experiment = ?", [found[0]]).fetchall()[0][0]
        )
        asked = config.get("figure")
        if asked is None:
            return None
        rows = con.execute(SQL, [found, asked["metric"]]).fetchall()
    series: dict[str, list[dict[str, Any]]] = {}
    for _, point_json, policy, generation, y, low, high, expected, _ in rows:
        point = orjson.loads(point_json)
        if asked["x"] == "generation":
            x, rest = generation, point
        elif asked["x"] not in point:
            continue  # a policy that the figure's axis does not touch
        else:
            x, rest = point[asked["x"]], {axis: value for axis, value in point.items() if axis != asked["x"]}
        label = ", ".join([policy, *(f"{axis} {value}" for axis, value in rest.items())])
        points = series.setdefault(label, [])
        here = {"x": x, "y": y, "low": low, "high": high, "expected": expected}
        if points and points[-1]["x"] == x:
            # Over a sweep one generation is shown: rows come in order, so the first stays or the last wins.
            if asked["at"] == "last":
                points[-1] = here
        else:
            points.append(here)
    return {
        "name": name,
        "description": config["description"],
        "metric": asked["metric"],
        "unit": rows[0][8] if rows else "",
        "x": asked["x"],
        "log_x": asked["log_x"],
        "log_y": asked["log_y"],
        "series": [{"name": label, "points": points} for label, points in series.items()],
        "published": asked["published"],
        "source": asked["source"],
    }

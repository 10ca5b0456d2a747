"""The language-model experiment as numbers that can be committed: every metric, policy, seed and generation of one run.

It runs nothing and computes nothing: `provenance experiment run lm-cpu` did. From the catalog's folder:

    python …/bench/lm_recursion.py lm-cpu lm_recursion_cpu
"""

import argparse
from pathlib import Path
from typing import Any

from machine import machine, write_result

from provenance.catalog.store import Catalog

_LEFT_OUT = ("sample_perplexity", "sample_perplexity_histogram")  # whole distributions: the report draws them


def collect(experiment: str) -> dict[str, Any]:
    """{metric: {policy: {seed: [value of generation 0, 1, …]}}} of an experiment of the catalog here."""
    with Catalog.find(Path.cwd()).read() as con:
        rows = con.execute(
            """
            SELECT rtrim(m.metric || ' ' || m.subgroup), r.policy, r.seed, list(m.value ORDER BY m.generation)
            FROM metrics m JOIN runs r USING (run_id)
            WHERE r.experiment = ? AND NOT list_contains(?, m.metric) GROUP BY ALL ORDER BY ALL
            """,
            [experiment, list(_LEFT_OUT)],
        ).fetchall()
        devices = con.execute(
            "SELECT DISTINCT device FROM runs WHERE experiment = ? ORDER BY ALL", [experiment]
        ).fetchall()
        seconds = con.execute(
            "SELECT sum(g.seconds) FROM generations g JOIN runs r USING (run_id) WHERE r.experiment = ?", [experiment]
        ).fetchone()
    values: dict[str, Any] = {}
    for metric, policy, seed, by_generation in rows:
        values.setdefault(metric, {}).setdefault(policy, {})[str(seed)] = by_generation
    return {
        "experiment": experiment,
        "devices": [device for (device,) in devices],
        "wall_seconds": seconds[0] if seconds else None,
        "metrics": values,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment")
    parser.add_argument("name", help="of the file in bench/results")
    asked = parser.parse_args()
    print(write_result(asked.name, {**collect(asked.experiment), "machine": machine()}))

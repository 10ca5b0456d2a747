"""What experiments came to: tables over policies, generations and seeds, and which runs are not at their end.

A mean over seeds is given where every run that was started has a value there: over some of them it would hide the one
that collapsed, or that was killed.
"""

from typing import TYPE_CHECKING, Any

import orjson

from provenance.catalog.experiments import LIST_COLUMNS, list_experiments, members
from provenance.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog


SHOW_COLUMNS = [
    "experiment", "policy", "metric", "first", "last", "change", "seed_low", "seed_high", "generation", "seeds",
    "better", "unit",
]  # fmt: skip


def show_experiment(catalog: "Catalog", name: str) -> list[tuple[Any, ...]]:
    """Per policy and metric: mean over seeds at the first and the last generation, and the last one's range.

    The last generation is the last that all seeds have reached.
    """
    found = members(catalog, name)
    with catalog.read() as con:
        return con.execute(
            """
            WITH reached AS (
                SELECT r.experiment, r.policy, m.metric, r.run_id, max(m.generation) AS generation
                FROM metric_row m JOIN experiment_run r USING (run_id)
                WHERE r.experiment IN (SELECT unnest($found::VARCHAR[])) AND m.subgroup = '' GROUP BY ALL),
            ends AS (SELECT experiment, policy, metric, min(generation) AS last FROM reached GROUP BY ALL),
            numbers AS (
                SELECT e.*, m.generation, m.unit, m.higher_is_better, CASE WHEN bool_and(m.value IS NOT NULL)
                    OVER (PARTITION BY experiment, policy, metric, m.generation) THEN m.value END AS value
                FROM metric_row m JOIN experiment_run r USING (run_id) JOIN ends e USING (experiment, policy, metric)
                WHERE m.subgroup = '')
            SELECT experiment, policy, metric,
                avg(value) FILTER (generation = 0), avg(value) FILTER (generation = last),
                avg(value) FILTER (generation = last) - avg(value) FILTER (generation = 0),
                min(value) FILTER (generation = last), max(value) FILTER (generation = last),
                last, count(*) FILTER (generation = last),
                CASE any_value(higher_is_better) WHEN true THEN 'higher' WHEN false THEN 'lower' END, any_value(unit)
            FROM numbers GROUP BY experiment, policy, metric, last
            ORDER BY list_position($found::VARCHAR[], experiment), metric, policy
            """,
            {"found": found},
        ).fetchall()


def last_generation(catalog: "Catalog", name: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """A table of the last generation: a row per metric, a column per policy (mean over seeds).

    Of a sweep, which would be such a table per point, a row per point: how far it got. Raises NotFoundError.
    """
    found = members(catalog, name)
    if len(found) > 1:
        return LIST_COLUMNS, [row for row in list_experiments(catalog) if row[0] in found]
    shown = [dict(zip(SHOW_COLUMNS, row, strict=True)) for row in show_experiment(catalog, found[0])]
    policies = sorted({row["policy"] for row in shown})
    last = {(row["metric"], row["policy"]): row["last"] for row in shown}
    metrics = {row["metric"]: (row["better"], row["unit"]) for row in shown}
    return ["metric", *policies, "better", "unit"], [
        (metric, *(last.get((metric, policy)) for policy in policies), *about) for metric, about in metrics.items()
    ]


def last_values(
    catalog: "Catalog", name: str, metric: str
) -> list[tuple[dict[str, Any], str, int, float | None, float | None]]:
    """Of every run of an experiment or family: its place in the sweep, policy, seed, the metric's last value and error.

    The value is None where the last generation could not be measured, whatever earlier ones had.
    """
    found = members(catalog, name)
    with catalog.read() as con:
        rows = con.execute(
            """
            SELECT e.config -> 'point', r.policy, r.seed,
                arg_max_null(m.value, m.generation), arg_max_null(m.stderr, m.generation)
            FROM metric_row m JOIN experiment_run r USING (run_id) JOIN experiment e USING (experiment)
            WHERE e.experiment IN (SELECT unnest(?::VARCHAR[])) AND m.metric = ? AND m.subgroup = ''
            GROUP BY e.experiment, e.config, e.created_at, r.policy, r.seed ORDER BY e.created_at, r.policy, r.seed
            """,
            [found, metric],
        ).fetchall()
    return [(orjson.loads(row[0]), row[1], row[2], row[3], row[4]) for row in rows]


def stationary_values(catalog: "Catalog", name: str, metric: str, policy: str) -> list[tuple[int, float, float | None]]:
    """Seed, mean of a metric over generations after the first, and last standard error, of a policy's whole runs."""
    with catalog.read() as con:
        return con.execute(
            """
            SELECT r.seed, avg(m.value), arg_max_null(m.stderr, m.generation)
            FROM metric_row m JOIN experiment_run r USING (run_id)
            WHERE r.experiment = ? AND r.policy = ? AND m.metric = ? AND m.subgroup = '' AND m.generation > 0
            GROUP BY r.seed HAVING count(m.value) = count(*) ORDER BY r.seed
            """,
            [name, policy, metric],
        ).fetchall()


def compare_policies(catalog: "Catalog", name: str, metric: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """A table of one metric: a row per generation, a column per policy, means over seeds.

    Raises NotFoundError, and UsageError for a sweep, which is as many tables as it has points.
    """
    found = members(catalog, name)
    if len(found) > 1:
        raise UsageError(
            f"{name!r} is a sweep of {len(found)} experiments, each with its own generations",
            hint=f"name one: {', '.join(found[:3])} …; or see them all: provenance report build {name}",
        )
    with catalog.read() as con:
        known = con.execute(
            "SELECT DISTINCT metric FROM metric_row JOIN experiment_run USING (run_id) WHERE experiment = ?", found
        ).fetchall()
        if (metric,) not in known:
            raise NotFoundError.of("metric", metric, (row[0] for row in known))
        rows = con.execute(
            """
            WITH run AS (SELECT *, count(*) OVER (PARTITION BY policy) AS runs FROM experiment_run WHERE experiment = ?)
            SELECT generation, policy, CASE WHEN count(value) = any_value(runs) THEN avg(value) END
            FROM metric_row JOIN run USING (run_id)
            WHERE metric = ? AND subgroup = '' GROUP BY ALL ORDER BY ALL
            """,
            [*found, metric],
        ).fetchall()
    policies = sorted({row[1] for row in rows})
    values = {(generation, policy): value for generation, policy, value in rows}
    generations = sorted({row[0] for row in rows})
    return ["generation", *policies], [(g, *(values.get((g, policy)) for policy in policies)) for g in generations]


def unfinished(catalog: "Catalog", name: str) -> list[tuple[str, str, int, int, int]]:
    """Runs that are not at their end: experiment, policy, seed, the generation they have reached (-1: none) and it.

    Those that were never begun are among them.
    """
    found = members(catalog, name)
    with catalog.read() as con:
        plans = con.execute(
            "SELECT experiment, config FROM experiment WHERE experiment IN (SELECT unnest(?::VARCHAR[])) ORDER BY ALL",
            [found],
        ).fetchall()
        reached = con.execute(
            """
            SELECT r.experiment, r.policy, r.seed, max(g.generation)
            FROM experiment_run r JOIN generation_row g USING (run_id)
            WHERE r.experiment IN (SELECT unnest(?::VARCHAR[])) GROUP BY ALL
            """,
            [found],
        ).fetchall()
    got = {(experiment, policy, seed): generation for experiment, policy, seed, generation in reached}
    late = []
    for experiment, written in plans:
        config = orjson.loads(written)
        for policy in sorted(filter(None, map(_policy_name, config["policies"]))):
            for seed in config["seeds"]:
                at = got.get((experiment, policy, seed), -1)
                if at < config["generations"]:
                    late.append((experiment, policy, seed, at, config["generations"]))
    return late


def _policy_name(written: str | dict[str, Any]) -> str:
    """Nothing of a file: earlier versions kept its path, which may lead nowhere by now."""
    if isinstance(written, dict):
        return str(written["name"])
    return "" if written.endswith(".toml") else written


def human_shares(catalog: "Catalog", name: str) -> dict[str, float]:
    """Of each policy's training sets after the first, the share that no model of the experiment wrote; their mean."""
    with catalog.read() as con:
        rows = con.execute(
            """
            SELECT r.policy, g.trained_on, list('corpus:' || g.sampled_corpus) OVER ()
            FROM generation_row g JOIN experiment_run r USING (run_id) WHERE r.experiment = ? QUALIFY g.generation > 0
            """,
            [name],
        ).fetchall()
    shares: dict[str, list[float]] = {}
    for policy, trained_on, written in rows:
        counts = orjson.loads(trained_on)
        made = sum(n for node, n in counts.items() if node in written or node.startswith("generation-"))
        shares.setdefault(policy, []).append(1 - made / max(sum(counts.values()), 1))
    return {policy: sum(found) / len(found) for policy, found in shares.items()}


def policies_of(catalog: "Catalog", name: str) -> dict[str, dict[str, Any]]:
    """The policies of an experiment's runs, as they were written down."""
    with catalog.read() as con:
        rows = con.execute(
            "SELECT DISTINCT policy, policy_json FROM experiment_run WHERE experiment = ?", [name]
        ).fetchall()
    return {policy: orjson.loads(written) for policy, written in rows}

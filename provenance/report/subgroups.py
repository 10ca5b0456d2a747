"""Charts of metrics that have a value per subgroup: who vanishes first, and how the perplexity of texts is spread.

Knows the public views; nothing of HTML.
"""

from typing import TYPE_CHECKING

from provenance.catalog.query import run_query
from provenance.report.parts import Chart, Series

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog

HISTOGRAM = "sample_perplexity_histogram"
"""Its subgroups are the lower edges of bins: a curve for a generation, not for a subgroup."""
MOST_LINES = 8

SUBGROUP_SQL = """select policy, generation, subgroup, avg(value) as mean, min(value) as low, max(value) as high,
    any_value(unit) as unit, count(distinct seed) as seeds
from metrics join runs using (run_id)
where experiment = $experiment and metric = $metric and subgroup <> ''
group by all having count(value) = count(*) order by policy, subgroup, generation"""


def subgroup_charts(catalog: "Catalog", experiment: str) -> list[Chart]:
    """A chart for each such metric and policy; none where a metric has more subgroups than can be told apart."""
    metrics = run_query(
        catalog,
        """select metric from metrics join runs using (run_id) where experiment = $experiment and subgroup <> ''
        group by metric having count(distinct generation) > 1 order by metric""",
        {"experiment": experiment},
    ).rows
    return [chart for (metric,) in metrics for chart in _charts(catalog, experiment, metric)]


def _charts(catalog: "Catalog", experiment: str, metric: str) -> list[Chart]:
    rows = run_query(catalog, SUBGROUP_SQL, {"experiment": experiment, "metric": metric}).rows
    charts = []
    for policy in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == policy]
        series = _spread(mine) if metric == HISTOGRAM else _by_subgroup(mine)
        if len(series) > MOST_LINES:
            continue
        seeds = max(row[7] for row in mine)
        band = f"mean of {seeds} seeds" if seeds > 1 else "one seed"
        charts.append(
            Chart(
                title=f"{metric.replace('_', ' ')}: {policy}",
                x_label="perplexity under generation 0" if metric == HISTOGRAM else "generation",
                y_label="share of texts" if metric == HISTOGRAM else mine[0][6],
                note=band,
                series=series,
                sql=SUBGROUP_SQL.replace("$experiment", f"'{experiment}'").replace("$metric", f"'{metric}'"),
                log_x=metric == HISTOGRAM,
            )
        )
    return charts


def _by_subgroup(rows: list[tuple]) -> list[Series]:  # type: ignore[type-arg]
    """A line for each subgroup over the generations."""
    found = []
    for name in dict.fromkeys(row[2] for row in rows):
        mine = [row for row in rows if row[2] == name]
        found.append(_line(name, [(float(row[1]), row[3], row[4], row[5]) for row in mine]))
    return found


def _spread(rows: list[tuple]) -> list[Series]:  # type: ignore[type-arg]
    """A curve over the bins for the first, a middle and the last generation; a bin that nothing fell into is 0.

    So is a seed's part in a bin that it has nothing in: a row's mean is over the seeds that have.
    """
    generations, of = sorted({row[1] for row in rows}), max(row[7] for row in rows)
    edges = sorted({float(row[2]) for row in rows})
    found = []
    for generation in dict.fromkeys((generations[0], generations[len(generations) // 2], generations[-1])):
        here = {float(row[2]): row[3] * row[7] / of for row in rows if row[1] == generation}
        points = [(edge, here.get(edge, 0.0), here.get(edge, 0.0), here.get(edge, 0.0)) for edge in edges]
        found.append(_line(f"generation {generation}", points))
    return found


def _line(name: str, points: list[tuple[float, float, float, float]]) -> Series:
    x, y, low, high = (list(column) for column in zip(*points, strict=True))
    return Series(name=name, x=x, y=y, low=low, high=high, expected=[None] * len(points))

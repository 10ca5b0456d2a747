"""The price of lost provenance as a heat map: what is in its cells. Knows the catalog's numbers; draws nothing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provenance.errors import ConfigError

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog

SQL = """select experiments.config->>'point' as point, policy, seed, arg_max_null(value, generation) as value
from metrics join runs using (run_id) join experiments using (experiment)
where coalesce(experiments.config->>'family', experiment) = $family and metric = $metric and subgroup = ''
group by all order by all"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The smallest share of verified human data that is enough, with its band. None: more than was tried."""

    smallest: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A phase diagram: one panel per policy, the first setting down, the others across."""

    title: str
    note: str
    row_label: str
    """What the rows are: usually the model's share of the web."""
    rows: list[str]
    panels: dict[str, list[str]]
    """Columns of each policy; one empty name where nothing else was varied for it."""
    cells: dict[tuple[str, str, str], Cell]
    """By policy, row and column."""
    largest: float
    """The largest share that was tried."""
    sql: str


def phase_of(catalog: "Catalog", family: str, config: dict[str, Any]) -> Phase | None:
    """The phase diagram of a family whose experiment file has a [price] table; None for others."""
    if config.get("price") is None:
        return None
    from provenance.recursion.priced import price_of

    try:
        priced = price_of(catalog, family)
    except ConfigError:  # started, and nothing measured so far
        return None
    down = priced.axes[0] if priced.axes else ""
    rows: list[str] = []
    panels: dict[str, list[str]] = {}
    cells = {}
    for point in priced.points:
        row = str(point.setting[down]) if down else ""
        column = ", ".join(f"{axis} {value}" for axis, value in point.setting.items() if axis != down)
        if row not in rows:
            rows.append(row)
        columns = panels.setdefault(point.policy, [])
        if column not in columns:
            columns.append(column)
        cells[point.policy, row, column] = Cell(smallest=point.smallest, low=point.low, high=point.high)
    better = "at least" if priced.higher_is_better else "at most"
    control = "" if priced.control is None else f" (real data alone: {priced.control:.3g})"
    return Phase(
        title=f"{family}: the price of lost provenance",
        note=(
            f"Smallest share of verified human data in every training set, in %, that keeps {priced.metric} {better} "
            f"{priced.level:g}{control} at the last generation; below it the 95 % band. {config['description']}"
        ),
        row_label=down.replace("_", " "),
        rows=rows,
        panels=panels,
        cells=cells,
        largest=priced.largest,
        sql=SQL.replace("$family", f"'{family}'").replace("$metric", f"'{priced.metric}'"),
    )

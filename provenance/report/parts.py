"""What a report is made of, as plain data. Knows no catalog and no HTML."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from provenance.report.phase import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a chart, with its band (smallest to largest over seeds)."""

    name: str
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]
    expected: list[float | None]
    """The closed form at each x where one is known, drawn dashed."""

    def at(self, x: float) -> float | None:
        """The value at x; None where there is none."""
        return self.y[self.x.index(x)] if x in self.x else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPoint:
    """A number somebody printed, drawn as a ring; `spread` is the standard deviation over the source's repeats."""

    x: float
    y: float
    spread: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Curves and the SQL they came from."""

    title: str
    x_label: str
    y_label: str
    note: str
    series: list[Series]
    sql: str
    log_x: bool = False
    log_y: bool = False
    published: list[PublishedPoint] = field(default_factory=list)
    source: str = ""
    """Where the published points, or the figure that this one repeats, are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows and the SQL they came from."""

    title: str
    note: str
    columns: list[str]
    rows: list[tuple[Any, ...]]
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleText:
    """One generated text, to be read beside others."""

    generation: int
    text: str
    doc_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePicture:
    """What an image model made in one generation."""

    generation: int
    width: int
    png_base64: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Everything a report shows of one experiment."""

    name: str
    world: str
    policies: list[str]
    seeds: int
    generations: int
    device: str
    charts: list[Chart]
    subgroups: list[Chart]
    """Metrics with a value per subgroup, a chart for each policy."""
    final: Table
    samples: dict[str, list[SampleText]] = field(default_factory=dict)
    pictures: dict[str, list[SamplePicture]]
    """Per policy, texts of rising generation from the first seed."""

    @property
    def has_closed_form(self) -> bool:
        """Whether theory is drawn beside any curve."""
        return any(value is not None for chart in self.charts for line in chart.series for value in line.expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole report."""

    title: str
    made_at: datetime
    version: str
    tables: list[Table]
    experiments: list[Experiment]
    figures: list[Chart] = field(default_factory=list)
    """The figure of each recipe that describes one, sweeps included."""
    phases: list[Phase] = field(default_factory=list)
    """The phase diagram of each sweep that asks for a price."""

"""A collected report to one HTML file that opens without a network. The only module that knows HTML templates."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from provenance.report.charts import colours_of, line_chart
from provenance.report.heatmap import heat_map
from provenance.report.parts import Report


def render(report: Report) -> str:
    """The report as HTML. Everything is inline: style, charts, texts."""
    template = files("provenance.report").joinpath("template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = _cell
    environment.filters["numeric"] = lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    charts, subgroups = {}, {}
    for experiment in report.experiments:
        colours = colours_of(experiment.policies)
        charts[experiment.name] = [(chart, Markup(line_chart(chart, colours))) for chart in experiment.charts]  # noqa: S704
        # Subgroups are not policies: they have colours of their own.
        subgroups[experiment.name] = [
            (chart, Markup(line_chart(chart, colours_of([s.name for s in chart.series]))))  # noqa: S704
            for chart in experiment.subgroups
        ]
    figures = [(f, Markup(line_chart(f, colours_of([s.name for s in f.series])))) for f in report.figures]  # noqa: S704
    phases = [(phase, Markup(heat_map(phase))) for phase in report.phases]  # noqa: S704
    return environment.from_string(template).render(
        report=report, charts=charts, subgroups=subgroups, figures=figures, phases=phases
    )


def write_report(report: Report, path: Path) -> None:
    """Write the report to `path`; a file already there is replaced only when the new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(render(report), encoding="utf-8")
    part.replace(path)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 1e12):
        return f"{value:,.0f}"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e3 <= abs(value) < 1e12 else f"{value:,.4g}"
    return str(value)

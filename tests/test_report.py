"""The report: numbers, charts and one file that needs no network."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import Result

from provenance.catalog.query import run_query
from provenance.catalog.store import Catalog
from provenance.report.charts import colours_of, line_chart, log_ticks, short, ticks
from provenance.report.collect import collect
from provenance.report.parts import Chart, PublishedPoint, Report, Series
from provenance.report.render import render
from provenance.report.subgroups import _spread


def chart(*series: Series) -> Chart:
    return Chart(title="t", x_label="generation", y_label="bits", note="", series=list(series), sql="select 1")


def series(name: str, values: list[float], expected: list[float | None] | None = None) -> Series:
    n = len(values)
    return Series(
        name=name,
        x=[float(i) for i in range(n)],
        y=values,
        low=[v - 0.1 for v in values],
        high=[v + 0.1 for v in values],
        expected=expected or [None] * n,
    )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (0.12, 0.31, [0.15, 0.2, 0.25, 0.3]), (5, 5, [5]), (-1, 1, [-1, -0.5, 0, 0.5, 1])],
)
def test_ticks_are_round_numbers_inside_the_range(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (0.35, "0.35"),
        (1200.0, "1200"),
        (50_000.0, "50k"),
        (-250_000.0, "-250k"),
        (2.5e6, "2.5M"),
        (3e9, "3G"),
    ],
)
def test_a_tick_is_short_enough_to_stand_left_of_the_axis(value: float, expected: str) -> None:
    assert short(value) == expected


def test_a_larger_value_is_drawn_higher() -> None:
    svg = line_chart(chart(series("a", [1.0, 2.0])), colours_of(["a"]))
    heights = [float(y) for y in re.findall(r"<circle cx='[\d.]+' cy='([\d.]+)'", svg)]
    assert heights[0] > heights[1]


def test_end_labels_do_not_cover_each_other() -> None:
    names = [f"p{i}" for i in range(6)]
    svg = line_chart(chart(*(series(n, [1.0, 1.0 + i / 1000]) for i, n in enumerate(names))), colours_of(names))
    heights = sorted(float(y) for y in re.findall(r"class='name' x='[\d.]+' y='([\d.]+)'", svg))
    assert min(b - a for a, b in pairwise(heights)) >= 12.9


def test_values_that_are_not_finite_are_left_out_and_none_is_said() -> None:
    assert "nan" not in line_chart(chart(series("a", [1.0, math.nan, 2.0])), colours_of(["a"])).lower()
    assert "no finite values" in line_chart(chart(series("a", [math.nan])), colours_of(["a"]))
    assert "no finite values" in line_chart(chart(), {})


def test_names_from_data_cannot_write_markup() -> None:
    name = "<script>alert(1)</script>"
    svg = line_chart(chart(series(name, [1.0, 2.0])), colours_of([name]))
    assert "<script" not in svg


def test_bands_are_left_out_where_so_many_would_hide_each_other():
    few, many = ([f"policy-{i}" for i in range(n)] for n in (8, 9))
    for names, bands in ((few, 8), (many, 0)):
        svg = line_chart(chart(*(series(n, [1.0, 2.0]) for n in names)), colours_of(names))
        assert svg.count("class='band'") == bands


def test_the_closed_form_is_drawn_where_it_is_known() -> None:
    assert "class='theory'" in line_chart(chart(series("a", [1.0, 2.0], [1.0, 1.9])), colours_of(["a"]))
    assert "class='theory'" not in line_chart(chart(series("a", [1.0, 2.0])), colours_of(["a"]))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(1, 1000, [1, 10, 100, 1000]), (3, 40, [5, 10, 20]), (0.02, 0.09, [0.02, 0.05]), (6, 7, [6])],
)
def test_ticks_of_a_logarithmic_axis_are_powers_of_ten_or_their_twos_and_fives(
    low: float, high: float, expected: list[float]
) -> None:
    assert log_ticks(low, high) == pytest.approx(expected)


def test_equal_ratios_are_equal_steps_on_a_logarithmic_axis_and_zeros_have_no_place() -> None:
    drawn = replace(chart(series("a", [0.0, 1.0, 10.0, 100.0])), log_y=True)
    heights = [float(y) for y in re.findall(r"<circle cx='[\d.]+' cy='([\d.]+)'", line_chart(drawn, colours_of(["a"])))]
    assert len(heights) == 3
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)


def test_a_published_number_is_a_ring_where_our_own_would_stand() -> None:
    point = PublishedPoint(x=1.0, y=2.0, spread=0.1)
    svg = line_chart(replace(chart(series("a", [1.0, 2.0])), published=[point]), colours_of(["a"]))
    ours = re.findall(r"<circle (cx='[\d.]+' cy='[\d.]+')", svg)[-1]
    assert f"class='published' {ours}" in svg
    assert "published: 2 ± 0.1" in svg


def test_a_sweep_is_one_figure_and_no_section_for_each_of_its_points(
    catalog: Catalog, run: Callable[..., Result], tmp_path: Path
) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(
        """
        name = "sweep"
        world = "gaussian"
        generations = 1
        policies = ["replace"]
        budget = { documents = 10 }
        model = { replicas = 50 }
        sweep = [{ name = "samples", keys = ["budget.documents"], values = [10, 30, 100] }]
        [figure]
        metric = "fitted_sd"
        x = "samples"
        log_x = true
        source = "somewhere"
        published = [{ x = 10, y = 0.92 }]
        """
    )
    assert run("experiment", "run", path).exit_code == 0
    report = collect(catalog, experiments=["sweep"])
    assert report.experiments == []
    (figure,) = report.figures
    assert {tuple(s.x) for s in figure.series} == {(10.0, 30.0, 100.0)}
    assert len(run_query(catalog, figure.sql).rows) == 3 * 2 * 2
    assert "class='published'" in render(report)


def test_an_empty_catalog_has_an_empty_report(catalog: Catalog) -> None:
    report = collect(catalog)
    assert report.tables == []
    assert report.experiments == []
    assert "<h1>" in render(report)


def test_an_unknown_experiment_is_one_error(run: Callable[..., Result]) -> None:
    result = run("report", "build", "nothing", "--dry-run")
    assert result.exit_code == 2
    assert "no experiment named 'nothing'" in result.stderr


class Links(HTMLParser):
    """Collects everything a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in {"src", "href"} and value]
        if tag in {"script", "link", "iframe", "img"}:
            self.found.append(tag)


def test_a_report_fetches_nothing_and_replaces_the_old_one_whole(
    run: Callable[..., Result], tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    run("corpus", "add", "c", write_jsonl("a.jsonl", [{"text": "one <b>bold</b> text"}]), "--origin", "human")
    path = tmp_path / "out" / "report.html"
    for _ in range(2):
        assert run("report", "build", "-o", path).exit_code == 0
    html = path.read_text(encoding="utf-8")
    links = Links()
    links.feed(html)
    assert links.found == []
    assert "url(" not in html
    assert "Documents by origin" in html
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_what_an_experiment_wrote_is_one_line_among_the_corpora(
    run: Callable[..., Result], catalog: Catalog, tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    rows = [{"text": f"the cat number {i} sat on the mat by the door {'and slept ' * (i % 3)}again"} for i in range(30)]
    run("corpus", "add", "cats", write_jsonl("a.jsonl", rows), "--origin", "human")
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        'name = "tiny"\nworld = "ngram"\ngenerations = 2\nseeds = [0]\npolicies = ["replace"]\n'
        'budget = { documents = 9 }\n[real]\ncorpus = "cats"\n'
    )
    assert run("experiment", "run", recipe).exit_code == 0
    tables = {table.title: table.rows for table in collect(catalog).tables}
    assert [row[0] for row in tables["Corpora"]] == ["cats@1"]
    by_origin = [(row[0], row[1], row[2]) for row in tables["Documents by origin"]]
    assert by_origin[0] == ("cats", "human", 0)
    assert by_origin[1:] == [("experiment tiny", "model", depth) for depth in (1, 2, 3)]
    assert {row[0] for row in tables["Tags by basis"]} == {"experiment tiny"}


def test_a_report_says_when_and_by_which_version_it_was_made() -> None:
    report = Report(title="T", made_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC), version="9.9", tables=[], experiments=[])
    assert "2026-01-02 03:04 UTC by corpus-provenance 9.9" in render(report)


def test_bins_that_a_seed_has_nothing_in_count_as_nothing() -> None:
    rows = [
        ("replace", 0, "4", 0.6, 0.6, 0.6, "fraction", 2),
        ("replace", 0, "8", 0.8, 0.8, 0.8, "fraction", 1),
        ("replace", 2, "8", 1.0, 1.0, 1.0, "fraction", 2),
    ]
    first, last = _spread(rows)
    assert (first.name, first.x, first.y) == ("generation 0", [4.0, 8.0], [0.6, 0.4])
    assert (last.name, last.y) == ("generation 2", [0.0, 1.0])


def test_who_vanishes_has_a_chart_for_each_policy_with_a_line_for_each_subgroup(
    run: Callable[..., Result], catalog: Catalog, write_jsonl: Callable[..., Path], tmp_path: Path
) -> None:
    north = [{"text": f"the sheep on hill {i} graze in snow and wind", "place": "north"} for i in range(30)]
    south = [{"text": f"the boats near pier {i} sail in sun and waves", "place": "south"} for i in range(30)]
    path = write_jsonl("t.jsonl", [*north, *south])
    assert run("corpus", "add", "tales", path, "--origin", "human", "--subgroup-field", "place").exit_code == 0
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'name = "tale"\nworld = "ngram"\ngenerations = 2\npolicies = ["replace"]\n'
        'real = {corpus = "tales", held_out = 0.3}\nbudget = {documents = 20}\n'
    )
    assert run("experiment", "run", recipe).exit_code == 0
    (experiment,) = collect(catalog).experiments
    assert [chart.title for chart in experiment.subgroups] == ["representation: control", "representation: replace"]
    for chart in experiment.subgroups:
        assert [line.name for line in chart.series] == ["north", "south"]
        assert [line.x for line in chart.series] == [[0.0, 1.0, 2.0]] * 2
        asked = run_query(catalog, chart.sql).rows
        assert {row[2] for row in asked} == {"north", "south"}

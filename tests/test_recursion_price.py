"""Where a curve crosses its level, and how sure that is; sweeps that make the curves."""

import json
import math
import re
from dataclasses import replace

import pytest

from provenance.catalog.outcomes import SHOW_COLUMNS, compare_policies, last_values, show_experiment
from provenance.catalog.query import run_query
from provenance.errors import ConfigError
from provenance.recursion.config import experiments_of
from provenance.recursion.price import Observation, price
from provenance.recursion.theory.web import Web, drift, smallest_verified
from provenance.report.collect import collect
from provenance.report.heatmap import heat_map
from provenance.report.phase import Cell, Phase


def seen(amount, value, *, stderr=0.0, policy="p", seed=0, **setting):
    return Observation(point={"verified": amount, **setting}, policy=policy, value=value, stderr=stderr, seed=seed)


def only(observations, **how):
    (point,) = price(observations, axis="verified", **{"level": 1.0, "higher_is_better": False, **how})
    return point


def test_the_price_is_where_the_line_between_two_amounts_crosses_the_level():
    point = only([seen(0, 3.0), seen(10, 2.0), seen(20, 0.0)])
    assert (point.smallest, point.low, point.high) == (15.0, 15.0, 15.0)


def test_the_band_is_where_the_ends_of_the_confidence_interval_cross():
    point = only([seen(0, 2.0, stderr=0.1), seen(10, 0.0, stderr=0.1)])
    assert point.smallest == pytest.approx(5.0)
    assert point.low == pytest.approx(5.0 - 1.95996 * 0.1 * 5, rel=1e-5)
    assert point.high == pytest.approx(5.0 + 1.95996 * 0.1 * 5, rel=1e-5)


def test_higher_may_be_better():
    point = only([seen(0, 0.0, stderr=0.1), seen(10, 2.0, stderr=0.1)], higher_is_better=True)
    assert point.smallest == pytest.approx(5.0)
    assert point.low < point.smallest < point.high


def test_nothing_may_be_needed_and_nothing_may_be_enough():
    assert only([seen(0, 0.5), seen(10, 0.1)]).smallest == 0.0
    assert only([seen(0, 3.0), seen(10, 2.0)]).smallest is None


def test_a_dip_below_the_level_that_does_not_last_is_not_enough():
    assert only([seen(0, 3.0), seen(10, 0.5), seen(20, 2.0), seen(30, 0.0)]).smallest == 25.0


def test_seeds_are_averaged_and_their_spread_is_the_error_where_there_are_no_replicas():
    observations = [
        seen(x, y + shift, stderr=None, seed=s)
        for x, y in ((0, 2.0), (10, 0.0))
        for s, shift in ((0, 0.01), (1, -0.01))
    ]
    point = only(observations)
    assert point.smallest == pytest.approx(5.0)
    # Standard error of two values 0.02 apart is 0.01; Student's t with one degree of freedom is 12.706 at 97.5 %.
    assert point.high == pytest.approx(5.0 + 12.706 * 0.01 * 5, rel=1e-5)
    assert only([seen(0, 2.0, stderr=None), seen(10, 0.0, stderr=None)]).high is None


def test_each_policy_and_setting_has_its_own_point():
    observations = [seen(x, 2.0 - x, policy=p, tpr=t) for p in "ab" for t in (0.5, 0.9) for x in (0, 2)]
    points = price(observations, axis="verified", level=1.0, higher_is_better=False)
    assert [(point.policy, point.setting["tpr"]) for point in points] == [
        ("a", 0.5),
        ("a", 0.9),
        ("b", 0.5),
        ("b", 0.9),
    ]


BASE = {
    "name": "sweepy",
    "world": "gaussian",
    "generations": 1,
    "policies": [{"name": "mine", "share": [{"where": "true", "take": 1}, {"where": "age = 1", "share": 1.0}]}],
    "budget": {"documents": 20},
}


def test_a_sweep_is_every_combination_with_its_place_in_the_name():
    axes = [
        {"name": "n", "keys": ["budget.documents"], "values": [20, 30]},
        {"name": "kept", "keys": ["policies.0.share.0.take", "model.replicas"], "values": [1, 2]},
    ]
    found = experiments_of({**BASE, "sweep": axes}, "x.toml")
    assert [one.name for one in found] == [
        "sweepy.n-20.kept-1",
        "sweepy.n-20.kept-2",
        "sweepy.n-30.kept-1",
        "sweepy.n-30.kept-2",
    ]
    assert found[3].budget.documents == 30
    assert found[3].policies[0].shares[0].take == 2
    assert found[3].model == {"replicas": 2}
    assert found[3].point == {"n": 30, "kept": 2}
    assert {one.family for one in found} == {"sweepy"}


def test_a_policy_that_no_detector_can_change_is_not_run_for_each_detector():
    blind = {"name": "blind", "share": [{"where": "age = 1", "share": 1.0}]}
    asking = {"name": "asking", "share": [{"where": "age = 1", "weight": "1 - p_model", "share": 1.0}]}
    tables = {
        **BASE,
        "policies": [blind, asking, "detected"],
        "detector": {"simulated": {"true_positive_rate": 0.5, "false_positive_rate": 0.1}},
        "sweep": [
            {"name": "n", "keys": ["budget.documents"], "values": [20, 30]},
            {"name": "tpr", "keys": ["detector.simulated.true_positive_rate"], "values": [0.5, 0.9]},
        ],
    }
    ran = [(sorted(p.name for p in one.resolved_policies()), one.point) for one in experiments_of(tables, "x.toml")]
    assert ran == [
        (["blind", "control"], {"n": 20}),
        (["blind", "control"], {"n": 30}),
        (["asking", "control", "detected"], {"n": 20, "tpr": 0.5}),
        (["asking", "control", "detected"], {"n": 20, "tpr": 0.9}),
        (["asking", "control", "detected"], {"n": 30, "tpr": 0.5}),
        (["asking", "control", "detected"], {"n": 30, "tpr": 0.9}),
    ]
    only_blind = {**tables, "policies": [blind]}
    assert len(experiments_of(only_blind, "x.toml")) == 4


@pytest.mark.parametrize("key", ["policies.7.name", "name.x", "policies.first"])
def test_a_sweep_key_that_leads_nowhere_is_named(key):
    with pytest.raises(ConfigError, match=f"sweep key '{key}' leads nowhere"):
        experiments_of({**BASE, "sweep": [{"name": "a", "keys": [key], "values": [1]}]}, "x.toml")


def test_a_sweep_value_that_is_wrong_is_named_with_its_point():
    with pytest.raises(ConfigError, match=r"x\.toml, sweepy\.n-0: budget\.documents"):
        experiments_of({**BASE, "sweep": [{"name": "n", "keys": ["budget.documents"], "values": [20, 0]}]}, "x.toml")


def test_a_figure_over_a_sweep_has_a_point_per_value_and_published_numbers_beside(run, catalog, tmp_path):
    from provenance.catalog.figures import figure_of

    file = tmp_path / "figure.toml"
    file.write_text(
        """
name = "sigma"
world = "gaussian"
generations = 2
policies = ["replace"]
[budget]
documents = 20
[model]
replicas = 400
[[sweep]]
name = "n"
keys = ["budget.documents"]
values = [20, 40]
[figure]
metric = "fitted_sd"
x = "n"
at = "first"
published = [{ x = 20, y = 0.96, spread = 0.1 }]
"""
    )
    assert run("experiment", "run", file, "--json").exit_code == 0
    figure = figure_of(catalog, "sigma")
    assert [series["name"] for series in figure["series"]] == ["control", "replace"]
    points = figure["series"][1]["points"]
    assert [point["x"] for point in points] == [20, 40]
    assert all(point["low"] < point["y"] < point["high"] for point in points)
    assert all(abs(point["y"] - point["expected"]) < 4 * 0.16 / 20 for point in points)
    assert figure["published"] == [{"x": 20.0, "y": 0.96, "spread": 0.1, "series": ""}]


PRICED = """
name = "priced"
world = "gaussian"
generations = 5
record_every = 5
writes = 200
[[policies]]
name = "unfiltered"
[[policies.share]]
where = "generation = 0 and arrived = 0"
take = 0
[[policies.share]]
where = "arrived = (select max(arrived) from pool)"
share = 1.0
[real]
arrivals = 20
[budget]
documents = 20
[model]
replicas = 50
[[sweep]]
name = "verified"
keys = ["policies.0.share.0.take"]
values = [0, 10]
[price]
metric = "w2_squared"
level = 10.0
axis = "verified"
"""


def test_the_command_and_the_report_price_a_swept_experiment(run, catalog, tmp_path):
    file = tmp_path / "price.toml"
    file.write_text(PRICED)
    ran = run("experiment", "run", file, "--json")
    assert ran.exit_code == 0
    priced = json.loads(run("experiment", "price", "priced", "--json").stdout)
    assert json.loads(ran.stdout) == priced
    assert priced["columns"] == ["policy", "smallest", "low", "high"]
    assert {row["policy"]: row["smallest"] for row in priced["rows"]} == {"unfiltered": 0.0}
    strict = json.loads(run("experiment", "price", "priced", "--level", "0.0001", "--json").stdout)
    assert {row["smallest"] for row in strict["rows"]} == {None}
    assert run("experiment", "price", "absent").exit_code == 2
    resumed = run("experiment", "resume", "priced")
    assert "24 generations in 4 runs, 24 of them kept or shared" in resumed.stderr
    (phase,) = collect(catalog).phases
    assert phase.panels == {"unfiltered": [""]}
    assert phase.cells == {("unfiltered", "", ""): Cell(smallest=0.0, low=0.0, high=0.0)}
    assert phase.largest == 0.5  # 10 of 20 documents
    assert run_query(catalog, phase.sql).rows
    assert run("experiment", "rm", "priced").exit_code == 0
    assert run("experiment", "ls", "--json").stdout.count("priced") == 0


def test_a_run_whose_last_generation_has_no_value_is_not_ranked_by_an_earlier_one(run, catalog, tmp_path):
    file = tmp_path / "price.toml"
    file.write_text("seeds = [0, 1]\n" + PRICED)
    assert run("experiment", "run", file, "--json").exit_code == 0
    collapsed = "SELECT run_id FROM experiment_run WHERE policy = 'unfiltered' AND experiment LIKE '%-10' AND seed = 1"
    with catalog.write() as con:
        con.execute(
            "UPDATE metric_row SET value = NULL, low = NULL, high = NULL, stderr = NULL "
            f"WHERE metric = 'w2_squared' AND generation = 5 AND run_id = ({collapsed})"
        )
    values = {
        (p["verified"], policy, seed): v for p, policy, seed, v, _ in last_values(catalog, "priced", "w2_squared")
    }
    assert len(values) == 8
    assert [at for at, value in values.items() if value is None] == [(10, "unfiltered", 1)]
    shown = [dict(zip(SHOW_COLUMNS, row, strict=True)) for row in show_experiment(catalog, "priced")]
    none = [
        (row["experiment"], row["policy"]) for row in shown if row["last"] is None and row["metric"] == "w2_squared"
    ]
    assert none == [("priced.verified-10", "unfiltered")]
    one = next(row for row in shown if (row["experiment"], row["policy"], row["metric"]) == (*none[0], "w2_squared"))
    assert one["first"] > 0
    assert one["change"] is one["seed_low"] is one["seed_high"] is None
    columns, rows = compare_policies(catalog, "priced.verified-10", "w2_squared")
    assert [dict(zip(columns, row, strict=True))["unfiltered"] is None for row in rows] == [False, True]
    # The larger amount is not enough any more, so neither is the smaller one.
    priced = json.loads(run("experiment", "price", "priced", "--json").stdout)
    assert priced["rows"] == [{"policy": "unfiltered", "smallest": None, "low": None, "high": None}]
    (phase,) = collect(catalog).phases
    assert phase.cells == {("unfiltered", "", ""): Cell(smallest=None, low=None, high=None)}
    assert sum(row[-1] is None for row in run_query(catalog, phase.sql).rows) == 1


def test_what_could_not_be_measured_is_never_good_enough():
    for higher in (False, True):
        healthy = 9.0 if higher else 0.1
        points = [seen(0, None, stderr=None), seen(10, healthy, stderr=0.0)]
        assert only(points, higher_is_better=higher).smallest == 10.0
        among_seeds = [seen(10, None, stderr=None, seed=1), *points]
        point = only(among_seeds, higher_is_better=higher)
        assert (point.smallest, point.low, point.high) == (None, None, None)


def test_a_phase_diagram_shows_number_and_band_and_says_when_nothing_was_enough():
    cells = {
        ("detected", "0.9", "tpr 0.5, fpr 0.1"): Cell(smallest=0.125, low=0.1, high=0.15),
        ("detected", "0.9", "tpr 0.9, fpr 0.1"): Cell(smallest=0.0, low=0.0, high=0.0),
        ("<b>", "0.9", ""): Cell(smallest=None, low=0.7, high=None),
    }
    phase = Phase(
        title="t", note="n", row_label="model share", rows=["0.9"],
        panels={"detected": ["tpr 0.5, fpr 0.1", "tpr 0.9, fpr 0.1"], "<b>": [""]}, cells=cells, largest=0.8, sql="",
    )  # fmt: skip
    svg = heat_map(phase)
    assert svg.count("<rect") == 3
    in_cells = re.findall(r"style='fill:#[^>]+>([^<>]+)</text>", svg)
    assert in_cells == ["12", "10 to 15", "0", "&gt; 80", "70 to &gt; 80"]
    assert "&lt;b&gt;" in svg
    assert "<b>" not in svg
    assert "nothing was measured" in heat_map(replace(phase, cells={}))


def test_the_price_of_the_closed_form_lies_where_its_drift_crosses_the_level():
    web = Web(budget=100, verified=0, arrivals=111, writes=1000)
    level = 0.02
    amount = smallest_verified(20, web, level)
    around = [drift(20, replace(web, verified=n)) for n in (int(amount), int(amount) + 1)]
    assert around[0] > level >= around[1]
    assert smallest_verified(20, web, 1.0) == 0.0
    assert smallest_verified(20, web, 0.001) == math.inf


def test_the_closed_form_of_a_web_without_models_or_archive_is_one_fit():
    # All new human data every time: 1 / n. All from the model's own samples: replace's law, 1 - (1 - 1 / n)^fits.
    fresh = Web(budget=50, verified=0, arrivals=10**6, writes=100, true_positive_rate=1.0)
    assert drift(30, fresh) == pytest.approx(1 / 50)
    closed = Web(budget=50, verified=0, arrivals=0, writes=50)
    assert drift(30, closed) == pytest.approx(1 - (1 - 1 / 50) ** 30)
    # The archive alone, always the same 50.
    assert drift(30, replace(closed, verified=50)) == pytest.approx(1 / 50)

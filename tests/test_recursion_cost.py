"""What lost provenance costs, from numbers made by hand; and what `experiment compare` says of a run experiment."""

import json
from dataclasses import asdict

import pytest

from provenance.errors import UsageError
from provenance.recursion.cost import Run, costs, statements

BY_HAND = [
    *(Run(policy="control", seed=seed, value=value) for seed, value in enumerate([10.0, 12.0])),
    *(Run(policy="replace", seed=seed, value=value) for seed, value in enumerate([30.0, 34.0])),
    *(Run(policy="detected", seed=seed, value=value) for seed, value in enumerate([15.0, 17.5])),
    *(Run(policy="keep", seed=seed, value=value) for seed, value in enumerate([10.5, 12.5])),
]
SHARES = {"control": 1.0, "replace": 0.0, "detected": 0.6, "keep": 0.3}


def by_policy(runs=BY_HAND, *, sign=1.0, within=0.1):
    found = costs(runs, sign=sign, within=within, human_share=SHARES, detectors={"detected"})
    return found, {one.policy: one for one in found}


def test_costs_are_differences_to_the_control_seed_by_seed():
    found, named = by_policy()
    assert [one.policy for one in found] == ["control", "detected", "keep", "replace"]
    # Differences 20 and 22: mean 21, standard error 1, Student's t of one degree of freedom 12.706.
    assert named["replace"].cost == pytest.approx((21.0, 21 - 12.706, 21 + 12.706), abs=1e-3)
    # 1 - 10.5 / 42, and each seed alone says the same.
    assert named["detected"].bought_back == pytest.approx((0.75, 0.75, 0.75))
    assert named["keep"].cost == pytest.approx((0.5, 0.5, 0.5))
    assert named["control"].cost is None
    assert named["replace"].bought_back is None


def test_a_policy_holds_where_its_whole_interval_does():
    _, named = by_policy(within=0.05)  # a band of 0.55 around the control's 11
    assert (named["keep"].holds, named["detected"].holds, named["replace"].holds) == (True, False, False)
    _, named = by_policy(within=1.9)  # 20.9: inside the interval of `replace`
    assert named["replace"].holds is None


def test_what_the_numbers_say_is_said_in_words():
    found, _ = by_policy()
    assert statements(found, "perplexity", within=0.1) == [
        "lost provenance costs 21 [8.294, 33.71] of perplexity: replace has 32, the control 11",
        "the detector (detected) buys back 75% [75%, 75%] of that",
        "keep buys back 98% [96%, 99%] of that",
        "the smallest share of human text that holds perplexity within 10% of the control: 30.0% (keep)",
    ]
    assert statements(by_policy(within=0.01)[0], "perplexity", within=0.01)[-1] == (
        "no policy surely holds perplexity within 1% of the control"
    )
    assert statements([], "perplexity", within=0.1) == []


def test_where_nothing_is_lost_nothing_is_bought_back():
    runs = [
        *(Run(policy="control", seed=0, value=value) for value in (10.0,)),
        *(Run(policy=name, seed=0, value=9.0) for name in ("replace", "keep")),
    ]
    found, named = by_policy(runs)
    assert named["keep"].bought_back is None
    assert statements(found, "perplexity", within=0.1)[0] == (
        "lost provenance costs nothing that perplexity shows: replace has 9, the control 10"
    )


def test_a_seed_that_lost_next_to_nothing_does_not_blow_up_what_is_bought_back():
    runs = [
        Run(policy=policy, seed=seed, value=value)
        for policy, values in {
            "control": [1.0, 1.0, 1.0, 1.0], "replace": [1.5, 1.4, 1.1, 1.45], "oracle": [1.01, 1.0, 1.02, 1.0],
        }.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip
    share, low, high = by_policy(runs)[1]["oracle"].bought_back
    assert share == pytest.approx(1 - 0.03 / 1.45)
    assert 0.9 < low < share < high < 1.05
    # Where nothing may be lost, nothing is said to be bought back.
    runs = [run for run in runs if run.seed in (2, 3)]
    assert by_policy(runs)[1]["oracle"].bought_back is None


def test_a_policy_with_a_collapsed_run_has_no_mean_and_holds_nothing():
    found, named = by_policy([*BY_HAND[:-1], Run(policy="keep", seed=1, value=None)])
    assert (named["keep"].value, named["keep"].cost, named["keep"].holds) == (None, None, False)
    assert statements(found, "perplexity", within=0.1)[0] == (
        "keep has no value of perplexity at the end of some run: no mean is taken"
    )


def test_one_run_holds_nothing_surely():
    runs = [Run(policy=name, seed=0, value=value) for name, value in (("control", 10.0), ("keep", 10.1))]
    assert by_policy(runs)[1]["keep"].holds is None


def test_of_a_metric_to_be_high_less_is_a_cost():
    runs = [Run(policy="control", seed=0, value=0.9), Run(policy="replace", seed=0, value=0.2)]
    _, named = by_policy(runs, sign=-1.0)
    assert named["replace"].cost == (pytest.approx(0.7), None, None)


def test_replicas_of_one_seed_give_an_interval_too():
    runs = [
        Run(policy="control", seed=0, value=1.0, stderr=0.3),
        Run(policy="replace", seed=0, value=3.0, stderr=0.4),
    ]
    _, named = by_policy(runs)
    assert named["replace"].cost == pytest.approx((2.0, 2 - 1.96 * 0.5, 2 + 1.96 * 0.5), abs=1e-3)


RECIPE = """
name = "loop"
world = "gaussian"
generations = 5
seeds = [0, 1]
policies = ["replace", "accumulate", { name = "detected", budget = { on_shortfall = "upsample" }, share = [
  { where = "p_model < 0.5", share = 1.0 },
] }]
budget = { documents = 20 }
model = { replicas = 50 }
detector = { simulated = { true_positive_rate = 0.9, false_positive_rate = 0.1 } }
"""


def test_compare_states_costs_and_which_runs_are_not_finished(run, catalog, tmp_path):
    file = tmp_path / "loop.toml"
    file.write_text(RECIPE)
    assert run("experiment", "run", str(file)).exit_code == 0
    result = run("experiment", "compare", "loop", "w2_squared", "--json")
    said = json.loads(result.stdout)
    assert [cost["policy"] for cost in said["costs"]] == ["control", "accumulate", "detected", "replace"]
    shares = {cost["policy"]: cost["human_share"] for cost in said["costs"]}
    assert (shares["control"], shares["replace"]) == (1.0, 0.0)
    assert shares["accumulate"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4 + 1 / 5 + 1 / 6) / 5)
    assert said["statements"][0].startswith("lost provenance costs ")
    assert "the detector (detected) buys back" in said["statements"][1]
    assert "not finished" not in result.stderr
    values = [row["control"] for row in said["rows"][1:]]
    assert said["costs"][0]["value"][0] == pytest.approx(sum(values) / len(values))
    neither = json.loads(run("experiment", "compare", "loop", "variance", "--json").stdout)
    assert neither["costs"] == neither["statements"] == []
    file.write_text(RECIPE.replace("generations = 5", "generations = 7"))
    assert run("experiment", "run", str(file), "--only", "replace-s0").exit_code == 0
    result = run("experiment", "show", "loop")
    assert "not finished: loop/accumulate-s0 at 5 of 7" in result.stderr
    rows = json.loads(run("experiment", "show", "loop", "--json").stdout)["rows"]
    assert {(row["policy"], row["generation"], row["seeds"]) for row in rows} == {
        (policy, 5, 2) for policy in ("accumulate", "control", "detected", "replace")
    }
    said = json.loads(run("experiment", "compare", "loop", "w2_squared", "--json").stdout)
    assert said["rows"][6]["replace"] is None  # of two seeds one is there
    assert [cost["policy"] for cost in said["costs"]] == ["replace"]


def test_runs_that_were_never_begun_are_not_finished(run, catalog, tmp_path):
    file = tmp_path / "loop.toml"
    (tmp_path / "mine.toml").write_text('name = "mine"\n[[share]]\nwhere = "age = 1"\nshare = 1.0\n')
    file.write_text(RECIPE.replace('"accumulate"', '"mine.toml"'))
    assert run("experiment", "run", str(file), "--only", "replace-s0").exit_code == 0
    result = run("experiment", "compare", "loop", "w2_squared")
    assert (
        "not finished: loop/control-s0 not begun, loop/control-s1 not begun, loop/detected-s0 not begun"
        in result.stderr
    )
    assert "and 2 more" in result.stderr
    (tmp_path / "mine.toml").unlink()
    assert run("experiment", "resume", "loop").exit_code == 0
    assert "not finished" not in run("experiment", "compare", "loop", "w2_squared").stderr


def test_a_sweep_is_compared_point_by_point(run, catalog, tmp_path):
    file = tmp_path / "loop.toml"
    sweep = '[[sweep]]\nname = "size"\nkeys = ["budget.documents"]\nvalues = [10, 20]\n'
    file.write_text(RECIPE + sweep)
    assert run("experiment", "run", str(file)).exit_code == 0
    result = run("experiment", "compare", "loop", "w2_squared")
    assert result.exit_code == UsageError.exit_code
    assert "is a sweep of 2 experiments" in result.stderr
    assert "loop.size-10" in result.stderr
    assert run("experiment", "compare", "loop.size-10", "w2_squared").exit_code == 0


def test_costs_are_plain_values_for_json():
    found, _ = by_policy()
    assert json.loads(json.dumps([asdict(one) for one in found]))[0]["policy"] == "control"

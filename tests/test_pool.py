"""The evaluator of share SQL: right answers, and nothing but answers."""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from provenance.catalog.pool import PoolEvaluator
from provenance.errors import QueryError
from provenance.mixing.policy import Share

POOL = pa.table(
    {
        "generation": [0, 1, 2, 2],
        "p_model": [0.1, None, 0.9, 0.5],
        "origin": ["human", "model", "model", "model"],
    }
)


def evaluate(**share):
    with PoolEvaluator() as evaluator:
        return evaluator.evaluate(POOL, [Share(**{"share": 1.0, **share})], policy="p")[0]


def test_a_predicate_says_true_false_and_null_counts_as_false():
    assert evaluate(where="p_model < 0.6").matches.tolist() == [True, False, False, True]


def test_weights_are_numbers_on_the_rows_drawn_from():
    said = evaluate(where="p_model is not null", weight="pow(1 - p_model, 2)")
    assert said.weight == pytest.approx([0.81, 0.0, 0.01, 0.25])


def test_an_order_ranks_every_row_and_ties_go_by_row():
    assert evaluate(order="generation desc").rank.tolist() == [3, 2, 0, 1]


def test_a_predicate_may_look_at_the_pool_as_a_whole():
    assert evaluate(where="generation = (select max(generation) from pool)").matches.tolist() == [0, 0, 1, 1]


def test_comments_do_not_swallow_the_closing_bracket():
    assert evaluate(where="generation = 0 -- real").matches.tolist() == [True, False, False, False]


def test_an_empty_pool_gives_empty_answers():
    with PoolEvaluator() as evaluator:
        said = evaluator.evaluate(POOL.slice(0, 0), [Share(where="generation = 0", share=1.0)], policy="p")[0]
    assert said.matches.shape == (0,)
    assert said.matches.dtype == np.bool_


def test_rows_come_back_in_the_pools_order_however_many():
    n = 50_000
    pool = pa.table({"x": np.arange(n)})
    with PoolEvaluator() as evaluator:
        said = evaluator.evaluate(pool, [Share(where="x % 7 = 3", share=1.0, weight="x")], policy="p")[0]
    assert np.array_equal(said.matches, np.arange(n) % 7 == 3)
    assert np.array_equal(said.weight[said.matches], np.arange(n)[np.arange(n) % 7 == 3])


def test_an_unknown_column_is_named_and_the_nearest_suggested():
    with pytest.raises(QueryError, match=r"share 1 of policy 'p'.*unknown column 'origine'") as caught:
        evaluate(where="origine = 'human'")
    assert caught.value.hint.startswith("did you mean 'origin'?")


@pytest.mark.parametrize(
    "where",
    [
        "exists(select * from read_csv('/etc/passwd'))",
        "(select count(*) from '/etc/passwd') > 0",
        "(select count(*) from duckdb_settings()) > 0",
        "true) from pool; copy pool to '/tmp/x'; select (true",
        "true) union all select (true",
        "true) from pool, pool p2 where (true",
        "true; drop table pool",
        "generation from pool) or (select true",
        "random() < 0.5",
        "RANDOM() < 0.5",
        "now() > '2020-01-01'",
        "current_date > '2020-01-01'",
        "age(timestamp '2020-01-01') > interval 1 year",
        "generation in (select generation from pool tablesample 50%)",
        "generation in (select generation from pool using sample 2)",
        "reservoir_quantile(p_model, 0.5) over () > 0",
        "getenv('HOME') is not null",
        "(select count(*) from pragma_database_size()) > 0",
        "exists(with pool as (from read_text('/etc/hostname')) from pool)",
        "exists(from pool union from read_text('/etc/hostname'))",
        "sum(p_model) > 1",
        "count(*) > 1",
        "unnest([true, false])",
        "columns(*) is not null",
        "columns('generation|p_model') = 1",
        "_row = 1",
        "origin =",
        "'not a boolean'",
    ],
)
def test_what_is_not_one_repeatable_expression_over_the_pool_is_refused(where):
    with pytest.raises(QueryError):
        evaluate(where=where)


@pytest.mark.parametrize(
    "where",
    [
        "-generation + 1 = 0",
        "year(timestamp '2020-05-01') = 2020",
        "date_trunc('month', timestamp '2020-05-09') = date '2020-05-01'",
        "age(timestamp '2020-05-01', timestamp '2020-04-01') = interval 1 month",
        "hour(timestamptz '2020-05-01 03:00:00+00') = 3",
    ],
)
def test_arithmetic_and_parts_of_dates_are_repeatable(where):
    assert evaluate(where=where).matches.any()


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_the_machines_time_zone_changes_no_answer(zone, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert evaluate(where="hour(timestamp '2020-01-01 05:00'::timestamptz) = 5").matches.all()
        assert evaluate(where="timestamp '2020-01-01' = timestamptz '2020-01-01 00:00+00'").matches.all()
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_aggregate_is_refused_with_the_way_to_ask_for_it():
    with pytest.raises(QueryError, match="one answer for the whole pool") as caught:
        evaluate(where="p_model > avg(p_model)")
    assert "subquery" in caught.value.hint


def test_a_file_cannot_be_written_through_a_weight(tmp_path: Path):
    target = tmp_path / "out.csv"
    with pytest.raises(QueryError):
        evaluate(weight=f"1) from pool; copy pool to '{target}'; select (1")
    assert not target.exists()


def test_several_threads_and_chunks_give_the_answers_of_one():
    n = 400_000
    pool = pa.concat_tables([pa.table({"x": part}) for part in np.array_split(np.arange(n), 7)])
    shares = [Share(where="x % 7 = 3", share=0.5, weight="x"), Share(share=0.5, order="-x")]
    with PoolEvaluator() as one, PoolEvaluator(threads=4) as four:
        for a, b in zip(one.evaluate(pool, shares, policy="p"), four.evaluate(pool, shares, policy="p"), strict=True):
            assert np.array_equal(a.matches, b.matches)
        assert np.array_equal(b.rank, n - 1 - np.arange(n))


def test_the_share_at_fault_is_named():
    shares = [Share(where="generation = 0", share=0.5), Share(where="origin::INTEGER = 1", share=0.5)]
    with PoolEvaluator() as evaluator, pytest.raises(QueryError, match="share 2 of policy 'p'"):
        evaluator.evaluate(POOL, shares, policy="p")


@pytest.mark.parametrize("weight", ["-1", "p_model", "1e308 * 10", "sqrt(-generation)"])
def test_a_weight_that_is_no_number_of_at_least_0_is_refused(weight):
    with pytest.raises(QueryError):
        evaluate(weight=weight)


def test_the_evaluator_goes_on_after_an_error():
    with PoolEvaluator() as evaluator:
        with pytest.raises(QueryError):
            evaluator.evaluate(POOL, [Share(where="nope", share=1.0)], policy="p")
        said = evaluator.evaluate(POOL, [Share(where="generation = 0", share=1.0)], policy="p")
    assert said[0].matches.tolist() == [True, False, False, False]

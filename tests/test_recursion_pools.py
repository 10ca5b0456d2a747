"""The two pools: what policies see and draw, documents and cohorts."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.catalog.pool import Evaluated, PoolEvaluator
from provenance.errors import ConfigError, DataError
from provenance.mixing.policy import Budget, MixPolicy, Share, load_policy
from provenance.recursion.cohort_draw import draw_counts
from provenance.recursion.cohorts import CohortPool
from provenance.recursion.config import Detection, Real, SimulatedDetector, Verifier
from provenance.recursion.documents import DocumentPool, RealTexts, posterior, simulated_scores, simulated_verdicts
from provenance.recursion.engine import turns
from provenance.recursion.models.categorical import CategoricalWorld
from provenance.recursion.models.gaussian import GaussianWorld
from provenance.recursion.models.ngram import NgramWorld
from provenance.recursion.models.verifier import VerifierWorld
from provenance.seeds import stream

TEXTS = [
    f"the {a} {b} sees a {c}" for a in ("red", "old", "big") for b in ("cat", "dog") for c in ("hat", "car", "cup")
]


def real_texts(**columns):
    ids = [hashlib.sha256(text.encode()).digest()[:16] for text in TEXTS]
    return RealTexts(ids=ids, texts=TEXTS, held_out=["the red fox"], **columns)


def policy(*shares, **budget):
    return MixPolicy(name="p", share=list(shares), budget=Budget(**budget))


@pytest.fixture
def evaluator():
    with PoolEvaluator() as opened:
        yield opened


def document_pool(evaluator, *, documents=8, seed=0, detect=None, **columns):
    world = NgramWorld(TEXTS, {}, {})
    return world, DocumentPool(
        world, real_texts(**columns), seed=seed, budget=Budget(documents=documents), evaluator=evaluator, detect=detect
    )


def cohort_pool(evaluator, *, samples=50, real=None, detection=None, world=None, seed=0):
    world = world or GaussianWorld({"replicas": 4}, {})
    return world, CohortPool(
        world, real or Real(), seed=seed, budget=Budget(documents=samples), evaluator=evaluator, detection=detection
    )


def step(world, pool, training, generation):
    return pool.write(world.fit(training.parts, stream(0)), generation=generation)


def test_the_newest_texts_have_age_1_and_real_ones_grow_old(evaluator):
    world, pool = document_pool(evaluator)
    assert set(pool.table(0)["age"].to_pylist()) == {1}
    step(world, pool, pool.begin(), 0)
    table = pool.table(1)
    assert sorted(set(zip(table["generation"].to_pylist(), table["age"].to_pylist(), strict=True))) == [(0, 2), (1, 1)]
    assert set(table["origin"].to_pylist()) == {"human", "model"}


def test_replace_draws_only_what_the_last_generation_wrote(evaluator):
    world, pool = document_pool(evaluator)
    for generation in range(3):
        training = pool.begin() if generation == 0 else pool.draw(load_policy("replace"), generation=generation)
        assert training.trained_on == ({"real": 8} if generation == 0 else {f"generation-{generation - 1}": 8})
        step(world, pool, training, generation)


def test_accumulate_keeps_the_first_training_set_and_everything_written(evaluator):
    world, pool = document_pool(evaluator)
    step(world, pool, pool.begin(), 0)
    training = pool.draw(load_policy("accumulate"), generation=1)
    assert training.trained_on == {"real": 8, "generation-0": 8}
    step(world, pool, training, 1)
    assert pool.draw(load_policy("accumulate"), generation=2).trained_on == {
        "real": 8, "generation-0": 8, "generation-1": 8,
    }  # fmt: skip


def test_fresh_never_draws_a_real_text_twice_and_runs_out(evaluator):
    world, pool = document_pool(evaluator)
    fresh = policy(Share(where="generation = 0 and uses = 0", share=0.5), Share(where="age = 1", share=0.5))
    training = pool.begin()
    drawn = set(training.record["rows"].tolist())
    for generation in range(3):
        step(world, pool, training, generation)
        if generation == 2:
            with pytest.raises(ConfigError, match=r"share 1 of policy 'p' .* asks for 4 documents and only 2 match"):
                pool.draw(fresh, generation=3)
            return
        training = pool.draw(fresh, generation=generation + 1)
        real = {row for row in training.record["rows"].tolist() if row < len(TEXTS)}
        assert len(real) == 4
        assert not real & drawn
        drawn |= real


def test_every_generation_writes_as_many_tokens_as_the_first_training_set(evaluator):
    world, pool = document_pool(evaluator)
    training = pool.begin()
    n = world.n_tokens(training.parts[0].batch).sum()
    for generation in range(3):
        assert world.n_tokens(step(world, pool, training, generation).samples).sum() == n
        training = pool.draw(load_policy("replace"), generation=generation + 1)


def test_a_budget_of_tokens_that_whole_texts_do_not_fill_can_still_be_written_again(evaluator):
    texts = ["a cat", *(f"the {a} sees a cat and a dog and a bird" for a in ("fox", "owl", "pig"))]
    ids = [hashlib.sha256(text.encode()).digest()[:16] for text in texts]
    world = NgramWorld(texts, {}, {})
    short, long = world.n_tokens(world.encode(texts))[:2].tolist()
    # The short text and one long one go into it, and what is missing is more than the short one holds.
    tokens = 2 * long - 1
    for seed in range(3):
        pool = DocumentPool(
            world, RealTexts(ids=ids, texts=texts, held_out=[]), seed=seed, budget=Budget(tokens=tokens),
            evaluator=evaluator,
        )  # fmt: skip
        training = pool.begin()
        assert world.n_tokens(training.parts[0].batch).sum() == short + long
        step(world, pool, training, 0)
        assert pool.draw(load_policy("replace"), generation=1).trained_on == {"generation-0": 2}


def test_real_texts_arrive_after_the_archive_and_are_all_different(evaluator):
    world = NgramWorld(TEXTS, {}, {})
    pool = DocumentPool(
        world, real_texts(), seed=0, budget=Budget(documents=4), evaluator=evaluator, archive=6, arrivals=5, writes=7
    )
    assert pool.table(0).num_rows == 6
    written = step(world, pool, pool.begin(), 0)
    assert written.n == 7
    table = pool.table(1)
    assert set(table["arrived"].to_pylist()) == {0, 1}
    assert table.num_rows == 6 + 5 + 7
    web = policy(Share(where="arrived = (select max(arrived) from pool)", take="all"))
    assert sum(pool.draw(web, generation=1).trained_on.values()) == 5 + 7
    assert pool.table(2).num_rows == 6 + 5 + 5 + 7
    assert pool.table(3).num_rows == len(TEXTS) + 7


def test_draws_depend_on_ids_and_seed_not_on_the_order_of_the_texts(evaluator):
    world = NgramWorld(TEXTS, {}, {})
    order = np.random.default_rng(0).permutation(len(TEXTS))
    drawn = []
    for rows in (np.arange(len(TEXTS)), order):
        real = RealTexts(ids=[real_texts().ids[i] for i in rows], texts=[TEXTS[i] for i in rows])
        pool = DocumentPool(world, real, seed=3, budget=Budget(documents=5), evaluator=evaluator)
        drawn.append({TEXTS[rows[i]] for i in pool.begin().record["rows"]})
    assert drawn[0] == drawn[1]


def test_a_restored_document_pool_draws_the_same(evaluator):
    world, pool = document_pool(evaluator, detect=SimulatedDetector(true_positive_rate=0.8, false_positive_rate=0.1))
    detected = policy(Share(where="p_model < 0.5", share=1.0), on_shortfall="upsample")
    history = []
    training = pool.begin()
    for generation in range(2):
        history.append((training.record, step(world, pool, training, generation).kept))
        training = pool.draw(detected, generation=generation + 1)
    _, again = document_pool(evaluator, detect=SimulatedDetector(true_positive_rate=0.8, false_positive_rate=0.1))
    for generation, (record, kept) in enumerate(history):
        again.restore(generation=generation, record=record, kept=kept)
    repeated = again.draw(detected, generation=2)
    assert np.array_equal(repeated.record["rows"], training.record["rows"])
    assert again.table(3).equals(pool.table(3))


def test_a_detector_that_is_a_function_reads_the_texts(evaluator):
    def hats(texts):
        return np.array([0.9 if "hat" in text else np.nan for text in texts])

    _, pool = document_pool(evaluator, detect=hats)
    table = pool.table(0)
    said = dict(zip(TEXTS, zip(table["p_model"].to_pylist(), table["tag"].to_pylist(), strict=True), strict=True))
    assert said["the red cat sees a hat"] == (0.9, "model")
    assert said["the red cat sees a car"] == (None, None)


def test_the_detector_is_measured_on_what_every_generation_wrote(evaluator):
    def by_length(texts):
        return np.array([len(text) / 100 for text in texts])

    world, pool = document_pool(evaluator, detect=by_length)
    written = step(world, pool, pool.begin(), 0)
    seen = pool.observe(written)
    assert seen["human_p_model"].tolist() == [len(text) / 100 for text in TEXTS]
    assert seen["sample_p_model"].tolist() == [len(text) / 100 for text in world.texts(written.samples)]
    _, told = document_pool(evaluator, detect=SimulatedDetector(true_positive_rate=0.9, false_positive_rate=0.1))
    assert told.observe(step(world, told, told.begin(), 0)) == {}


@pytest.mark.parametrize(("asks", "measures", "judged"), [(True, False, 8), (False, True, 3), (False, False, 0)])
def test_a_policy_that_asks_for_nothing_has_only_some_texts_judged_for_the_metric(
    evaluator, monkeypatch, asks, measures, judged
):
    monkeypatch.setattr("provenance.recursion.documents.MOST_MEASURED", 3)
    world = NgramWorld(TEXTS, {}, {})
    pool = DocumentPool(
        world, real_texts(), seed=0, budget=Budget(documents=8), evaluator=evaluator,
        detect=lambda texts: np.full(len(texts), 0.3), asks_for_scores=asks, measures_detector=measures,
    )  # fmt: skip
    step(world, pool, pool.begin(), 0)
    written = step(world, pool, pool.draw(load_policy("replace"), generation=1), 1)
    assert np.isfinite(pool.observe(written)["sample_p_model"]).sum() == judged
    assert sum(row["p_model"] is not None for row in pool.table(2).to_pylist() if row["age"] == 1) == judged


def test_tags_of_the_catalog_serve_where_there_is_no_detector(evaluator):
    _, pool = document_pool(evaluator, p_model=[0.25] * len(TEXTS))
    assert set(pool.table(0)["p_model"].to_pylist()) == {0.25}


def test_no_real_texts_are_one_clear_error(evaluator):
    world = NgramWorld(TEXTS, {}, {})
    with pytest.raises(DataError, match="no real documents"):
        DocumentPool(world, RealTexts(ids=[], texts=[]), seed=0, budget=Budget(documents=1), evaluator=evaluator)


def test_a_simulated_detector_errs_at_its_rates_and_says_so():
    detector = SimulatedDetector(true_positive_rate=0.9, false_positive_rate=0.2)
    is_model = np.repeat([True, False], 20_000)
    flagged = simulated_verdicts(detector, is_model, stream(0))
    scores = simulated_scores(detector, flagged)
    for kind, rate in ((True, 0.9), (False, 0.2)):
        share = flagged[is_model == kind].mean()
        assert abs(share - rate) < 4 * np.sqrt(rate * (1 - rate) / 20_000)
    assert np.unique(scores) == pytest.approx([posterior(0.1, 0.8), posterior(0.9, 0.2)])
    assert posterior(0.0, 0.0) == 0.5


@pytest.mark.parametrize(("caught", "false"), [(0.2, 0.2), (0.0, 0.0), (0.1, 0.6), (0.9, 0.1)])
def test_a_simulated_detectors_tag_is_its_verdict_however_bad_it_is(evaluator, caught, false):
    detector = SimulatedDetector(true_positive_rate=caught, false_positive_rate=false)
    world, pool = document_pool(evaluator, detect=detector)
    training = pool.begin()
    step(world, pool, training, 0)
    tags = pool.table(1).to_pylist()
    _, again = document_pool(evaluator, detect=detector)
    again.restore(
        generation=0, record=training.record, kept=pool.write(world.fit(training.parts, stream(0)), generation=0).kept
    )
    flagged = np.mean([row["tag"] == "model" for row in tags if row["origin"] == "human"])
    assert abs(flagged - false) <= 4 * np.sqrt(false * (1 - false) / len(TEXTS))
    assert again.table(1).to_pylist() == tags


# Cohorts


def test_a_cohort_pool_has_one_row_for_each_generation(evaluator):
    world, pool = cohort_pool(evaluator)
    step(world, pool, pool.begin(), 0)
    table = pool.table(1)
    assert table["generation"].to_pylist() == [0, 1]
    assert table["age"].to_pylist() == [2, 1]
    assert table["uses"].to_pylist() == [1, 0]
    assert table["n"].to_pylist() == [50.0, 50.0]


def test_a_detector_splits_each_cohort_by_its_verdict(evaluator):
    detection = Detection(simulated=SimulatedDetector(true_positive_rate=0.9, false_positive_rate=0.2))
    world, pool = cohort_pool(evaluator, samples=1_000, detection=detection)
    step(world, pool, pool.begin(), 0)
    table = pool.table(1).to_pylist()
    assert [(row["origin"], row["tag"]) for row in table] == [
        ("human", "human"), ("human", "model"), ("model", "human"), ("model", "model"),
    ]  # fmt: skip
    assert [row["n"] for row in table] == pytest.approx([800, 200, 100, 900], abs=40)
    assert [row["p_model"] < 0.5 for row in table] == [True, False, True, False]


def test_a_verifier_splits_by_what_it_kept(evaluator):
    world = VerifierWorld({"replicas": 4}, {"label_error": 0.5})
    detection = Detection(verifier=Verifier(phi=0.9, psi=0.1))
    world, pool = cohort_pool(evaluator, samples=1_000, detection=detection, world=world)
    step(world, pool, pool.begin(), 0)
    sizes = {(row["subgroup"], row["tag"]): row["n"] for row in pool.table(1).to_pylist() if row["origin"] == "model"}
    assert sizes[("right", "kept")] == pytest.approx(450, abs=50)
    assert sizes[("wrong", "kept")] == pytest.approx(50, abs=30)
    assert sum(sizes.values()) == 1_000


def test_real_samples_arrive_and_a_model_may_write_more_than_it_learns_from(evaluator):
    world = GaussianWorld({"replicas": 4}, {})
    pool = CohortPool(world, Real(arrivals=30), seed=0, budget=Budget(documents=20), evaluator=evaluator, writes=70)
    step(world, pool, pool.begin(), 0)
    web = policy(Share(where="arrived = (select max(arrived) from pool)", take="all"))
    training = pool.draw(web, generation=1)
    assert training.trained_on == {"arrival": 30, "generation-0": 70}
    step(world, pool, training, 1)
    assert pool.draw(load_policy("replace"), generation=2).trained_on == {"generation-1": 20}
    assert pool.table(2)["arrived"].to_pylist() == [0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("world", "detection"),
    [
        (GaussianWorld({"replicas": 4}, {}), None),
        (
            CategoricalWorld({"replicas": 4, "states": 5}, {}),
            Detection(simulated=SimulatedDetector(true_positive_rate=0.7, false_positive_rate=0.1)),
        ),
        (VerifierWorld({"replicas": 4}, {}), Detection(verifier=Verifier(phi=0.9, psi=0.2))),
    ],
)
def test_a_restored_cohort_pool_gives_the_same_training_sets(evaluator, world, detection):
    real = Real(samples=80, arrivals=10)
    rule = policy(Share(where="true", share=1.0))
    _, pool = cohort_pool(evaluator, world=world, detection=detection, real=real)
    history, training = [], pool.begin()
    for generation in range(3):
        model = world.fit(training.parts, stream(generation))
        history.append((training.record, pool.write(model, generation=generation).kept))
        training = pool.draw(rule, generation=generation + 1)
    _, again = cohort_pool(evaluator, world=world, detection=detection, real=real)
    for generation, (record, kept) in enumerate(history):
        again.restore(generation=generation, record=record, kept=kept)
    repeated = again.draw(rule, generation=3)
    assert len(repeated.parts) == len(training.parts)
    for mine, theirs in zip(repeated.parts, training.parts, strict=True):
        assert all(np.array_equal(mine.batch[key], theirs.batch[key]) for key in theirs.batch)
    assert again.table(4).equals(pool.table(4))


def test_samples_dropped_from_memory_are_made_again_bit_by_bit(evaluator, monkeypatch):
    results = []
    for limit in (1, 2**30):
        monkeypatch.setattr("provenance.recursion.cohorts.CACHE_BYTES", limit)
        world, pool = cohort_pool(evaluator, world=CategoricalWorld({"replicas": 3, "states": 6}, {}))
        generations = turns(world, pool, load_policy("accumulate"), seed=0, generations=4)
        results.append([turn.model["p"] for turn in generations])
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_samples_of_subgroups_are_dropped_from_memory_too(evaluator, monkeypatch):
    monkeypatch.setattr("provenance.recursion.cohorts.CACHE_BYTES", 1)
    world, pool = cohort_pool(evaluator, world=VerifierWorld({"replicas": 4}, {}))
    for turn in turns(world, pool, load_policy("replace"), seed=0, generations=5):
        held = [cohort for cohort in pool._cohorts if cohort.cached is not None]
        assert {cohort.generation for cohort in held} <= {turn.generation, turn.generation + 1}


def test_closed_forms_of_growing_data_are_for_generations_as_large_as_the_first(evaluator):
    def known(policy, writes):
        world = GaussianWorld({"replicas": 4}, {})
        pool = CohortPool(world, Real(), seed=0, budget=Budget(documents=20), evaluator=evaluator, writes=writes)
        last = list(turns(world, pool, load_policy(policy), seed=0, generations=2))[-1]
        return any(measured.expected is not None for measured in last.metrics)

    assert known("replace", 20)
    assert known("replace", 50)
    assert known("accumulate", 20)
    assert not known("accumulate", 50)


def evaluated(matches, weight=None, rank=None):
    as_array = np.array(matches, dtype=np.bool_)
    return Evaluated(
        matches=as_array,
        weight=None if weight is None else np.array(weight, dtype=np.float64),
        rank=None if rank is None else np.array(rank, dtype=np.int64),
    )


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 30), min_size=3, max_size=3),
    budget=st.integers(1, 40),
    fraction=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_counts_meet_the_budget_and_never_exceed_a_cohort(sizes, budget, fraction):
    rule = policy(Share(where="a", share=fraction), Share(where="b", share=1 - fraction), on_shortfall="fill")
    values = [evaluated([True, True, False]), evaluated([True, True, True])]
    table = np.array([sizes])
    if sum(sizes) < budget:
        with pytest.raises(ConfigError):
            draw_counts(rule, values, table, replicas=5, budget=budget, rng=stream(0))
        return
    counts, weights, _ = draw_counts(rule, values, table, replicas=5, budget=budget, rng=stream(0))
    assert (counts.sum(axis=1) == budget).all()
    assert (counts <= table).all()
    assert (counts >= 0).all()
    assert (weights == 1).all()


@pytest.mark.parametrize("shortfall", ["error", "fill", "upsample"])
def test_what_has_no_weight_is_not_there_to_draw(shortfall):
    sizes = np.array([[5, 4, 20], [10, 9, 20]])
    values = [evaluated([True, True, True], weight=[1.0, 1.0, 0.0])]
    rule = policy(Share(where="a", weight="w", share=1.0), on_shortfall=shortfall)
    if shortfall == "upsample":
        counts, _, _ = draw_counts(rule, values, sizes, replicas=2, budget=12, rng=stream(0))
        assert counts[:, 2].tolist() == [0, 0]
        assert counts.sum(axis=1).tolist() == [12, 12]
        values = [evaluated([True, True, True], weight=[0.0, 0.0, 0.0])]
    with pytest.raises(ConfigError, match="asks for 12 samples and some replica has only"):
        draw_counts(rule, values, sizes, replicas=2, budget=12, rng=stream(0))


def test_counts_are_hypergeometric():
    values, sizes = [evaluated([True, True])], np.array([[30, 70]])
    rule = policy(Share(where="true", share=1.0))
    counts, *_ = draw_counts(rule, values, sizes, replicas=20_000, budget=20, rng=stream(0))
    mean, variance = 20 * 0.3, 20 * 0.3 * 0.7 * (100 - 20) / (100 - 1)
    assert abs(counts[:, 0].mean() - mean) < 4 * np.sqrt(variance / 20_000)
    assert abs(counts[:, 0].var() - variance) < 4 * variance * np.sqrt(2 / 20_000)


def test_weights_are_odds_of_single_samples():
    # One draw from 10 samples of weight 3 and 30 of weight 1: even chances.
    values = [evaluated([True, True], weight=[3.0, 1.0])]
    rule = policy(Share(where="true", weight="w", share=1.0))
    counts, *_ = draw_counts(rule, values, np.array([[10, 30]]), replicas=4_000, budget=1, rng=stream(0))
    assert abs(counts[:, 0].mean() - 0.5) < 4 * np.sqrt(0.25 / 4_000)


def test_an_order_serves_cohorts_in_turn():
    values = [evaluated([True, True, True], rank=[2, 0, 1])]
    rule = policy(Share(where="true", order="x", share=1.0))
    counts, *_ = draw_counts(rule, values, np.array([[10, 10, 10]]), replicas=2, budget=15, rng=stream(0))
    assert counts.tolist() == [[0, 10, 5]]


def test_upsampling_repeats_whole_cohorts_first(evaluator):
    rule = policy(Share(where="generation = 0", share=1.0), on_shortfall="upsample")
    counts, *_ = draw_counts(rule, [evaluated([True])], np.array([[20]]), replicas=2, budget=50, rng=stream(0))
    assert counts.tolist() == [[50]]
    world, pool = cohort_pool(evaluator, real=Real(samples=50))
    training = pool.begin()
    pool.write(world.fit(training.parts, stream(0)), generation=0)
    few = policy(Share(where="generation = 0", take=5), Share(where="age = 1", share=1.0))
    assert sum(int(part.batch["n"][0]) for part in pool.draw(few, generation=1).parts) == 50


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([Share(where="generation = 7", share=1.0)], r"share 1 \(generation = 7\) of policy 'p' asks for 50 samples"),
        ([Share(where="generation = 7", take="all")], "leaves nothing to train on"),
        ([Share(where="true", take="all"), Share(where="age = 1", share=1.0)], "more than the budget of 50"),
        ([Share(where="true", share=1.0, epochs=2)], "'by' and 'epochs' need single documents"),
    ],
)
def test_a_policy_the_pool_cannot_serve_is_one_clear_error(evaluator, shares, message):
    world, pool = cohort_pool(evaluator)
    step(world, pool, pool.begin(), 0)
    with pytest.raises(ConfigError, match=message):
        pool.draw(policy(*shares), generation=1)


def test_less_real_data_than_the_budget_is_refused(evaluator):
    _, pool = cohort_pool(evaluator, real=Real(samples=10))
    with pytest.raises(ConfigError, match=r"samples = 10 is less than the budget of 50"):
        pool.begin()


def test_errors_of_the_loop_name_policy_and_generation(evaluator):
    world, pool = cohort_pool(evaluator)
    empty = MixPolicy(name="empty", share=[Share(where="false", take="all")])
    with pytest.raises(ConfigError, match=r"policy 'empty', generation 1: policy 'empty' leaves nothing"):
        list(turns(world, pool, empty, seed=0, generations=2))

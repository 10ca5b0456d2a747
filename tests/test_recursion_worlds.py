"""One contract for every registered world and metric: a new one is tested by being listed."""

import re

import numpy as np
import pytest

from provenance.errors import ConfigError, DataError
from provenance.plugins import METRICS, WORLDS, Part, Reference
from provenance.recursion.manifest import digest
from provenance.seeds import stream

COHORTS = [name for name in WORLDS if hasattr(WORLDS.load(name), "real")]
REPLICAS = 3


def build(name, **settings):
    return WORLDS.load(name)({"replicas": REPLICAS, **settings}, {})


def sizes(*n):
    return np.array(n, dtype=np.int64)


@pytest.fixture(params=COHORTS)
def world(request):
    return build(request.param)


def one_generation(world, n=40):
    real = world.real(sizes(*[n] * REPLICAS), stream(1, "real"))
    model = world.fit([Part(batch=real)], stream(1, "fit"))
    return real, model, world.sample(model, sizes(*[n] * REPLICAS), stream(1, "sample"))


def test_the_name_is_the_registered_one_and_survives_as_an_identifier(world):
    assert WORLDS.load(world.name) is type(world)
    assert re.fullmatch(r"[a-z0-9_]+", world.name)


def test_the_same_streams_give_the_same_bytes(world):
    first, again = one_generation(world), one_generation(type(world)({"replicas": REPLICAS}, {}))
    assert digest(first[0]) == digest(again[0])
    assert digest(world.weights(first[1])) == digest(world.weights(again[1]))
    assert {k: digest(v) for k, v in first[2].items()} == {k: digest(v) for k, v in again[2].items()}


def test_samples_come_in_the_declared_subgroups_and_in_the_number_asked_for(world):
    *_, samples = one_generation(world)
    assert set(samples) <= set(world.subgroups)
    assert sum(world.size(batch) for batch in samples.values()).tolist() == [40] * REPLICAS


def test_replicas_may_have_different_sizes_even_none(world):
    real, model, _ = one_generation(world)
    if world.name == "regression":
        world = build(world.name, fixed_design=False)
    samples = world.sample(model, sizes(12, 0, 5), stream(3))
    assert sum(world.size(batch) for batch in samples.values()).tolist() == [12, 0, 5]
    pooled = [Part(batch=real), *(Part(batch=batch) for batch in samples.values())]
    assert all(np.isfinite(array).all() for array in world.weights(world.fit(pooled, stream(4))).values())


def test_a_split_takes_what_it_is_told_and_leaves_the_rest(world):
    real, *_ = one_generation(world)
    before = digest(real)
    first, rest = world.split(real, sizes(30, 25, 40), stream(5))
    assert world.size(first).tolist() == [30, 25, 40]
    assert world.size(rest).tolist() == [10, 15, 0]
    assert digest(real) == before


def test_both_halves_of_a_split_fit_like_the_whole(world):
    real, model, _ = one_generation(world)
    halves = [Part(batch=half) for half in world.split(real, sizes(20, 17, 30), stream(5))]
    again = world.fit(halves, stream(1, "fit"))
    if world.name == "gmm":
        pytest.skip("k-means starts from another order of rows")
    skip = {"x", "weight"} if world.name in ("kde", "regression") else {"factor"}
    for key in set(model) - skip:
        assert np.allclose(model[key], again[key], rtol=1e-8, atol=1e-10), key
    if "factor" in model:
        product = [m["factor"] @ m["factor"].transpose(0, 2, 1) for m in (model, again)]
        assert np.allclose(*product)


def test_a_model_comes_back_from_its_weights(world):
    _, model, samples = one_generation(world)
    again = world.restore(world.weights(model))
    repeated = world.sample(again, sizes(*[40] * REPLICAS), stream(1, "sample"))
    assert {k: digest(v) for k, v in repeated.items()} == {k: digest(v) for k, v in samples.items()}


def test_some_metric_is_measured_and_every_closed_form_names_one(world):
    real, model, samples = one_generation(world)
    reference = Reference(generation=0, real=[real], model=model)
    seen = world.observe(model, sorted(samples.items()), reference)
    measured = {m.name for m in map(METRICS.load, METRICS) if all(need in seen for need in m.needs)}
    assert measured
    for policy in ("replace", "accumulate", "control", "detected"):
        assert set(getattr(world, "expected", lambda *_: {})(policy, 3, 40)) <= measured


def test_a_wrong_setting_is_named(world):
    with pytest.raises(ConfigError, match=rf"world '{world.name}': unknown key 'replicsa'"):
        type(world)({"replicsa": 3}, {})
    with pytest.raises(ConfigError, match="unknown key 'heat'"):
        type(world)({}, {"heat": 1.0})
    with pytest.raises(ConfigError, match=r"replicas: .* got 0"):
        type(world)({"replicas": 0}, {})


@pytest.mark.parametrize(
    ("name", "n", "message"),
    [
        ("gaussian", 1, "needs 2 samples"),
        ("gaussian", 0, "needs 2 samples"),
        ("gaussian_nd", 2, "singular covariance in 2 dimensions"),
        ("categorical", 0, "no samples"),
        ("kde", 0, "no samples"),
        ("gmm", 1, "do not determine"),
        ("regression", 4, "do not determine 10 coefficients"),
        ("verifier", 0, "no samples"),
    ],
)
def test_too_few_samples_are_one_clear_error(name, n, message):
    world = build(name)
    few = world.real(sizes(*[n] * REPLICAS), stream(0))
    with pytest.raises(DataError, match=message):
        world.fit([Part(batch=few)], stream(0))


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_says_its_name_unit_and_needs(name):
    metric = METRICS.load(name)
    assert metric.name == name
    assert re.fullmatch(r"[a-z0-9_]+", name)
    assert metric.unit
    assert metric.needs


def test_weights_count_samples_for_more_or_less():
    world = build("gaussian")
    real, _, samples = one_generation(world)
    heavy = world.fit([Part(batch=real, weight=3.0), Part(batch=samples[""], weight=1.0)], stream(0))
    expected = (3 * real["mean"] + samples[""]["mean"]) / 4
    assert np.allclose(heavy["mean"], expected)
    copies = world.fit([Part(batch=real)] * 3 + [Part(batch=samples[""])], stream(0))
    assert np.allclose(heavy["sd"], copies["sd"])


def test_single_samples_have_the_statistics_of_their_cohort():
    from provenance.recursion.models import gaussian, gaussian_nd

    world = build("gaussian")
    batch = world.real(sizes(30, 20, 10), stream(0))
    x, there = gaussian._samples(batch)
    again = gaussian._statistics(x, there)
    assert np.allclose(again["mean"], batch["mean"])
    assert np.allclose(again["scatter"], batch["scatter"])
    several = build("gaussian_nd", dim=3)
    batch = several.real(sizes(30, 20, 10), stream(0))
    again = gaussian_nd._of(gaussian_nd._samples(batch), np.arange(30) < batch["n"][:, None], batch["n"])
    assert np.allclose(again["mean"], batch["mean"])
    product = [b["factor"] @ b["factor"].transpose(0, 2, 1) for b in (batch, again)]
    assert np.allclose(*product)


def test_a_warm_start_fits_as_well_as_the_published_solver():
    rng = stream(3)
    model = {"replicas": 1, "centers": [(-1.5, 0.0), (1.5, 0.0)]}
    warm, cold = WORLDS.load("gmm")(model, {}), WORLDS.load("gmm")({**model, "solver": "sklearn"}, {})
    real = warm.real(sizes(2_000), rng)
    samples = warm.sample(warm.fit([Part(batch=real)], rng), sizes(2_000), rng)[""]
    x = samples["x"][0]
    likelihoods = [mean_log_likelihood(x, world.fit([Part(batch=samples)], stream(4))) for world in (warm, cold)]
    assert likelihoods[0] >= likelihoods[1] - 1e-3


def mean_log_likelihood(x, model):
    from scipy.special import logsumexp
    from scipy.stats import multivariate_normal

    parts = [
        np.log(weight) + multivariate_normal(mean, cov).logpdf(x)
        for weight, mean, cov in zip(model["weights"][0], model["means"][0], model["covs"][0], strict=True)
    ]
    return float(logsumexp(parts, axis=0).mean())


def torch_draws(seed):
    import torch

    from provenance.recursion.models.on_device import TorchDraws

    return TorchDraws(torch.device("cpu"), stream(seed))


def test_draws_on_a_torch_device_follow_the_same_laws_and_repeat():
    n = 50_000
    draws = torch_draws(1)
    z, gamma = draws.standard_normal(n), draws.standard_gamma(4.5, size=n)
    assert abs(z.mean()) < 4 / np.sqrt(n)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs(gamma.mean() - 4.5) < 4 * np.sqrt(4.5 / n)
    assert draws.standard_gamma(np.array([0.0, 3.0]))[0] == 0.0
    p = np.array([0.5, 0.0, 0.3, 0.2, 0.0])
    counts = draws.multinomial(np.full(n, 7), np.broadcast_to(p, (n, 5)))
    assert (counts.sum(axis=1) == 7).all()
    assert np.all(np.abs(counts.mean(axis=0) - 7 * p) <= 4 * np.sqrt(7 * p * (1 - p) / n))
    covariance = np.cov(counts[:, 0], counts[:, 2])[0, 1]
    assert abs(covariance + 7 * 0.5 * 0.3) < 0.05
    again = torch_draws(1)
    assert (again.standard_normal(n) == z).all()


@pytest.mark.parametrize("name", ["gaussian", "categorical"])
def test_a_device_that_is_not_there_is_one_clear_error(name):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ConfigError, match=f"world '{name}': device = 'cuda', but there is no CUDA device"):
        build(name, device="cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["gaussian", "categorical"])
def test_a_world_on_a_gpu_repeats_its_bytes(name):
    first, again = (one_generation(build(name, device="cuda")) for _ in range(2))
    assert {k: digest(v) for k, v in first[2].items()} == {k: digest(v) for k, v in again[2].items()}

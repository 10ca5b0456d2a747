"""Checks T12, T14, T16 and T17: regression, kernel density, verifier."""

from collections.abc import Iterator

import numpy as np

from provenance.mixing.policy import Share
from provenance.plugins import Part
from provenance.recursion.config import Detection, Verifier
from provenance.recursion.models.regression import RegressionWorld
from provenance.recursion.theory import regression, smoothing
from provenance.recursion.theory.checks import Check, Effort, of_mean, wrong
from provenance.recursion.theory.simulate import last, simulate
from provenance.seeds import stream


def linear(effort: Effort) -> Iterator[Check]:
    """T12: replace grows without bound, accumulate stops at pi^2 / 6."""
    n, d, fits = 60, 5, 20
    model = {"replicas": effort.replicas(1_000), "dim": d}
    errors = {}
    for policy in ("replace", "accumulate"):
        turn = last(
            simulate(
                "regression",
                model,
                policy,
                samples=n,
                generations=fits - 1,
                seed=effort.seed,
                metrics=["coefficient_error"],
                measure_every=fits,
            )
        )
        errors[policy] = turn.raw["coefficient_error"]
    yield of_mean("T12", "risk under replace", regression.replace_error(fits, n, d, 1.0), errors["replace"])
    yield of_mean("T12", "risk under accumulate", regression.accumulate_error(fits, n, d, 1.0), errors["accumulate"])
    yield wrong(
        "T12-", "accumulate with replace's law", regression.replace_error(fits, n, d, 1.0), errors["accumulate"]
    )
    fresh = last(
        simulate(
            "regression",
            {**model, "fixed_design": False},
            "accumulate",
            samples=n,
            generations=fits - 1,
            seed=effort.seed,
            metrics=["coefficient_error"],
            measure_every=fits,
        )
    ).raw["coefficient_error"]
    once = regression.replace_error(1, n, d, 1.0)
    yield of_mean(
        "T12", "accumulate with new inputs each time", regression.accumulate_error(fits, n, d, 1.0), fresh,
        slack=d / n * once, note="first order there",
    )  # fmt: skip


def kernel(effort: Effort) -> Iterator[Check]:
    """T14: the kernel's noise piles up."""
    m, h, fits = 50, 0.5, 40
    turn = last(
        simulate(
            "kde",
            {"replicas": effort.replicas(2_000), "bandwidth": h},
            "replace",
            samples=m,
            generations=fits - 1,
            seed=effort.seed,
            metrics=["variance"],
            measure_every=fits,
        )
    )
    yield of_mean(
        "T14",
        "E variance of the density",
        smoothing.kde_variance(fits, m, h),
        turn.raw["variance"],
        note="derived",
    )
    yield wrong("T14-", "without the kernel's noise", smoothing.kde_sample_variance(fits, m, 0.0), turn.raw["variance"])


def static_mix(effort: Effort) -> Iterator[Check]:
    """T16: one fit on real rows and rows labelled by a biased model: more rows do not help."""
    n, d, bias = 200, 10, 1.0
    replicas = effort.replicas(1_000)
    world = RegressionWorld({"replicas": replicas, "dim": d, "fixed_design": False}, {})
    towards = world.truth + bias / np.sqrt(d)
    for share in (0.1, 0.5):
        n_model = int(share * n)
        rng = stream(effort.seed, "static mix", n_model)
        real = world.real(np.full(replicas, n - n_model), rng)
        wrongly = {"w": np.broadcast_to(towards, (replicas, d)), "x": real["x"]}
        made = world.sample(wrongly, np.full(replicas, n_model), rng)[""]
        w = world.fit([Part(batch=real), Part(batch=made)], rng)["w"]
        error = ((w - world.truth) ** 2).sum(axis=1)
        law = regression.static_mix_error(n, d, 1.0, share, bias)
        yield of_mean(
            "T16", f"risk with {share:.0%} model rows", law, error, slack=d / n * share * bias**2,
            note="derived, first order in d / n: within 3 % down to n = 2 d",
        )  # fmt: skip
        yield wrong("T16-", "without the plateau", 1.0 * d / (n - d - 1), error)


def verifier(effort: Effort) -> Iterator[Check]:
    """T17: labels worse than p* = 1 / (1 + psi / phi) turn the classifier around: even odds just there."""
    phi, psi = 0.9, 0.3
    turning = 1.0 / (1.0 + psi / phi)
    kept = [Share(where="age = 1 and tag = 'kept'", take="all")]
    for label_error in (turning, turning - 0.05, turning + 0.05):
        turn = last(
            simulate(
                "verifier", {"replicas": effort.replicas(100), "dim": 10}, kept, samples=1_000, generations=1,
                seed=effort.seed, sampling={"label_error": label_error}, metrics=["accuracy"],
                detection=Detection(verifier=Verifier(phi=phi, psi=psi)),
            )
        )  # fmt: skip
        accuracy = turn.raw["accuracy"]
        if label_error == turning:
            yield of_mean("T17", f"accuracy at p* = {turning:.2f} is even", 0.5, accuracy)
        else:
            yield wrong("T17-", f"p* taken for {label_error:.2f}", 0.5, accuracy)


GROUPS = (linear, kernel, static_mix, verifier)

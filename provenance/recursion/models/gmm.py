"""The Gaussian mixture world, two dimensions: fit by EM, sample, repeat. Knows no policy, tag or detector.

EM starts from the mixture that wrote the newest samples (warm start): the next optimum is next to it, so a few passes
are enough. `solver = "sklearn"` fits as the published notebook does, from scratch, for comparison.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from provenance.config import Config, checked
from provenance.errors import DataError
from provenance.plugins import Arrays, Part, Reference
from provenance.recursion.models.subsets import chosen, compacted, present

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

_PARAMETERS = ("weights", "means", "covs")


class GMMSettings(Config):
    """The `[model]` table. The real distribution is an even mixture of round Gaussians."""

    replicas: int = Field(default=1, ge=1)
    """Independent copies, simulated side by side; figures are means over them."""
    components: int = Field(default=2, ge=1, le=20)
    """Gaussians of the fitted mixture; full covariances."""
    centers: list[tuple[float, float]] = Field(default=[(-2.0, 0.0), (2.0, 0.0)], min_length=1)
    """Means of the real mixture's Gaussians."""
    sd: float = Field(default=1.0, gt=0)
    """Their standard deviation, in every direction."""
    solver: Literal["em", "sklearn"] = "em"
    """`em` starts at the mixture that wrote the newest samples; `sklearn` at k-means, as the published notebook."""
    tol: float = Field(default=1e-5, gt=0)
    """EM ends when the mean log likelihood rises by less."""
    max_iter: int = Field(default=2000, ge=1)
    """Steps of EM after which it ends anyway."""

    @model_validator(mode="after")
    def _enough_components(self) -> Self:
        if self.components > 1 and len(self.centers) > self.components:
            raise ValueError(f"{len(self.centers)} centers need at least as many components, got {self.components}")
        return self


class GMMSampling(Config):
    """The `[sampling]` table: there is nothing to set."""


class GMMWorld:
    """Mixtures, one per replica, each fitted in turn."""

    name: ClassVar[str] = "gmm"
    tables: ClassVar[tuple[type[Config], type[Config]]] = (GMMSettings, GMMSampling)
    subgroups: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, settings: Mapping[str, Any], sampling: Mapping[str, Any]) -> None:
        self.settings = checked(GMMSettings, settings, "[model] of world 'gmm'")
        checked(GMMSampling, sampling, "[sampling] of world 'gmm'")
        self._last: tuple[bytes, Arrays] | None = None
        k = len(self.settings.centers)
        self.truth = {
            "weights": np.full((self.replicas, k), 1.0 / k),
            "means": np.broadcast_to(np.array(self.settings.centers), (self.replicas, k, 2)),
            "covs": np.broadcast_to(np.eye(2) * self.settings.sd**2, (self.replicas, k, 2, 2)),
        }

    @property
    def replicas(self) -> int:
        """Independent copies."""
        return self.settings.replicas

    def real(self, n: Counts, rng: np.random.Generator) -> Arrays:
        """Samples of the real mixture."""
        batch = _draw(self.truth, n, rng)
        # Where the fitted mixture can be the real one, EM starts there: the best optimum is next to it.
        return {**batch, **self.truth} if len(self.settings.centers) == self.settings.components else batch

    def size(self, batch: Arrays) -> Counts:
        """Samples of each replica."""
        return batch["n"]

    def split(self, batch: Arrays, n: Counts, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """A random part of each replica's samples, and the rest."""
        there = present(batch["n"], batch["x"].shape[1])
        first = chosen(there, n, rng)
        start = {name: batch[name] for name in _PARAMETERS if name in batch}
        return (
            {"n": n, "x": compacted(first, batch["x"])[0], **start},
            {"n": batch["n"] - n, "x": compacted(there & ~first, batch["x"])[0], **start},
        )

    def fit(self, parts: Sequence[Part], rng: np.random.Generator) -> Arrays:
        """One mixture per replica; samples count once each, weights are refused. `rng` is not used."""
        del rng
        if any(float(part.weight) != 1.0 for part in parts):
            raise DataError("world 'gmm' fits whole samples: 'take = \"all\"' with a weight is not possible")
        fitted = []
        for replica in range(self.replicas):
            x = np.concatenate([part.batch["x"][replica, : int(part.batch["n"][replica])] for part in parts])
            if len(x) < max(2, self.settings.components):
                raise DataError(f"{len(x)} samples do not determine {self.settings.components} components")
            newest = parts[-1].batch
            start = {name: newest[name][replica] for name in _PARAMETERS} if "weights" in newest else None
            fitted.append(self._fit(x, start))
        return {name: np.stack([one[name] for one in fitted]) for name in _PARAMETERS}

    def _fit(self, x: Floats, start: dict[str, Floats] | None) -> Arrays:
        settings = self.settings
        if start is None or settings.solver == "sklearn" or len(start["weights"]) != settings.components:
            return self._from_scratch(x)
        from provenance.recursion.models.em import REG_COVAR, em

        weights, means, covs = (np.array(start[name]) for name in _PARAMETERS)
        iterations, _ = em(x, weights, means, covs, settings.tol, settings.max_iter, REG_COVAR)
        if iterations <= 0 or not np.isfinite(covs).all():
            return self._from_scratch(x)  # a component died, or EM crawls
        return {"weights": weights, "means": means, "covs": covs}

    def _from_scratch(self, x: Floats) -> Arrays:
        """From k-means, by scikit-learn. The last result is kept: the control fits the same data every generation."""
        key = hashlib.sha256(np.ascontiguousarray(x).tobytes()).digest()
        if self._last is None or self._last[0] != key:
            self._last = (key, _sklearn(x, self.settings))
        return self._last[1]

    def sample(self, model: Arrays, n: Counts, rng: np.random.Generator) -> dict[str, Arrays]:
        """Samples of each replica's mixture, which stays with them as the next fit's start."""
        return {"": {**_draw(model, n, rng), **{name: model[name] for name in _PARAMETERS}}}

    def observe(self, model: Arrays, samples: Sequence[tuple[str, Arrays]], reference: Reference) -> dict[str, Any]:
        """Fitted and real mixture."""
        del samples, reference
        return {
            "mixture": tuple(model[name] for name in _PARAMETERS),
            "real_mixture": tuple(self.truth[name] for name in _PARAMETERS),
        }

    def weights(self, model: Arrays) -> Arrays:
        """The model is arrays."""
        return model

    def restore(self, weights: Arrays) -> Arrays:
        """The model is arrays."""
        return weights


def _draw(mixture: Mapping[str, Floats], n: Counts, rng: np.random.Generator) -> Arrays:
    most = int(n.max(initial=0))
    z = rng.standard_normal((len(n), most, 2))
    u = rng.random((len(n), most))
    x = np.empty_like(z)
    for replica in range(len(n)):
        edges = np.cumsum(mixture["weights"][replica])[:-1]
        component = np.searchsorted(edges, u[replica], side="right")
        factor = np.linalg.cholesky(mixture["covs"][replica])
        for k in range(len(edges) + 1):
            rows = component == k
            x[replica, rows] = mixture["means"][replica, k] + z[replica, rows] @ factor[k].T
    return {"n": n, "x": x}


def _sklearn(x: Floats, settings: GMMSettings) -> Arrays:
    """As the notebook: k-means start, full covariances. A function of the data alone."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    mixture = GaussianMixture(
        n_components=settings.components, tol=settings.tol, max_iter=settings.max_iter,
        random_state=0,
    )  # fmt: skip
    # Matrices of 2 columns: waking other threads for them costs ten times what it saves.
    with threadpool_limits(1), warnings.catch_warnings():
        # Fully collapsed data have fewer different points than k-means has clusters; the fit is still defined.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(x)
    return {"weights": mixture.weights_, "means": mixture.means_, "covs": mixture.covariances_}

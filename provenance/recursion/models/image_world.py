"""Worlds of small images: a new network each generation, trained on images or on endless samples of earlier networks.

Everything but the network is here. A cohort is either images, or, with
`endless`, the network that makes them: Shumailov et al. train each VAE on samples drawn afresh for every batch, so that
only functional error is left, and such a cohort is kept as its generator. Knows no policy, tag or detector.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from provenance import seeds
from provenance.config import Config, checked
from provenance.errors import ConfigError, DataError
from provenance.plugins import Arrays, Part, Reference
from provenance.recursion.models.image_features import Eye
from provenance.recursion.models.images import Bytes, Classes, load_images
from provenance.recursion.training import assign, seeded, tensors, train
from provenance.recursion.training_settings import TrainingSettings

Counts = NDArray[np.int64]

MOST_OBSERVED = 10_000
"""Samples of each replica that metrics look at."""
PICTURES = 25
"""Samples of each generation that are kept to be looked at."""
_FROM = "from."


class ImageSettings(Config):
    """The `[model]` table, as far as all image worlds share it."""

    replicas: int = Field(default=1, ge=1)
    """Independent chains, each with its own networks."""
    data: str = "digits"
    """`digits` (scikit-learn's), a folder of IDX files as MNIST has them, or an .npz of spoken digits."""
    classes: Classes = "digit"
    """Spoken digits: whether digits or speakers are the classes that may vanish."""
    endless: bool = False
    """Later generations train on samples drawn afresh for every batch instead of a finite set."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a CUDA device where there is one."""
    training: TrainingSettings = TrainingSettings(epochs=20, batch_size=64, learning_rate=2e-3, loss_over_batch="sum")
    """The `[model.training]` table."""

    @model_validator(mode="after")
    def _a_graph_draws_nothing(self) -> Self:
        if self.endless and self.training.compile:
            raise ValueError(
                "endless samples are drawn between steps: training.compile = true does not go with endless"
            )
        return self


class ImageSampling(Config):
    """The `[sampling]` table: decoding has nothing to set."""


class ImageWorld:
    """What the image worlds share. A model is its parameters, stacked over replicas."""

    name: ClassVar[str]
    tables: ClassVar[tuple[type[ImageSettings], type[Config]]]
    subgroups: ClassVar[tuple[str, ...]] = ("",)
    settings: ImageSettings

    def __init__(self, settings: Mapping[str, Any], sampling: Mapping[str, Any]) -> None:
        self.settings = checked(self.tables[0], settings, f"[model] of world {self.name!r}")
        checked(self.tables[1], sampling, f"[sampling] of world {self.name!r}")
        self.scratch: Path | None = None
        """A folder for checkpoints of the training under way; none are written without it."""
        cuda = torch.cuda.is_available()
        if self.settings.device == "cuda" and not cuda:
            raise ConfigError("[model] device = 'cuda', but there is no CUDA device", hint="leave device out")
        self._device = torch.device("cuda" if cuda and self.settings.device != "cpu" else "cpu")
        self._data = load_images(self.settings.data, self.settings.classes)
        self._eye: Eye | None = None

    def network(self, height: int, width: int) -> nn.Module:
        """A network with `losses(images)` and `sample(n)`, initialised from torch's random state."""
        raise NotImplementedError

    @property
    def device(self) -> str:
        """Where networks train and write."""
        return str(self._device.type)

    @property
    def replicas(self) -> int:
        """Independent chains."""
        return self.settings.replicas

    def real(self, n: Counts, rng: np.random.Generator) -> Arrays:
        """Images of the data set, none twice."""
        return self.deal(np.zeros_like(n), n, rng)

    def deal(self, start: Counts, n: Counts, rng: np.random.Generator) -> Arrays:
        """The next `n[r]` images of the data set after `start[r]` that are dealt already, in the order `rng` gives.

        Raises DataError when there are not so many.
        """
        most = int((start + n).max(initial=0))
        if most > len(self._data.images):
            raise DataError(
                f"{most} real images asked for, {self.settings.data!r} has {len(self._data.images)}",
                hint="lower the budget, [real] samples or arrivals",
            )
        rows = [
            np.sort(rng.permutation(len(self._data.images))[first : first + k])
            for first, k in zip(start, n, strict=True)
        ]
        return {"images": self._data.images[np.concatenate(rows)], "offsets": _offsets(n)}

    def size(self, batch: Arrays) -> Counts:
        """Images of each replica."""
        return batch["n"] if "n" in batch else np.diff(batch["offsets"])

    def split(self, batch: Arrays, n: Counts, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """A random part of each replica's images, and the rest."""
        if "n" in batch:
            return {**batch, "n": n}, {**batch, "n": batch["n"] - n}
        chosen = np.zeros(len(batch["images"]), dtype=np.bool_)
        for start, there, wanted in zip(batch["offsets"], self.size(batch), n, strict=False):
            chosen[start + rng.permutation(there)[:wanted]] = True
        return (
            {"images": batch["images"][chosen], "offsets": _offsets(n)},
            {"images": batch["images"][~chosen], "offsets": _offsets(self.size(batch) - n)},
        )

    def fit(self, parts: Sequence[Part], rng: np.random.Generator) -> Arrays:
        """A new network for each replica."""
        found = [self._fit_one(parts, replica, int(rng.integers(1 << 62))) for replica in range(self.replicas)]
        return {name: np.stack([arrays[name] for arrays in found]) for name in found[0]}

    def sample(self, model: Arrays, n: Counts, rng: np.random.Generator) -> dict[str, Arrays]:
        """Images of each replica's network, or with `endless` the networks themselves."""
        if self.settings.endless:
            return {"": {"n": n, **{f"{_FROM}{name}": array for name, array in model.items()}}}
        made = [self._images(model, r, int(k), int(rng.integers(1 << 62))) for r, k in enumerate(n)]
        return {"": {"images": np.concatenate(made), "offsets": _offsets(n)}}

    def observe(self, model: Arrays, samples: Sequence[tuple[str, Arrays]], reference: Reference) -> dict[str, Any]:
        """Features and classes of samples and real images, and the loss on held-out images; a list over replicas."""
        if self._eye is None:
            self._eye = Eye(self._data)
        every = range(self.replicas)
        made = [self.some(samples, r) for r in every]
        real = [self.some([("", batch) for batch in reference.real], r) for r in every]
        return {
            "sample_features": [self._eye.features(images) for images in made],
            "real_features": [self._eye.features(images) for images in real],
            "sample_class_shares": [self._class_shares(images) for images in made],
            "real_class_shares": [self._class_shares(images) for images in real],
            "class_names": [self._data.names] * self.replicas,
            "held_out_losses": [self._losses(model, r, self._data.held_out) for r in every],
        }

    def _class_shares(self, images: Bytes) -> NDArray[np.float64]:
        assert self._eye is not None
        counts = np.bincount(self._eye.classes(images), minlength=len(self._data.names))
        return counts / len(images) if len(images) else np.full(len(counts), np.nan)

    def pictures(self, samples: Sequence[tuple[str, Arrays]]) -> Bytes:
        """A few samples of the first replica, uint8 (n, height, width), for people to look at."""
        return self.some([(group, batch) for group, batch in samples if self.size(batch)[0]], 0)[:PICTURES]

    def weights(self, model: Arrays) -> Arrays:
        """The parameters."""
        return model

    def restore(self, weights: Arrays) -> Arrays:
        """The parameters."""
        return weights

    def _new(self, seed: int) -> Any:
        height, width = self._data.images.shape[1:]
        with seeded(torch.device("cpu"), seed):
            network = self.network(height, width)
        # Convolutions are a tenth faster on a CPU when a pixel's channels lie together, and more so on a GPU.
        return network.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def trained(self, model: Arrays, replica: int, prefix: str = "") -> Any:
        """The network of one replica."""
        network = self._new(0)
        names = [name for name in model if name.startswith(prefix) and name != "n"]
        assign(network, {name[len(prefix) :]: torch.from_numpy(model[name][replica]) for name in names})
        return network.eval()

    def _fit_one(self, parts: Sequence[Part], replica: int, seed: int) -> Arrays:
        network = self._new(seed)
        images, weights, sources = self._training_set(parts, replica)
        bounds = np.cumsum([len(images), *(n for _, n, _ in sources)])
        each = np.concatenate([weights, *(np.full(n, weight) for _, n, weight in sources)])
        pool = torch.from_numpy(images).to(self._device)
        counts = torch.from_numpy(each).to(self._device, torch.float32)

        def item_losses(rows: Tensor) -> Tensor:
            if not sources:  # no choosing by value: a CUDA graph cannot wait for it
                return network.losses(pixels(pool[rows])) * counts[rows]  # type: ignore[no-any-return]
            batch = [pixels(pool[rows[rows < bounds[0]]])]
            order: list[Tensor] = [rows[rows < bounds[0]]]
            for (source, _, _), low, high in zip(sources, bounds[:-1], bounds[1:], strict=True):
                mine = rows[(rows >= low) & (rows < high)]
                if len(mine):
                    order.append(mine)
                    with torch.no_grad():
                        batch.append(source.sample(len(mine)))
            joined = torch.cat(batch).contiguous(memory_format=torch.channels_last)
            return network.losses(joined) * counts[torch.cat(order)]  # type: ignore[no-any-return]

        settings = self.settings.training
        what = f"replica {replica}" if self.replicas > 1 else "training"
        train(
            network, item_losses, int(bounds[-1]), settings, seed=seed, what=what,
            checkpoint=self._checkpoint(images, each, sources, seed),
        )  # fmt: skip
        return {name: tensor.cpu().contiguous().numpy() for name, tensor in tensors(network).items()}

    def _training_set(
        self, parts: Sequence[Part], replica: int
    ) -> tuple[Bytes, NDArray[np.float64], list[tuple[Any, int, float]]]:
        """Images and their weights; and networks to draw from, with how many images each stands for and its weight."""
        found, weights = [self._data.images[:0]], [np.empty(0)]
        sources: list[tuple[Any, int, float]] = []
        for part in parts:
            weight = float(np.asarray(part.weight))
            if "n" in part.batch:
                sources.append((self.trained(part.batch, replica, _FROM), int(part.batch["n"][replica]), weight))
            else:
                start, end = part.batch["offsets"][replica : replica + 2]
                found.append(part.batch["images"][start:end])
                weights.append(np.full(end - start, weight))
        images, each = np.concatenate(found), np.concatenate(weights)
        if len(images) == 0:
            return images, each, sources
        # A training set is a set: equal sets in another order train equal networks.
        flat = np.ascontiguousarray(images).reshape(len(images), -1)
        order = np.argsort(flat.view([("", "V", flat.shape[1])]).ravel(), kind="stable")
        return images[order], each[order], sources

    def _images(self, model: Arrays, replica: int, n: int, seed: int, prefix: str = "") -> Bytes:
        network = self.trained(model, replica, prefix)
        found = [self._data.images[:0]]
        with torch.no_grad(), seeded(self._device, seed):
            for start in range(0, n, 1000):
                made = network.sample(min(1000, n - start))[:, 0]
                found.append((255 * made).round().clamp(0, 255).to(torch.uint8).cpu().numpy())
        return np.concatenate(found)

    def some(self, samples: Sequence[tuple[str, Arrays]], replica: int) -> Bytes:
        """Up to MOST_OBSERVED images of one replica."""
        found, room = [self._data.images[:0]], MOST_OBSERVED
        for _, batch in samples:
            n = min(room, int(self.size(batch)[replica]))
            if "n" in batch:
                found.append(self._images(batch, replica, n, seeds.integer(0, "observed"), _FROM))
            else:
                found.append(batch["images"][batch["offsets"][replica] :][:n])
            room -= n
        return np.concatenate(found)

    def _losses(self, model: Arrays, replica: int, images: Bytes) -> NDArray[np.float32]:
        network = self.trained(model, replica)
        with torch.no_grad(), seeded(self._device, seeds.integer(0, "held-out losses")):
            parts = torch.split(torch.from_numpy(images).to(self._device), 1000)
            losses = [network.losses(pixels(part)).float().cpu() for part in parts]
        return torch.cat(losses).numpy()

    def _checkpoint(
        self, images: Bytes, weights: NDArray[np.float64], sources: list[tuple[Any, int, float]], seed: int
    ) -> Path | None:
        """Where this training keeps its state: named by all that shapes it, so no other run takes it up."""
        if self.scratch is None:
            return None
        self.scratch.mkdir(parents=True, exist_ok=True)
        h = hashlib.sha256(f"{seed} {[n for _, n, _ in sources]} {self.settings.model_dump_json()}".encode())
        h.update(images.tobytes())
        h.update(weights.tobytes())
        for source, _, _ in sources:
            for tensor in tensors(source).values():
                h.update(tensor.cpu().contiguous().numpy().tobytes())
        return self.scratch / f"training-{h.hexdigest()[:32]}.safetensors"


def _offsets(n: Counts) -> Counts:
    return np.concatenate([[0], np.cumsum(n)]).astype(np.int64)


def pixels(images: Tensor) -> Tensor:
    return images.float().div(255).unsqueeze(1)

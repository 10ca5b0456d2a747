"""Image worlds: the published network, real images, endless and finite cohorts, a recursion on digits in seconds."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from provenance.catalog.pool import PoolEvaluator  # noqa: E402
from provenance.errors import ConfigError, DataError  # noqa: E402
from provenance.mixing.policy import Budget  # noqa: E402
from provenance.plugins import METRICS, Part, Reference  # noqa: E402
from provenance.recursion.cohorts import CohortPool  # noqa: E402
from provenance.recursion.config import Detection, Real, SimulatedDetector  # noqa: E402
from provenance.recursion.models.diffusion import Ddpm, DiffusionWorld  # noqa: E402
from provenance.recursion.models.image_features import Eye  # noqa: E402
from provenance.recursion.models.images import _mel_filters, load_images, mel_image, read_idx  # noqa: E402
from provenance.recursion.models.vae import Vae, VaeWorld  # noqa: E402
from provenance.recursion.training import seeded  # noqa: E402
from provenance.seeds import stream  # noqa: E402

torch.set_num_threads(1)

SHORT = {"epochs": 3, "batch_size": 64, "learning_rate": 2e-3}


def sizes(*n: int) -> Any:
    return np.array(n, dtype=np.int64)


def test_the_vae_has_the_published_number_of_parameters() -> None:
    vae = Vae(height=28, width=28, channels=64, latent=20)
    assert sum(p.numel() for p in vae.parameters()) == 647_081


def test_its_loss_is_binary_cross_entropy_plus_divergence_of_the_reparameterised_latent() -> None:
    with seeded(torch.device("cpu"), 0):
        vae, images = Vae(height=8, width=8, channels=4, latent=3), torch.rand(5, 1, 8, 8)
        with seeded(torch.device("cpu"), 1):
            found = vae.losses(images)
        with seeded(torch.device("cpu"), 1):
            mean, log_var = vae.encode(images)
            pixels = vae.decode(mean + torch.randn(5, 3) * (log_var / 2).exp())
    posterior = torch.distributions.Normal(mean, (log_var / 2).exp())
    divergence = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum()
    expected = functional.binary_cross_entropy(pixels, images, reduction="sum") + divergence
    assert found.sum().item() == pytest.approx(expected.item(), rel=1e-5)


def write_idx(path: Path, array: Any) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def test_idx_files_are_read_and_broken_ones_named(tmp_path: Path) -> None:
    images = np.arange(2 * 4 * 4).reshape(2, 4, 4)
    for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
        write_idx(tmp_path / f"{name}.gz", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.array([1, 0]))
    found = load_images(str(tmp_path))
    assert np.array_equal(found.images, images)
    assert found.classes.tolist() == [1, 0]
    assert found.names == ["0", "1"]
    short = tmp_path / "short"
    short.write_bytes(gzip.decompress((tmp_path / "train-images-idx3-ubyte.gz").read_bytes())[:-1])
    with pytest.raises(DataError, match=r"short says \(2, 4, 4\) but holds 31 bytes"):
        read_idx(short)
    short.write_bytes(b"nothing")
    with pytest.raises(DataError, match="short is not an IDX file"):
        read_idx(short)
    (tmp_path / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match="has no t10k-images-idx3-ubyte"):
        load_images(str(tmp_path))
    with pytest.raises(DataError, match="no image data in 'nowhere'"):
        load_images("nowhere")


def test_a_pure_tone_lights_the_mel_row_of_its_frequency() -> None:
    filters = _mel_filters(8000)
    tone = (10_000 * np.sin(2 * np.pi * 1000 * np.arange(4200) / 8000)).astype(np.int16)
    image = mel_image(tone, filters)
    # 33 equal steps on the mel scale up to 4 kHz (2146 mel); 1 kHz is 1000 mel: corner 15.4, so triangle 14 of 0 … 31.
    assert image.shape == (32, 32)
    assert set(image.argmax(axis=0)) == {14}
    assert mel_image(np.zeros(10, dtype=np.int16), filters).max() == 255  # silence has no loudest part: all equal
    assert filters.sum(axis=1).min() > 0


def spoken(path: Path) -> Path:
    rng = np.random.default_rng(0)
    lengths = rng.integers(500, 5000, 40)
    np.savez(
        path, samples=rng.integers(-3000, 3000, lengths.sum()).astype(np.int16), offsets=np.cumsum([0, *lengths]),
        digit=np.arange(40) % 10, speaker=np.arange(40) % 2, speakers=np.array(["ann", "bob"]), rate=np.int64(8000),
    )  # fmt: skip
    return path


def test_recordings_become_images_of_their_digit_or_speaker(tmp_path: Path) -> None:
    path = spoken(tmp_path / "spoken.npz")
    assert load_images(str(path), "speaker").names == ["ann", "bob"]
    found = load_images(str(path))
    assert found.images.shape == (36, 32, 32)
    assert len(found.held_out) == 4
    assert len(found.names) == 10
    np.savez(path, samples=np.zeros(3))
    with pytest.raises(DataError, match=r"spoken.npz holds no spoken digits"):
        load_images(str(path))


def test_the_eye_tells_digits_apart() -> None:
    data = load_images("digits")
    assert (Eye(data).classes(data.images) == data.classes).mean() > 0.97


def test_endless_cohorts_are_kept_as_their_generator() -> None:
    world = VaeWorld({"endless": True, "training": SHORT}, {})
    real = world.real(sizes(300), stream(0, "real"))
    model = world.fit([Part(batch=real)], stream(0, "fit"))
    samples = world.sample(model, sizes(200), stream(0, "sample"))[""]
    assert world.size(samples).tolist() == [200]
    assert all(np.array_equal(samples[f"from.{name}"], array) for name, array in model.items())
    some, rest = world.split(samples, sizes(50), stream(0, "split"))
    assert (world.size(some)[0], world.size(rest)[0]) == (50, 150)
    # A tenth real, the rest drawn afresh each batch: the two kinds train one network.
    mixed = world.fit([Part(batch=real), Part(batch=samples)], stream(0, "again"))
    assert not np.array_equal(mixed["to_mean.weight"], model["to_mean.weight"])
    seen = world.observe(mixed, [("", samples)], Reference(generation=1, real=[real], model=model))
    assert seen["sample_latent_means"][0].shape == (200, 8)


def test_more_real_images_than_there_are_is_an_error() -> None:
    with pytest.raises(DataError, match="5000 real images asked for, 'digits' has 1618"):
        VaeWorld({}, {}).real(sizes(5000), stream(0))


def test_no_real_image_is_dealt_twice_to_one_chain() -> None:
    """Not to the spare ones, not to arrivals, not to those a detector takes for a model's."""
    world = VaeWorld({"replicas": 2}, {})
    detection = Detection(simulated=SimulatedDetector(true_positive_rate=0.9, false_positive_rate=0.3))
    with PoolEvaluator() as evaluator:
        pool = CohortPool(
            world, Real(samples=900, arrivals=200), seed=0, budget=Budget(documents=400), evaluator=evaluator,
            detection=detection,
        )  # fmt: skip
        pool.begin()
        for generation in (1, 2, 3):
            pool._arrive(generation)
        cohorts = [pool._batch(cohort) for cohort in pool._cohorts]
        for replica in range(2):
            dealt = np.concatenate([batch["images"][slice(*batch["offsets"][replica:][:2])] for batch in cohorts])
            known, times = np.unique(world._data.images, axis=0, return_counts=True)
            found, often = np.unique(dealt, axis=0, return_counts=True)
            assert len(dealt) == 900 + 3 * 200
            most = dict(zip(map(bytes, known), times.tolist(), strict=True))
            assert all(n <= most[bytes(image)] for image, n in zip(found, often.tolist(), strict=True))
        pool._arrive(4)
        with pytest.raises(DataError, match="1700 real images asked for, 'digits' has 1618"):
            pool._batch(pool._cohorts[-1])


def test_a_checkpoint_belongs_to_one_training_set(tmp_path: Path) -> None:
    world = VaeWorld({"endless": True, "training": SHORT}, {})
    world.scratch = tmp_path
    images, one = world._data.images[:50], np.ones(50)
    sources = [(world._new(seed), 200, 1.0) for seed in (1, 2)]
    names = {
        world._checkpoint(images, one, [], 0),
        world._checkpoint(images, one, [], 1),
        world._checkpoint(images[:40], one[:40], [], 0),
        world._checkpoint(images, 5 * one, [], 0),
        world._checkpoint(images, np.ones(250), [sources[0]], 0),
        world._checkpoint(images, np.ones(250), [sources[1]], 0),
    }
    assert len(names) == 6
    assert world._checkpoint(images, one, [], 0) in names


def test_endless_samples_do_not_go_into_a_graph() -> None:
    with pytest.raises(ConfigError, match="compile = true does not go with endless"):
        VaeWorld({"endless": True, "training": {**SHORT, "compile": True}}, {})


def test_training_on_nothing_is_an_error() -> None:
    world = VaeWorld({}, {})
    with pytest.raises(DataError, match="nothing to train on"):
        world.fit([Part(batch=world.real(sizes(0), stream(0)))], stream(0))


def test_a_device_that_is_not_there_is_an_error() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ConfigError, match="no CUDA device"):
        VaeWorld({"device": "cuda"}, {})


def test_weights_count_a_part_for_more() -> None:
    world = VaeWorld({"training": SHORT}, {})
    real = world.real(sizes(60), stream(0, "real"))
    parts = [Part(batch=half) for half in world.split(real, sizes(30), stream(0, "split"))]
    heavy = [parts[0], Part(batch=parts[1].batch, weight=0.0)]
    alone = world.fit([parts[0]], stream(0, "fit"))
    assert not np.array_equal(world.fit(heavy, stream(0, "fit"))["conv1.weight"], alone["conv1.weight"])
    # Images that count for nothing leave the others' fit: the two halves differ in digits, the loss must show it.
    first = world._losses(world.fit(heavy, stream(0, "fit")), 0, parts[0].batch["images"]).mean()
    other = [Part(batch=parts[0].batch, weight=0.0), parts[1]]
    assert first < world._losses(world.fit(other, stream(0, "fit")), 0, parts[0].batch["images"]).mean()


def test_diffusion_samples_come_from_the_prior_it_was_given() -> None:
    class Perfect(Ddpm):
        """Knows that every image is one grey of 0.75, so it sees the noise exactly."""

        def noise(self, x: Any, step: Any) -> Any:
            signal = self.signal[step][:, None, None, None]
            return (x - signal.sqrt() * 0.5) / (1 - signal).sqrt()

    model = Perfect(height=8, width=8, channels=4, steps=50, sampling_steps=10)
    with seeded(torch.device("cpu"), 0):
        assert torch.allclose(model.sample(3), torch.full((3, 1, 8, 8), 0.75), atol=1e-4)
        assert model.losses(torch.full((20, 1, 8, 8), 0.75)).max() < 1e-5
    assert isinstance(model, nn.Module)


@pytest.mark.slow
def test_diffusion_learns_digits() -> None:
    world = DiffusionWorld({"training": {"epochs": 40, "batch_size": 64, "learning_rate": 2e-3}, "channels": 16}, {})
    real = world.real(sizes(1500), stream(0, "real"))
    model = world.fit([Part(batch=real)], stream(0, "fit"))
    samples = [("", world.sample(model, sizes(500), stream(0, "sample"))[""])]
    seen = world.observe(model, samples, Reference(generation=0, real=[real], model=model))
    assert METRICS.load("class_coverage").measure(
        *(seen[need] for need in METRICS.load("class_coverage").needs)
    ).tolist() == [1.0]
    precision = METRICS.load("precision")
    assert precision.measure(*(seen[need] for need in precision.needs))[0] > 0.3


def test_replacing_digits_with_samples_narrows_them_generation_after_generation() -> None:
    training = {"epochs": 12, "batch_size": 64, "learning_rate": 3e-3, "loss_over_batch": "sum"}
    world = VaeWorld({"training": training, "replicas": 2}, {})
    real = world.real(sizes(600, 600), stream(0, "real"))
    batch, first, spread = real, None, []
    for generation in range(4):
        model = world.fit([Part(batch=batch)], stream(0, "fit", generation))
        first = first or model
        batch = world.sample(model, sizes(600, 600), stream(0, "sample", generation))[""]
        seen = world.observe(model, [("", batch)], Reference(generation=generation, real=[real], model=first))
        spread.append([float(np.std(means)) for means in seen["sample_latent_means"]])
    assert (np.array(spread[-1]) < 0.85 * np.array(spread[0])).all()

"""Small grey images with classes: scikit-learn's digits, IDX files, spoken digits as spectrograms. Knows no model."""

import gzip
import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from provenance import seeds
from provenance.errors import DataError
from provenance.npz import read_npz

Bytes = NDArray[np.uint8]
Classes = Literal["digit", "speaker"]

MELS, FRAMES, HOP, WINDOW = 32, 32, 125, 256
"""Half a second at 8 kHz becomes 32 × 32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """Images to learn from, and others that no model sees."""

    images: Bytes
    """uint8 (n, height, width), height and width multiples of 4."""
    classes: NDArray[np.int64]
    names: list[str]
    held_out: Bytes


def load_images(data: str, classes: Classes = "digit") -> ImageSet:
    """`digits`, a folder of IDX files as MNIST has them, or an .npz of spoken digits. Raises DataError."""
    if data == "digits":
        return _digits()
    path = Path(data)
    if path.suffix == ".npz":
        return _spoken(path, classes)
    if not path.is_dir():
        raise DataError(f"no image data in {data!r}", hint="'digits', a folder of IDX files, or an .npz of recordings")
    return _idx_folder(path)


def _digits() -> ImageSet:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return _split(np.round(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8), labels.astype(np.int64))


def _idx_folder(folder: Path) -> ImageSet:
    def read(name: str) -> Bytes:
        found = next((file for file in (folder / name, folder / f"{name}.gz") if file.exists()), None)
        if found is None:
            raise DataError(f"{folder} has no {name}", hint="MNIST's four files, gzipped or not")
        return read_idx(found)

    images, labels = read("train-images-idx3-ubyte"), read("train-labels-idx1-ubyte").astype(np.int64)
    held_out = read("t10k-images-idx3-ubyte")
    if len(images) != len(labels):
        raise DataError(f"{folder} has {len(images)} images and {len(labels)} labels")
    return ImageSet(images=images, classes=labels, names=_names(labels), held_out=held_out)


def _split(images: Bytes, labels: NDArray[np.int64], names: list[str] | None = None) -> ImageSet:
    """Set a tenth aside, the same tenth every time."""
    order = seeds.stream(0, "held-out images").permutation(len(images))
    held, kept = order[: len(order) // 10], np.sort(order[len(order) // 10 :])
    return ImageSet(images=images[kept], classes=labels[kept], names=names or _names(labels), held_out=images[held])


def _names(labels: NDArray[np.int64]) -> list[str]:
    return [str(i) for i in range(int(labels.max()) + 1)]


def read_idx(path: Path) -> Bytes:
    """The array in an IDX file of bytes (MNIST's format), gzipped or not. Raises DataError."""
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path.name}: {error}") from error
    # Two zeros, the type (8: unsigned bytes), the number of dimensions, then each dimension as a 32-bit integer.
    if len(raw) < 4 or raw[:3] != bytes([0, 0, 8]) or len(raw) < 4 + 4 * raw[3]:
        raise DataError(f"{path.name} is not an IDX file of bytes", hint="expected MNIST's *-ubyte or *-ubyte.gz")
    shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    body = raw[4 + 4 * raw[3] :]
    if len(body) != int(np.prod(shape)):
        raise DataError(f"{path.name} says {shape} but holds {len(body)} bytes", hint="the file is cut short")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)


def _spoken(path: Path, classes: Classes) -> ImageSet:
    """Recordings end to end in `samples`, cut at `offsets`, with `digit` and `speaker` of each; names in `speakers`."""
    stored = read_npz(path)
    try:
        samples, offsets, rate = stored["samples"], stored["offsets"], int(stored["rate"])
        labels = stored[classes].astype(np.int64)
        names = [str(name) for name in stored["speakers"]] if classes == "speaker" else None
    except (ValueError, KeyError) as error:
        raise DataError(f"{path.name} holds no spoken digits: {error}") from error
    filters = _mel_filters(rate)
    images = [mel_image(samples[a:b], filters) for a, b in pairwise(offsets)]
    return _split(np.stack(images), labels, names)


def _mel_filters(rate: int) -> NDArray[np.float64]:
    """Triangles (MELS, WINDOW // 2 + 1), evenly spaced on the mel scale from 0 to half the rate."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    frequency = np.linspace(0, rate / 2, WINDOW // 2 + 1)
    rise = (frequency - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    fall = (corners[2:, None] - frequency) / (corners[2:] - corners[1:-1])[:, None]
    return np.maximum(0, np.minimum(rise, fall))


def mel_image(samples: NDArray[np.int16], filters: NDArray[np.float64]) -> Bytes:
    """Half a second as a mel spectrogram: 60 dB below the loudest is black."""
    wanted = WINDOW + HOP * (FRAMES - 1)
    wave = np.zeros(wanted)
    wave[: min(len(samples), wanted)] = samples[:wanted]
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = filters @ (np.abs(np.fft.rfft(frames)) ** 2).T
    decibels = 10 * np.log10(np.maximum(power, 1e-12) / max(float(power.max()), 1e-12))
    image: Bytes = np.round(255 * np.clip(1 + decibels / 60, 0, 1)).astype(np.uint8)
    return image

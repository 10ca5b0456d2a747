"""Small grey images as numbers: IDX files and scikit-learn's digits. Knows no model."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from provenance.errors import DataError

_IDX_UNSIGNED_BYTE = 0x08


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an IDX file of bytes (MNIST's format), gzipped or not. Raises DataError."""
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path.name}: {error}") from error
    if len(raw) < 4 or raw[:3] != bytes([0, 0, _IDX_UNSIGNED_BYTE]) or len(raw) < 4 + 4 * raw[3]:
        raise DataError(f"{path.name} is not an IDX file of bytes", hint="expected MNIST's *-ubyte or *-ubyte.gz")
    shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    body = raw[4 + 4 * raw[3] :]
    if len(body) != int(np.prod(shape)):
        raise DataError(f"{path.name} says {shape} but holds {len(body)} bytes", hint="the file is cut short")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)

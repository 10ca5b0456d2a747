"""Grey images as one PNG. Knows bytes alone.

The format needs a checksum and a compressor, both of which Python has: no imaging library for a few thumbnails.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_GREY_8_BIT = b"\x08\x00\x00\x00\x00"
_GAP = 1


def mosaic(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (n, height, width) in a grid as nearly square as can be, white lines between them."""
    n, height, width = images.shape
    columns = max(1, int(np.ceil(np.sqrt(n))))
    rows = -(-n // columns)
    step_y, step_x = height + _GAP, width + _GAP
    canvas = np.full((max(rows * step_y - _GAP, 0), max(columns * step_x - _GAP, 0)), 255, dtype=np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * step_y, i % columns * step_x
        canvas[y : y + height, x : x + width] = image
    return canvas


def encode(image: NDArray[np.uint8]) -> bytes:
    """A grey image (height, width), 0 black, as a PNG file (RFC 2083)."""
    height, width = image.shape
    # Each line begins with its filter: none.
    lines = np.concatenate([np.zeros((height, 1), dtype=np.uint8), image], axis=1).tobytes()
    header = struct.pack(">II", width, height) + _GREY_8_BIT
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )

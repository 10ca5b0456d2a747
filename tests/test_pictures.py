"""What image models made: grey PNGs by hand, and their way from a generation into the catalog and the report."""

import struct
import zlib

import numpy as np
import pytest

from provenance.catalog.query import run_query
from provenance.png import encode, mosaic

RECIPE = """
name = "digits"
world = "vae"
generations = 2
policies = ["replace"]
budget = { documents = 100 }
model = { training = { epochs = 1, batch_size = 50, learning_rate = 1e-3, loss_over_batch = "sum" } }
"""


def decoded(png):
    """A plain reading of the format, for grey images of 8 bits without filters."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + body),)
        chunks[kind], at = body, at + 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, bits, colour, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (bits, colour, rest) == (8, 0, [0, 0, 0])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(height, 1 + width)
    assert not lines[:, 0].any()
    return lines[:, 1:]


def test_a_picture_is_read_back_as_it_was():
    image = np.arange(15, dtype=np.uint8).reshape(3, 5) * 17
    assert np.array_equal(decoded(encode(image)), image)


def test_images_stand_in_rows_with_white_lines_between():
    images = np.arange(1, 4, dtype=np.uint8)[:, None, None] * np.ones((3, 1, 2), dtype=np.uint8)
    assert mosaic(images).tolist() == [[1, 1, 255, 2, 2], [255] * 5, [3, 3, 255, 255, 255]]
    assert mosaic(images[:1]).tolist() == [[1, 1]]
    assert mosaic(images[:0]).size == 0


def test_every_generation_leaves_a_picture_that_the_report_shows_and_removal_takes(run, catalog, tmp_path):
    pytest.importorskip("torch")
    file = tmp_path / "digits.toml"
    file.write_text(RECIPE)
    assert run("experiment", "run", str(file)).exit_code == 0
    rows = run_query(catalog, "select run_id, generation, width, height, png from pictures order by all").rows
    assert [row[:4] for row in rows] == [
        (f"digits/{policy}-s0", generation, 44, 44) for policy in ("control", "replace") for generation in range(3)
    ]
    assert rows[0][4] == rows[3][4]  # generation 0 is shared
    pictures = [decoded(row[4]) for row in rows]
    assert all((picture[8] == 255).all() and len(np.unique(picture[:8])) > 3 for picture in pictures)
    assert not np.array_equal(pictures[1], pictures[2])
    assert run("report", "build", "-o", str(tmp_path / "r.html")).exit_code == 0
    assert (tmp_path / "r.html").read_text().count("data:image/png;base64,") == 6
    assert run("verify").exit_code == 0
    assert run("experiment", "rm", "digits").exit_code == 0
    assert run_query(catalog, "select count(*) from pictures").rows == [(0,)]

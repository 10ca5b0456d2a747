"""A trained detector on disk: `weights.npz` (arrays, no pickle) and `card.json`, written last. Knows no model."""

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from provenance.detectors.normalise import NORMALISER_VERSION
from provenance.errors import DataError
from provenance.npz import read_npz

WEIGHTS, CARD = "weights.npz", "card.json"


def save_weights(
    folder: Path, name: str, algorithm: int, arrays: Mapping[str, NDArray[Any]], card: Mapping[str, Any]
) -> None:
    """Write arrays and card; a folder without its card is not a detector, so the card comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    body = io.BytesIO()
    np.savez_compressed(body, **dict(arrays))  # type: ignore[arg-type]
    _write(folder / WEIGHTS, body.getvalue())
    full = {
        "detector": name,
        "algorithm": algorithm,
        "normaliser": NORMALISER_VERSION,
        "weights_sha256": weights_digest(arrays),
        **card,
    }
    _write(
        folder / CARD, orjson.dumps(full, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
    )


def load_weights(folder: Path, name: str, algorithm: int) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what `save_weights` wrote. Raises DataError when it is missing, damaged or of another version."""
    card = read_card(folder)
    if card.get("detector") != name:
        raise DataError(f"{folder} holds detector {card.get('detector')!r}, not {name!r}")
    found = (card.get("algorithm"), card.get("normaliser"))
    if found != (algorithm, NORMALISER_VERSION):
        raise DataError(
            f"{folder}: detector {name!r} was trained with algorithm {found[0]}, normaliser {found[1]}; "
            f"this program has {algorithm} and {NORMALISER_VERSION}",
            hint=f"train it again: provenance detector train CORPUS --detector {name}",
        )
    arrays = read_npz(folder / WEIGHTS, hint="train or install the detector again")
    if weights_digest(arrays) != card.get("weights_sha256"):
        raise DataError(f"{folder / WEIGHTS} does not match its card", hint="train or install the detector again")
    return arrays, card


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a stored detector. Raises DataError when there is none."""
    try:
        card = orjson.loads((folder / CARD).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise DataError(f"no trained detector in {folder}: {error}", hint="run: provenance detector ls") from error
    if not isinstance(card, dict):
        raise DataError(f"{folder / CARD} is not a detector card")
    return card


def weights_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over names, types, shapes and bytes of the arrays; the compression around them does not matter."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key}:{array.dtype.str}:{array.shape}:".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _write(path: Path, body: bytes) -> None:
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as handle:
        handle.write(body)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)

"""Arrays from an .npz file, all of them or an error that names the file. Knows nothing of what they mean."""

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import DataError

_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
)
"""What numpy lets through of a file that is missing, cut short or damaged."""


def read_npz(path: Path, *, hint: str = "") -> dict[str, NDArray[Any]]:
    """Every array in a file, by name; no pickles. Raises DataError when it is missing, cut short or damaged."""
    try:
        # Opened here: numpy leaves a file open that turns out to be no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read: {error}", hint=hint) from error

"""A generation on disk: arrays first, manifest last. What has a manifest is complete; anything else never happened.

Knows no catalog, so it works wherever a folder can be written.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from provenance.errors import DataError, ProvenanceError
from provenance.npz import read_npz
from provenance.plugins import Arrays

SCHEMA = "provenance.generation/1"
_MANIFEST = "manifest.json"


def digest(arrays: Mapping[str, Any]) -> str:
    """`sha256:` over names, types, shapes and bytes of some arrays."""
    h = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        h.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        h.update(array.tobytes())
    return f"sha256:{h.hexdigest()}"


def write_generation(folder: Path, arrays: Mapping[str, Arrays], manifest: Mapping[str, Any], *, what: str) -> None:
    """Write `NAME.npz` for each group of arrays, then the manifest that makes them count.

    Raises ProvenanceError naming `what` when the disk does not take it; earlier generations are untouched.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, group in arrays.items():
            temporary = folder / f".{name}.npz.tmp"
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **group)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(folder / f"{name}.npz")
        temporary = folder / f".{_MANIFEST}.tmp"
        with temporary.open("w", encoding="utf-8") as text:
            json.dump({"schema": SCHEMA, **manifest}, text, ensure_ascii=False, allow_nan=False, indent=1)
            text.write("\n")
            text.flush()
            os.fsync(text.fileno())
        temporary.rename(folder / _MANIFEST)
        sync_folder(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise ProvenanceError(
            f"{what} could not be written to {folder}: {error.strerror or error}",
            hint="free some space and run: provenance experiment resume; finished generations are kept",
        ) from error


@contextmanager
def alone(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Keep other processes out of `folder` until the block ends. A kill lets go.

    Waits for one that is in it, or raises BlockingIOError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a complete generation, None where there is none. Raises DataError when it cannot be read."""
    try:
        manifest: dict[str, Any] = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / _MANIFEST} is damaged: {error}", hint=f"remove {folder} and resume") from error
    if manifest.get("schema") != SCHEMA:
        raise DataError(f"{folder / _MANIFEST} has schema {manifest.get('schema')!r}, not {SCHEMA!r}")
    return manifest


def read_arrays(folder: Path, name: str) -> Arrays:
    """One group of arrays. Raises DataError when it is missing or damaged."""
    return read_npz(folder / f"{name}.npz", hint=f"remove {folder} and resume")


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

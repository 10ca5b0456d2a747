"""Finding and opening detectors: trained in a catalog, shipped with the package, or made from settings."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import provenance.detectors
from provenance.detectors.weights import CARD, read_card
from provenance.errors import ConfigError, DataError, suggestion
from provenance.plugins import DETECTORS, Detector
from provenance.tagging.reading import Reading, load_reading

DEFAULT_DETECTOR = "stack"
_EXAMPLES = {"key": "15485863", "model": "FOLDER_OR_HUB_NAME", "scheme": "kgw", "tokenizer": "FOLDER_OR_HUB_NAME"}
"""What a setting without a default may look like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A detector ready to score, and how to read its scores if that is known."""

    detector: Detector
    reading: Reading | None
    card: Mapping[str, Any]


def shipped_folder(name: str) -> Path:
    """Where the package keeps the trained detector `name`, whether or not there is one."""
    return Path(str(files(provenance.detectors).joinpath("default", name)))


def find_folder(root: Path | None, name: str) -> Path | None:
    """The folder of a trained detector: the catalog's own first, then the package's; None where it is in neither."""
    places = [root / "detectors" / name] if root is not None else []
    for folder in (*places, shipped_folder(name)):
        if (folder / CARD).is_file():
            return folder
    return None


def open_detector(root: Path | None, name: str, settings: Mapping[str, str] | None = None) -> Opened:
    """The detector `name`, trained where it is one that trains. Settings make a new one instead of a stored one.

    Raises NotFoundError for an unknown name, ConfigError for wrong settings, DataError for a damaged or missing folder.
    """
    cls = DETECTORS.load(name)
    folder = find_folder(root, name)
    if folder is not None and not settings:
        detector = cls.load(folder)
        return Opened(detector=detector, reading=load_reading(folder, detector.version), card=read_card(folder))
    if hasattr(cls, "fit") and not settings:
        raise DataError(
            f"detector {name!r} is not trained and was given no settings",
            hint=f"run: provenance detector train CORPUS… --detector {name}",
        )
    return Opened(detector=make_detector(name, settings or {}), reading=None, card={})


def make_detector(name: str, settings: Mapping[str, str]) -> Any:
    """A new detector from settings. Raises ConfigError when a setting is unknown or missing."""
    cls = DETECTORS.load(name)
    known = settings_of(cls)
    for setting in settings:
        if setting not in known:
            raise ConfigError(
                f"detector {name!r} has no setting {setting!r}",
                hint=suggestion("setting", setting, known) if known else "it takes none",
            )
    missing = [setting for setting, default in known.items() if default is None and setting not in settings]
    if missing:
        example = " ".join(f"-o {setting}={_EXAMPLES.get(setting, 'VALUE')}" for setting in missing)
        raise ConfigError(f"detector {name!r} needs settings: {', '.join(missing)}", hint=f"give them as {example}")
    return cls(**settings)


def settings_of(cls: Any) -> dict[str, Any]:
    """The settings a detector may be made with and their defaults, None where it must be given."""
    found = inspect.signature(cls).parameters
    # Trained weights come from a folder, never from a command line.
    return {n: None if p.default is p.empty else p.default for n, p in found.items() if n != "arrays"}

"""The sample corpora that ship: public-domain human text and text a small model wrote from it.

Knows the files and their manifest; not what is done with them. `scripts/make_sample.py` made them.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from provenance.errors import NotFoundError

NAMES = ("speeches", "novel", "smollm", "web", "web-truth", "labelled", "heldout")
"""`web-truth` is no corpus: it says who wrote each text of `web`, where everything is declared human."""


def path(name: str) -> Path:
    """The file of one sample corpus: JSON lines, compressed with zstd."""
    if name not in NAMES:
        raise NotFoundError.of("sample corpus", name, NAMES)
    return Path(str(files(__package__) / f"{name}.jsonl.zst"))


def manifest() -> dict[str, Any]:
    """Rows, size and sha256 of every file, the sources with their licences, and how the model's text was made."""
    loaded: dict[str, Any] = json.loads((files(__package__) / "manifest.json").read_text(encoding="utf-8"))
    return loaded

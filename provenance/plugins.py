"""What a plugin must be, and the one table per kind that names them all. Imports no plugin until it is asked for.

A new plugin is one file plus one line here; the contract tests pick it up from the table.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from provenance.errors import NotFoundError


class Registry:
    """Names to `"module:attribute"` strings, loaded on first use. Unknown names raise with a suggestion."""

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def load(self, name: str) -> Any:
        """The class or function registered as `name`. Raises NotFoundError."""
        if name not in self._entries:
            raise NotFoundError.of(self.kind, name, self._entries)
        module, _, attribute = self._entries[name].partition(":")
        return getattr(import_module(module), attribute)


@runtime_checkable
class Detector(Protocol):
    """Texts in, scores out. Sees no catalog, tag, lineage or policy, so what it says can be measured."""

    name: ClassVar[str]
    """[a-z0-9_]+; never changes meaning, a new meaning is `name_v2`."""

    @property
    def version(self) -> str:
        """Changes whenever a score could change: algorithm number and, where trained, a hash of the weights."""

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """float64[n], higher means more model-like; NaN where the detector abstains. `""` is a legal text."""


@runtime_checkable
class TrainableDetector(Detector, Protocol):
    """A detector that learns from labelled texts and is stored as a folder without pickles."""

    def fit(self, texts: Sequence[str], is_model: NDArray[np.bool_], groups: Sequence[str] | None = None) -> Self:
        """Learn from texts and labels; `groups` names each text's domain. Raises DataError on one class only."""

    def save(self, folder: Path) -> None:
        """Write weights and settings into `folder`."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises DataError when files are missing or of another version."""


DETECTORS = Registry(
    "detector",
    {
        "stylometry": "provenance.detectors.stylometry:Stylometry",
    },
)

"""Every error this package raises on purpose, and the exit code each one means. Knows nothing of terminals.

ProvenanceError (3: runtime or IO)
├── UsageError (2: the caller asked for something that cannot be)
│   ├── ConfigError        a file or option has a wrong key or value
│   ├── NotFoundError      a named corpus, detector, mix … is not there
│   └── QueryError         SQL that does not parse, bind, or may not run
├── CatalogError           the catalog cannot be opened, is newer than this program, or is damaged
│   ├── CatalogLockedError another process is writing
│   └── CatalogReadOnlyError  it can be read, not written
├── DataError              input data that cannot be used
├── CheckFailedError (1)   the command worked; what it checked does not hold
└── MissingExtraError      a command needs an optional dependency
"""

import difflib
from collections.abc import Iterable


class ProvenanceError(Exception):
    """An error with a message that names the thing and its value, and a hint that says what to do."""

    exit_code = 3

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ProvenanceError):
    """What was asked for cannot be done as asked."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file or an option has a wrong key or value."""


class NotFoundError(UsageError):
    """A named thing is not in the catalog."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> "NotFoundError":
        """Say which `kind` is missing and suggest the nearest known name."""
        hint = hint or suggestion(kind, name, known)
        return cls(f"no {kind} named {name!r}", hint=hint)


class QueryError(UsageError):
    """SQL that does not parse, does not bind, or would write or read outside the catalog."""


class CatalogError(ProvenanceError):
    """The catalog cannot be opened or is damaged."""


class CatalogLockedError(CatalogError):
    """Another process holds the catalog and did not let go in time."""


class CatalogReadOnlyError(CatalogError):
    """The catalog can be read and not written: its file belongs to someone else, or its disk is read-only."""


class DataError(ProvenanceError):
    """Input data that cannot be used."""


class CheckFailedError(ProvenanceError):
    """The command did its work, and what it checked does not hold."""

    exit_code = 1


class MissingExtraError(ProvenanceError):
    """A command needs an optional dependency that is not installed."""

    @classmethod
    def of(cls, what: str, extra: str) -> "MissingExtraError":
        """Name the feature and the extra that brings it."""
        return cls(f"{what} needs the extra '{extra}'", hint=f"pip install 'corpus-provenance[{extra}]'")


def suggestion(kind: str, name: str, known: Iterable[str]) -> str:
    """A hint for a wrong name: the nearest known one, else the known ones, the first of them where they are many."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    if names:
        shown = names if len(names) < 15 else [*names[:8], "…"]
        return f"known: {', '.join(shown)}"
    return f"there is no {kind} yet"

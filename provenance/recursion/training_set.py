"""What goes into a generation and what comes out, with what a pool needs to be rebuilt from them after a restart."""

from dataclasses import dataclass
from typing import Any

from provenance.mixing.draw import Realised
from provenance.plugins import Arrays, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a policy drew for one generation."""

    parts: list[Part]
    realised: list[Realised]
    record: Arrays
    """Which rows of the pool, or which cohorts, and how often."""
    trained_on: dict[str, int]
    """Documents or samples by where they came from: `real`, or `generation-3`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a generation's model wrote."""

    samples: Any
    """`Arrays`; one per subgroup in statistical worlds."""
    kept: Arrays
    """What a restart needs to have these samples again."""
    n: int
    """Samples; the mean over replicas where they differ."""

"""One generation's training set: the parts a world fits, and what is needed to rebuild the pool after a restart."""

from dataclasses import dataclass

from provenance.mixing.draw import Realised
from provenance.plugins import Arrays, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a policy drew for one generation."""

    parts: list[Part]
    realised: list[Realised]
    record: Arrays
    """Which rows of the pool, or which cohorts, and how often."""

"""Which of two near-duplicates is preferred, and the name of the reason. Knows standing, never texts or pairs.

Human originals come before model copies unless the caller asks for the oldest or the longest. Documents of the corpora
a job compares *against* are given: they stay and win, but a human's text is never set aside for a model's.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from provenance.dedup.choose import Choice


class Keep(StrEnum):
    """What makes a document worth keeping. Ties go to the older, then to the lower id."""

    HUMAN_FIRST = "human-first"
    OLDEST = "oldest"
    LONGEST = "longest"


class Reason(StrEnum):
    """Why a document is kept or set aside."""

    FIRST_CHOICE = "first_choice"
    """Kept, and at least one document was set aside for it."""
    NO_KEPT_NEIGHBOUR = "no_kept_neighbour"
    """Kept: its neighbours were all set aside for others that are not its neighbours, or are given ones."""
    COPY_OF_GIVEN = "copy_of_given"
    """Set aside for a document of a corpus that was compared against."""
    COPY_OF_HUMAN = "copy_of_human"
    """Set aside: the kept one is a human's, this one is not known to be."""
    MODEL_COPY = "model_copy"
    """Set aside: this one is a model's, the kept one is not known to be."""
    SHORTER_COPY = "shorter_copy"
    NEWER_COPY = "newer_copy"
    UNDATED_COPY = "undated_copy"
    """Set aside: the kept one has a date and this one has none."""
    EQUAL_COPY = "equal_copy"
    """Set aside: nothing told the two apart, so the lower id stays."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standing:
    """What a choice may rest on, for some rows in ascending order."""

    rows: NDArray[np.int64]
    origin: NDArray[np.str_]
    created_us: NDArray[np.int64]
    """Microseconds since 1970; `UNDATED` without a date."""
    n_chars: NDArray[np.int64]
    fixed: NDArray[np.bool_]
    id_rank: NDArray[np.int64]
    """The place of each row's document when all are sorted by id."""


UNDATED = np.iinfo(np.int64).max
_TIERS = {"human": 1, "unknown": 3, "mixed": 3, "model": 4}


def prefer(standing: Standing, keep: Keep) -> NDArray[np.int64]:
    """The rows from most to least preferred."""
    return standing.rows[np.lexsort(_keys(standing, keep)[::-1])]


def _keys(standing: Standing, keep: Keep) -> list[NDArray[np.int64]]:
    """Sort keys, the weightiest first: tier, length, age, id."""
    length = -standing.n_chars if keep is Keep.LONGEST else np.zeros_like(standing.n_chars)
    return [_tier(standing, keep), length, standing.created_us, standing.id_rank]


def _tier(standing: Standing, keep: Keep) -> NDArray[np.int64]:
    if keep is not Keep.HUMAN_FIRST:
        return np.where(standing.fixed, 0, 1)
    own = np.array([_TIERS[origin] for origin in standing.origin.tolist()], dtype=np.int64).reshape(-1)
    # A given document wins over all but this: a human's text against a model's.
    given = np.where(standing.origin == "model", 2, 0)
    return np.where(standing.fixed, given, own)


def reasons(standing: Standing, choice: Choice, keep: Keep) -> list[Reason]:
    """The reason for each row of `choice`."""
    at = np.searchsorted(standing.rows, choice.rows)
    rival = np.searchsorted(standing.rows, choice.other)
    tier, length, created, _ = _keys(standing, keep)
    preferred = np.zeros(len(standing.rows), dtype=np.bool_)
    preferred[rival[~choice.kept]] = True
    human = standing.origin == "human"
    found = []
    for i, j, kept in zip(at.tolist(), rival.tolist(), choice.kept.tolist(), strict=True):
        if kept:
            reason = Reason.FIRST_CHOICE if preferred[i] else Reason.NO_KEPT_NEIGHBOUR
        elif standing.fixed[j]:
            reason = Reason.COPY_OF_GIVEN
        elif tier[i] != tier[j]:
            reason = Reason.COPY_OF_HUMAN if human[j] else Reason.MODEL_COPY
        elif length[i] != length[j]:
            reason = Reason.SHORTER_COPY
        elif created[i] != created[j]:
            reason = Reason.UNDATED_COPY if created[i] == UNDATED else Reason.NEWER_COPY
        else:
            reason = Reason.EQUAL_COPY
        found.append(reason)
    return found

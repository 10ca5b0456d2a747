"""The `declared` and `date` detectors: what a source says of a text, and when it was written. They read no text.

Neither is a measurement. A declaration is a witness that errs; a date is a prior: text from before language models
wrote fluently cannot be theirs, and text from after may be either.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from provenance.types import EvidenceKind

GPT2_RELEASED = datetime(2019, 2, 14, tzinfo=UTC)
CHATGPT_RELEASED = datetime(2022, 11, 30, tzinfo=UTC)
_BEFORE_GPT2 = -7.0
_BEFORE_CHATGPT = -4.0
_DECLARED = {"model": 1.0, "mixed": 0.0, "human": -1.0}


class Declared:
    """1 where the source declares a model, -1 human, 0 mixed; NaN where it says nothing."""

    name: ClassVar[str] = "declared"
    kind: ClassVar[EvidenceKind] = EvidenceKind.DECLARED
    version: ClassVar[str] = "1"
    columns: ClassVar[tuple[str, ...]] = ("declared_origin", "declared_generator")

    def score_records(self, records: Mapping[str, Sequence[Any]]) -> NDArray[np.float64]:
        """One score per record. A named generator declares a model even where no origin is given."""
        return np.array(
            [
                _DECLARED.get(origin, 1.0 if generator else np.nan) if origin or generator else np.nan
                for origin, generator in zip(records["declared_origin"], records["declared_generator"], strict=True)
            ],
            dtype=np.float64,
        )


class Date:
    """A log likelihood ratio from the creation date: negative before ChatGPT, strongly so before GPT-2, NaN after."""

    name: ClassVar[str] = "date"
    kind: ClassVar[EvidenceKind] = EvidenceKind.DATE
    version: ClassVar[str] = "1"
    columns: ClassVar[tuple[str, ...]] = ("created_at",)

    def score_records(self, records: Mapping[str, Sequence[Any]]) -> NDArray[np.float64]:
        """One score per record; a later or missing date says nothing. Dates the source made up deceive it."""
        return np.array([_date_log_lr(at) for at in records["created_at"]], dtype=np.float64)


def _date_log_lr(at: datetime | None) -> float:
    if at is None:
        return float("nan")
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    if at >= CHATGPT_RELEASED:
        return float("nan")
    return _BEFORE_GPT2 if at < GPT2_RELEASED else _BEFORE_CHATGPT

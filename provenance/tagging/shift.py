"""Does a corpus look like the texts a detector was calibrated on? Knows the shape of texts, no labels and no scores.

A calibration, conformal or not, promises something about texts like its own. Where a corpus is unlike every domain of
it, the promise is off and the program says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from provenance.detectors.normalise import normalise
from provenance.detectors.scope import abstentions
from provenance.detectors.style_features import STYLE_FEATURES, style_matrix
from provenance.detectors.tokens import tokenise

_SHAPE = [i for i, name in enumerate(STYLE_FEATURES) if name.startswith(("shape:", "mark:"))]
_CLIP = 4.0
SHIFT_LIMIT = 0.3
"""Measured: halves of one domain differ by 0.03 to 0.09, one domain from another by 0.5 to 1.5."""
_FAR_QUANTILE = 0.999
_MIN_TEXTS = 20
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Mean and spread of the shape of texts (punctuation, rhythm, word lengths, variety), one row per domain."""

    mean: Floats
    spread: Floats
    far: Floats
    """Per domain: a text further away than this is unlike all but one in a thousand of the domain's own."""

    @classmethod
    def of(cls, texts: Sequence[str], domains: Sequence[str] | None = None) -> Self:
        """The profile of `texts`; those out of a detector's scope, and tiny domains, are left out."""
        shape = _shape(texts)
        known = np.isfinite(shape).all(axis=1)
        labels = np.asarray(domains if domains is not None else [""] * len(texts))
        mean, spread, far = [], [], []
        for name in np.unique(labels[known]):
            own = shape[known & (labels == name)]
            if len(own) < _MIN_TEXTS:
                continue
            deviation = own.std(axis=0)
            deviation[deviation == 0] = 1.0
            mean.append(own.mean(axis=0))
            spread.append(deviation)
            far.append(np.quantile(_distance(own, mean[-1], deviation), _FAR_QUANTILE))
        width = len(_SHAPE)
        return cls(
            mean=np.array(mean, dtype=np.float64).reshape(-1, width),
            spread=np.array(spread, dtype=np.float64).reshape(-1, width),
            far=np.array(far, dtype=np.float64),
        )

    def shift(self, texts: Sequence[str]) -> float:
        """Root mean square difference from the nearest domain's mean, in its standard deviations.

        NaN where either side has too few texts in scope to compare.
        """
        other = type(self).of(texts)
        if len(other.mean) == 0 or len(self.mean) == 0:
            return float("nan")
        scaled = np.clip((other.mean - self.mean) / self.spread, -_CLIP, _CLIP)
        return float(np.sqrt(np.mean(scaled**2, axis=1)).min())

    def far_off(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Which texts are unlike every domain's own. Texts out of scope are not judged."""
        shape = _shape(texts)
        if len(self.mean) == 0:
            return np.zeros(len(texts), dtype=np.bool_)
        beyond = [
            np.nan_to_num(_distance(shape, mean, spread)) > far
            for mean, spread, far in zip(self.mean, self.spread, self.far, strict=True)
        ]
        return np.asarray(np.all(beyond, axis=0))

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """For storing."""
        return {
            "profile_mean": self.mean.astype(np.float32),
            "profile_spread": self.spread.astype(np.float32),
            "profile_far": self.far.astype(np.float32),
        }

    @classmethod
    def of_arrays(cls, arrays: dict[str, NDArray[np.float32]]) -> Self:
        """Read what `arrays` gave."""
        mean, spread, far = (arrays[f"profile_{name}"].astype(np.float64) for name in ("mean", "spread", "far"))
        return cls(mean=mean, spread=spread, far=far)


def _distance(shape: Floats, mean: Floats, spread: Floats) -> Floats:
    return np.asarray(np.sqrt(np.mean(np.clip((shape - mean) / spread, -_CLIP, _CLIP) ** 2, axis=1)))


def _shape(texts: Sequence[str]) -> Floats:
    tokens = tokenise([normalise(text) for text in texts])
    shape = np.sqrt(np.maximum(style_matrix(tokens)[:, _SHAPE].astype(np.float64), 0.0))
    shape[abstentions(tokens) != 0] = np.nan
    return shape

"""The `stylometry` detector: how a text is written (grammar words, punctuation, rhythm, variety), not what about."""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from provenance.detectors.fisher import Design, fit_fisher
from provenance.detectors.style_features import STYLE_FEATURES, style_matrix
from provenance.detectors.tokens import Tokens
from provenance.detectors.trained import LinearDetector

# Features are standardised, so the ridge is in units of their variance; 0.1 to 3 were tried, each domain left out.
_RIDGE = 1.0
_CLIP = 4.0


class Stylometry(LinearDetector):
    """A linear score over about 400 rates and shares."""

    name: ClassVar[str] = "stylometry"
    algorithm: ClassVar[int] = 2

    @staticmethod
    def features(tokens: Tokens) -> NDArray[np.float32]:
        """Rates and shares, dense."""
        # Rates are skewed; their square root is not, and a doubled rare word does not count double.
        return np.sqrt(np.maximum(style_matrix(tokens), 0.0))

    def fit_features(self, features: NDArray[np.float32], design: Design) -> Self:
        """Learn from rows of `features`."""
        centre, scale = features.mean(axis=0), features.std(axis=0)
        scale[scale == 0] = 1.0
        weights = fit_fisher(np.clip((features - centre) / scale, -_CLIP, _CLIP), design, ridge=_RIDGE)
        arrays = {"centre": centre, "scale": scale, "weights": weights}
        fitted = type(self)({key: value.astype(np.float32) for key, value in arrays.items()})
        human = fitted.score_features(features)[~design.is_model]
        spread = float(human.std()) or 1.0
        arrays["weights"] = weights / spread
        return type(self)({key: value.astype(np.float32) for key, value in arrays.items()})

    def score_features(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The score of every row of `features`."""
        return np.asarray(self._scaled(features) @ self.arrays["weights"], dtype=np.float64)

    def contributions(self, tokens: Tokens) -> list[dict[str, float]]:
        """Per text, what each feature adds to the score; for explaining."""
        added = self._scaled(self.features(tokens)) * self.arrays["weights"]
        return [dict(zip(STYLE_FEATURES, row.tolist(), strict=True)) for row in added]

    def _scaled(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        arrays = self.arrays
        return np.asarray(np.clip((features - arrays["centre"]) / arrays["scale"], -_CLIP, _CLIP))

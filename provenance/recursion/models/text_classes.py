"""How much of a text's words each subgroup would have said: shares, not verdicts. Knows words; no model of text.

A model blends what it has learned from all of them in every text, so texts cannot be given to one subgroup each. But
all of them together are a mixture of the subgroups' words, and the mixture's weights can be told.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Reference
from provenance.recursion.models.words import Vocabulary

_SMOOTHING = 0.1
"""Times a subgroup is taken to have said each word besides what it was heard to say."""
_STEPS = 200


class SubgroupWords:
    """The words of each subgroup's real texts."""

    def __init__(self, texts: Sequence[str], subgroups: Sequence[str | None]) -> None:
        self.names = sorted({name for name in subgroups if name})
        self._vocabulary = Vocabulary(texts)
        counts = np.stack(
            [
                self._counts([text for text, of in zip(texts, subgroups, strict=True) if of == name])
                for name in self.names
            ]
        )
        said = counts + _SMOOTHING
        self._chance = said / said.sum(axis=1, keepdims=True)

    def shares(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The likeliest weights of the subgroups' words in these texts; they sum to 1. NaN for texts without words.

        Maximum likelihood by EM with the words' chances held fixed; words that no real text has are left out.
        """
        counts = self._counts(texts)
        heard = counts > 0
        if not heard.any():
            return np.full(len(self.names), np.nan)
        counts, chance = counts[heard], self._chance[:, heard]
        weights = np.full(len(self.names), 1 / len(self.names))
        for _ in range(_STEPS):
            part = weights[:, None] * chance
            weights = (part / part.sum(axis=0)) @ counts / counts.sum()
        return weights

    def _counts(self, texts: Sequence[str]) -> NDArray[np.float64]:
        numbers, n = self._vocabulary.numbers(texts), len(self._vocabulary)
        return np.bincount(numbers[numbers < n], minlength=n).astype(np.float64)


class ClassObserver:
    """What metrics of classes look at in a world of texts: it learns once, and looks at the held-out texts once."""

    def __init__(self) -> None:
        self._learned: tuple[Sequence[str | None], Sequence[str]] | None = None
        self._words: SubgroupWords | None = None
        self._held_out = np.empty(0)

    def observe(
        self, samples: Callable[[], list[str]], real: Callable[[], list[str]], reference: Reference
    ) -> dict[str, Any]:
        """Of samples and held-out texts, as of one replica; nothing where no metric asks, or there are no two classes.

        The real texts are those that all runs of the world have: they are asked for once.
        """
        if reference.wanted is not None and "sample_class_shares" not in reference.wanted:
            return {}
        if len({name for name in reference.real_subgroup if name}) < 2 or not reference.held_out:
            return {}
        if self._words is None or self._learned != (reference.real_subgroup, reference.held_out):
            self._words = SubgroupWords(real(), reference.real_subgroup)
            self._held_out = self._words.shares(reference.held_out)
            self._learned = reference.real_subgroup, reference.held_out
        return {
            "sample_class_shares": [self._words.shares(samples())],
            "real_class_shares": [self._held_out],
            "class_names": [self._words.names],
        }

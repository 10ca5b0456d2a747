"""Which subgroup a text sounds like: a classifier of words, learned once from the real texts. Knows no model of text.

What a class's texts say tells it from others only so well, so its verdicts on generated text are compared with those on
held-out human text, never with labels: both are wrong in the same ways.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Reference

_FEATURES = 1 << 16


class TextClasses:
    """Looks at texts; complement naive Bayes over hashed words (Rennie et al. 2003)."""

    def __init__(self, texts: Sequence[str], subgroups: Sequence[str | None]) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.naive_bayes import ComplementNB

        self.names = sorted({name for name in subgroups if name})
        known = [i for i, name in enumerate(subgroups) if name]
        labels = np.searchsorted(self.names, [str(subgroups[i]) for i in known])
        self._words = HashingVectorizer(n_features=_FEATURES, alternate_sign=False)
        self._judge = ComplementNB().fit(self._words.transform([texts[i] for i in known]), labels)

    def classes(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """The subgroup of each text, by its number in `names`."""
        if not len(texts):
            return np.empty(0, dtype=np.int64)
        return np.asarray(self._judge.predict(self._words.transform(texts)), dtype=np.int64)


class ClassObserver:
    """What metrics of classes look at in a world of texts: it learns once, and looks at the held-out texts once."""

    def __init__(self) -> None:
        self._learned: tuple[Sequence[str | None], Sequence[str]] | None = None
        self._classes: TextClasses | None = None
        self._held_out = np.empty(0, dtype=np.int64)

    def observe(
        self, samples: Callable[[], list[str]], real: Callable[[], list[str]], reference: Reference
    ) -> dict[str, Any]:
        """Of samples and held-out texts, as of one replica; nothing where no metric asks, or there are no two classes.

        The real texts are those that all runs of the world have: they are asked for once.
        """
        if reference.wanted is not None and "sample_classes" not in reference.wanted:
            return {}
        if len({name for name in reference.real_subgroup if name}) < 2 or not reference.held_out:
            return {}
        if self._classes is None or self._learned != (reference.real_subgroup, reference.held_out):
            self._classes = TextClasses(real(), reference.real_subgroup)
            self._held_out = self._classes.classes(reference.held_out)
            self._learned = reference.real_subgroup, reference.held_out
        return {
            "sample_classes": [self._classes.classes(samples())],
            "real_classes": [self._held_out],
            "class_names": [self._classes.names],
        }

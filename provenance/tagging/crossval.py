"""Held-out scores: each domain, or each generator, is scored by a detector that never saw it. Knows labels and texts.

In-domain figures flatter (0.99 where an unseen domain gives 0.43), so nothing here ever splits at random unless there
is only one domain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from provenance.errors import DataError
from provenance.plugins import TrainableDetector
from provenance.seeds import stream

_RANDOM_FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Texts with what is known of each."""

    texts: Sequence[str]
    is_model: NDArray[np.bool_]
    domains: Sequence[str]
    generators: Sequence[str]
    """The model of each model text ("model" where not known); "" for human texts."""
    writers: Sequence[str] = ()
    """The group of writers of each text, "" where not known; empty where nobody asked."""

    @property
    def groups(self) -> list[str]:
        """What a detector is told: the domain, and for model texts `domain/generator`, so that each is a cell."""
        return [f"{d}/{g}" if g else d for d, g in zip(self.domains, self.generators, strict=True)]

    def take(self, rows: NDArray[np.int64]) -> Self:
        """The rows `rows`."""
        chosen = rows.tolist()
        return type(self)(
            texts=[self.texts[i] for i in chosen],
            is_model=self.is_model[rows],
            domains=[self.domains[i] for i in chosen],
            generators=[self.generators[i] for i in chosen],
            writers=[self.writers[i] for i in chosen] if self.writers else (),
        )


def domain_folds(data: Labelled, *, seed: int = 0) -> NDArray[np.int64]:
    """The fold of each text: its domain, or a random fifth where there is only one domain."""
    names, folds = np.unique(np.asarray(data.domains), return_inverse=True)
    if len(names) > 1:
        return np.asarray(folds, dtype=np.int64)
    return stream(seed, "folds").integers(0, _RANDOM_FOLDS, len(data.texts))


def generator_folds(data: Labelled, *, seed: int = 0) -> NDArray[np.int64]:
    """The fold of each text: its generator for model texts; human texts are dealt out by chance."""
    names = sorted(set(data.generators) - {""})
    number = {name: k for k, name in enumerate(names)}
    folds = stream(seed, "folds").integers(0, max(len(names), 1), len(data.texts))
    for i, generator in enumerate(data.generators):
        if generator:
            folds[i] = number[generator]
    return folds


def held_out_scores(blank: TrainableDetector, data: Labelled, folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scores of every text from a detector fitted without its fold. NaN where it abstains.

    Raises DataError when no fold leaves both classes to train on.
    """
    scores = np.full(len(data.texts), np.nan)
    for fold in usable_folds(data, folds):
        inside = np.flatnonzero(folds == fold)
        rest = data.take(np.flatnonzero(folds != fold))
        fitted = blank.fit(rest.texts, rest.is_model, rest.groups)
        scores[inside] = fitted.score([data.texts[i] for i in inside.tolist()])
    return scores


def usable_folds(data: Labelled, folds: NDArray[np.int64]) -> list[int]:
    """The folds without which both classes are left to train on. Raises DataError when there is none."""
    usable = [
        fold
        for fold in np.unique(folds).tolist()
        if min(np.bincount(data.is_model[folds != fold].astype(np.int64), minlength=2)) >= 2
    ]
    if not usable:
        raise DataError(
            "no group can be held out: the rest would have one class only",
            hint="give each domain human and model texts, or leave --group out",
        )
    return usable

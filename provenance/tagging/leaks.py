"""What in a labelled set tells human from model without reading it: traces of how it was collected. Knows no detector.

An AUROC far from 0.5 here means that a detector trained or tested on the raw texts may read the collector.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provenance.detectors.normalise import normalise
from provenance.tagging.metrics import auroc

_PREFIX_WORDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """One trace in one domain: how well it alone separates the classes, raw and after the normaliser."""

    domain: str
    trace: str
    raw: float
    normalised: float


def leak_report(texts: Sequence[str], is_model: NDArray[np.bool_], domains: Sequence[str]) -> list[Leak]:
    """AUROC (0.5 to 1) of line breaks, length, shared openings and encoding, per domain that has both classes."""
    found = []
    labels = np.asarray(domains)
    for domain in np.unique(labels):
        rows = np.flatnonzero(labels == domain)
        own = is_model[rows]
        if own.any() and not own.all():
            found += _in_domain(str(domain), [texts[i] for i in rows.tolist()], own)
    return found


def _in_domain(domain: str, texts: Sequence[str], is_model: NDArray[np.bool_]) -> list[Leak]:
    clean = [normalise(text) for text in texts]
    traces: dict[str, Callable[[Sequence[str]], NDArray[np.float64]]] = {
        "line_breaks": lambda some: np.array([text.count("\n") / max(len(text), 1) for text in some]),
        "length": lambda some: np.array([float(len(text.split())) for text in some]),
        "shared_opening": _shared_opening,
        "encoding": lambda some: np.array([sum(not c.isascii() for c in text) / max(len(text), 1) for text in some]),
    }
    return [
        Leak(
            domain=domain, trace=name, raw=_separation(of(texts), is_model), normalised=_separation(of(clean), is_model)
        )
        for name, of in traces.items()
    ]


def _shared_opening(texts: Sequence[str]) -> NDArray[np.float64]:
    """How many other texts open with the same words: prompts that were not removed."""
    openings = [" ".join(text.split()[:_PREFIX_WORDS]).lower() for text in texts]
    counts = Counter(openings)
    return np.array([float(counts[opening] - 1) for opening in openings])


def _separation(values: NDArray[np.float64], is_model: NDArray[np.bool_]) -> float:
    area = auroc(np.sort(values[~is_model]), np.sort(values[is_model]))
    return max(area, 1 - area)

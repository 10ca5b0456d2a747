"""The human texts that a model text is compared with where its domain has none: those about the same things.

Answers of assistants compared with all human texts alike would teach that explaining is the model's. Compared with
human texts of the same words, what is left is how it is written: on domains held out, TPR at 1 % FPR rose from 0.52
to 0.57 (older chat models pooled). Knows sparse rows of words and the learner's design; no detector.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from provenance.detectors.fisher import Design

NEAREST = 10
_MIN_TEXTS = 5
"""A word of fewer texts says more about one text than about a subject."""
_MOST_HUMANS = 20_000
_BLOCK = 500


def matched(words: csr_matrix, is_model: NDArray[np.bool_], groups: Sequence[str] | None) -> Design:
    """The design of a training with the nearest human texts of every model text that needs them."""
    design = Design.of(is_model, groups)
    lone = design.lone
    nearest = np.full((len(is_model), NEAREST), -1, dtype=np.int64)
    nearest[lone] = nearest_humans(words, np.flatnonzero(~is_model), lone)
    return replace(design, nearest=nearest)


def nearest_humans(words: csr_matrix, human: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[len(rows), NEAREST]: for each of `rows` the members of `human` with the greatest TF-IDF cosine.

    `words` has a row per text. With fewer than NEAREST humans the rest is -1. Of very many humans, evenly spaced ones.
    """
    human = human[:: 1 + len(human) // _MOST_HUMANS]
    found = np.full((len(rows), NEAREST), -1, dtype=np.int64)
    if len(human) == 0 or len(rows) == 0:
        return found
    involved = np.r_[human, rows]
    texts_with = np.bincount(words[involved].indices, minlength=words.shape[1])
    idf = np.where(texts_with >= _MIN_TEXTS, np.log(len(involved) / np.maximum(texts_with, 1)), 0.0)
    known = _unit_rows(words[human] @ diags(idf)).T.tocsr()
    count = min(NEAREST, len(human))
    for start in range(0, len(rows), _BLOCK):
        cosine = (_unit_rows(words[rows[start : start + _BLOCK]] @ diags(idf)) @ known).toarray()
        nearest = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        found[start : start + _BLOCK, :count] = human[nearest]
    return found


def _unit_rows(rows: csr_matrix) -> csr_matrix:
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    return (diags(1 / np.where(length > 0, length, 1.0)) @ rows).tocsr().astype(np.float32)

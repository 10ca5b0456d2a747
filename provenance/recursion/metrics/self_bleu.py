"""Self-BLEU (Zhu et al. 2018): how much each text repeats the others. Falls with diversity, so lower is better.

Each text is scored by BLEU-4 against all the others as references. Clipping an n-gram's count needs its largest count
in any *other* text: the largest and second largest counts over all texts answer that for every text, so the cost is
linear in the tokens, where scoring each text against each other one is quadratic.
"""

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Metric
from provenance.recursion.metrics.ngrams import ngram_codes

ORDER = 4
EPSILON = 0.1
"""What counts in place of no match at all (NLTK's smoothing method 1)."""


def self_bleu(ids: NDArray[np.integer], offsets: NDArray[np.int64]) -> float:
    """Mean BLEU-4 of each document against all others; NaN for fewer than two. Empty documents are left out."""
    lengths = np.diff(offsets)
    lengths_used = lengths[lengths > 0]
    n = len(lengths_used)
    if n < 2:
        return float("nan")
    offsets = np.concatenate([[0], np.cumsum(lengths_used)])
    log_precision = np.zeros(n)
    for order in range(1, ORDER + 1):
        matched, total = _clipped_matches(*ngram_codes(ids, offsets, order), n)
        # A text shorter than the order has no n-gram: it counts as one n-gram that matches nothing.
        log_precision += np.log(np.where(matched > 0, matched, EPSILON) / np.maximum(total, 1)) / ORDER
    closest = _closest_other(lengths_used)
    brevity = np.minimum(0.0, 1.0 - closest / lengths_used)
    return float(np.exp(log_precision + brevity).mean())


def _clipped_matches(
    codes: NDArray[np.int64], owner: NDArray[np.int64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each document, its n-grams clipped to their largest count elsewhere, and all its n-grams."""
    # Owners ascend, so a stable sort by n-gram leaves each one's documents in order.
    order = np.argsort(codes, kind="stable")
    codes, owner = codes[order], owner[order]
    starts = np.flatnonzero(np.r_[True, (codes[1:] != codes[:-1]) | (owner[1:] != owner[:-1])][: len(codes)])
    count = np.diff(np.r_[starts, len(codes)])
    codes, owner = codes[starts], owner[starts]
    if len(codes) == 0:
        return np.zeros(n), np.zeros(n)
    first = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    group = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(codes)]))
    largest = np.maximum.reduceat(count, first)
    is_largest = count == largest[group]
    # Where two documents share the largest count, each is the other's largest elsewhere.
    below = np.maximum.reduceat(np.where(is_largest, 0, count), first)
    second = np.where(np.bincount(group[is_largest]) > 1, largest, below)
    elsewhere = np.where(is_largest, second[group], largest[group])
    matched = np.bincount(owner, weights=np.minimum(count, elsewhere), minlength=n)
    return matched.astype(np.float64), np.bincount(owner, weights=count, minlength=n).astype(np.float64)


def _closest_other(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The length of another document nearest to each one's own, the shorter of two that are equally near."""
    order = np.argsort(lengths, kind="stable")
    in_order = lengths[order]
    before = np.r_[np.iinfo(np.int64).min // 2, in_order[:-1]]
    after = np.r_[in_order[1:], np.iinfo(np.int64).max // 2]
    nearest = np.where(in_order - before <= after - in_order, before, after)
    found = np.empty_like(lengths)
    found[order] = nearest
    return found


METRIC = Metric(
    name="self_bleu",
    unit="BLEU-4",
    higher_is_better=False,
    needs=("sample_ids", "sample_offsets"),
    measure=self_bleu,
)

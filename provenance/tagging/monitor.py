"""Early warning: does this crawl look collapsed against that one? Knows two sets of texts, no labels.

Collapse takes the tails first: rare words go, sentences repeat, a fixed model finds the text easier. Each measure is
taken on blocks of the same number of words on both sides, so size does not matter, and its interval is over blocks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provenance.detectors.tokens import WORD, tokenise
from provenance.errors import DataError
from provenance.seeds import stream
from provenance.tagging.metrics import Interval

_BLOCKS = 20
_MIN_BLOCK_WORDS = 400
_RARE_AT_MOST = 3
_ZIPF_RANKS = 200
_DISCOUNT = 0.75
_TOKENISE_TEXTS = 512
_PRIME = np.uint64(0x9E3779B97F4A7C15)
RELEVANT = 0.02
"""A difference under 2 % of the reference's value is not called a change, however certain it is."""
Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure on both sides."""

    name: str
    unit: str
    collapse_is: str
    """`lower` or `higher`: the direction in which collapse moves it."""
    corpus: Interval
    reference: Interval
    change: Interval
    """Relative difference, (corpus - reference) / reference."""
    verdict: str
    """`collapsed`, `same`, `richer`, or `unsure` where the interval reaches both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupShare:
    """How one subgroup is represented."""

    group: str
    corpus: Interval
    reference: Interval
    verdict: str
    """`fewer`, `more` or `same`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The whole answer."""

    measures: list[Measure]
    groups: list[GroupShare]
    verdict: str
    """`collapsed`, `early signs`, or `no sign`."""
    block_words: int


def compare(
    texts: Sequence[str],
    reference: Sequence[str],
    *,
    groups: Sequence[str | None] | None = None,
    reference_groups: Sequence[str | None] | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare `texts` with `reference`. The fixed model is an n-gram model of one half of the reference.

    Raises DataError when either side has too few words for intervals.
    """
    known, other = _shuffled(reference, seed, "reference"), _shuffled(texts, seed, "corpus")
    half = len(known) // 2
    model_words = _words(known[:half])
    sides = {"reference": _words(known[half:]), "corpus": _words(other)}
    size = min(len(words) for words in sides.values()) // _BLOCKS
    if size < _MIN_BLOCK_WORDS or len(model_words) < _MIN_BLOCK_WORDS:
        least = 2 * _BLOCKS * _MIN_BLOCK_WORDS
        raise DataError(
            f"too few words to compare: {len(sides['corpus']):,} and {2 * len(sides['reference']):,}",
            hint=f"the corpus needs {least // 2:,} words and the reference {least:,}",
        )
    blocks = {side: words[: size * _BLOCKS].reshape(_BLOCKS, size) for side, words in sides.items()}
    found = []
    for name, unit, direction, measure in _measures(model_words):
        values = {side: np.array([measure(block) for block in rows]) for side, rows in blocks.items()}
        found.append(_measure(name, unit, direction, values["corpus"], values["reference"]))
    shares = _groups(groups, reference_groups)
    return Comparison(measures=found, groups=shares, verdict=_overall(found, shares), block_words=size)


def _measures(model_words: Words) -> list[tuple[str, str, str, Callable[[Words], float]]]:
    model = _Bigram(model_words)
    rare = model.words[model.counts <= _RARE_AT_MOST]
    return [
        ("bits_per_word", "bits", "lower", model.bits_per_word),
        ("distinct_words", "share", "lower", lambda block: len(np.unique(block)) / len(block)),
        ("distinct_pairs", "share", "lower", lambda block: len(np.unique(_pairs(block))) / (len(block) - 1)),
        ("repeated_runs", "share", "higher", _repeated_runs),
        ("rare_word_coverage", "share", "lower", lambda block: np.isin(block, rare).sum() / len(block)),
        ("words_seen_once", "share", "lower", _seen_once),
        ("zipf_exponent", "", "higher", _zipf),
    ]


class _Bigram:
    """A fixed word model: bigrams with absolute discounting, backed off to unigrams, unknown words in one bin."""

    def __init__(self, corpus: Words) -> None:
        self.words, self.counts = np.unique(corpus, return_counts=True)
        self._pairs, at, self._pair_counts = np.unique(_pairs(corpus), return_index=True, return_counts=True)
        # How many different words follow each word: the mass that discounting takes is handed on in proportion.
        self._followers = np.bincount(np.searchsorted(self.words, corpus[at]), minlength=len(self.words))
        self._before = np.bincount(np.searchsorted(self.words, corpus[:-1]), minlength=len(self.words))

    def bits_per_word(self, block: Words) -> float:
        """Cross-entropy of the block's words given the word before."""
        total, types = self.counts.sum(), len(self.words)
        current = _lookup(self.words, self.counts, block[1:])
        unigram = np.maximum(current - _DISCOUNT, 0) / total + _DISCOUNT * types / total / (types + 1)
        before = np.maximum(_lookup(self.words, self._before, block[:-1]), 1)
        followers = _lookup(self.words, self._followers, block[:-1])
        pair = _lookup(self._pairs, self._pair_counts, _pairs(block))
        seen = np.maximum(pair - _DISCOUNT, 0) / before + np.minimum(_DISCOUNT * followers / before, 1.0) * unigram
        return float(-np.log2(np.where(followers > 0, seen, unigram)).mean())


def _lookup(keys: Words, values: NDArray[np.int64], wanted: Words) -> NDArray[np.int64]:
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


def _pairs(words: Words) -> Words:
    return np.asarray((words[:-1] * _PRIME) ^ (words[1:] + (words[1:] >> np.uint64(31))))


def _repeated_runs(block: Words) -> float:
    """Share of 4-word sequences that occurred before in the block."""
    runs = _pairs(_pairs(_pairs(block)))
    return 1 - len(np.unique(runs)) / len(runs)


def _seen_once(block: Words) -> float:
    return float(np.sum(np.unique(block, return_counts=True)[1] == 1) / len(block))


def _zipf(block: Words) -> float:
    """Minus the slope of log frequency on log rank over the most frequent words."""
    counts = np.sort(np.unique(block, return_counts=True)[1])[::-1][:_ZIPF_RANKS].astype(np.float64)
    return float(-np.polyfit(np.log(np.arange(1, len(counts) + 1)), np.log(counts), 1)[0])


def _measure(
    name: str, unit: str, direction: str, corpus: NDArray[np.float64], reference: NDArray[np.float64]
) -> Measure:
    mean, base = float(corpus.mean()), float(reference.mean())
    error = float(np.hypot(_standard_error(corpus), _standard_error(reference)))
    scale = abs(base) if base else 1.0
    change = Interval(
        value=(mean - base) / scale, low=(mean - base - 2.02 * error) / scale, high=(mean - base + 2.02 * error) / scale
    )
    worse = (-change.high, -change.low) if direction == "lower" else (change.low, change.high)
    if worse[0] > RELEVANT:
        verdict = "collapsed"
    elif worse[1] < -RELEVANT:
        verdict = "richer"
    elif worse[0] > -RELEVANT and worse[1] < RELEVANT:
        verdict = "same"
    else:
        verdict = "unsure"
    return Measure(
        name=name, unit=unit, collapse_is=direction, corpus=_block_interval(corpus),
        reference=_block_interval(reference), change=change, verdict=verdict,
    )  # fmt: skip


def _standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _block_interval(values: NDArray[np.float64]) -> Interval:
    mean, reach = float(values.mean()), 2.09 * _standard_error(values)
    return Interval(value=mean, low=mean - reach, high=mean + reach)


def _groups(groups: Sequence[str | None] | None, reference: Sequence[str | None] | None) -> list[GroupShare]:
    """Shares of the named subgroups on both sides, with Wilson intervals; empty where either side names none."""
    ours = [group for group in groups or () if group]
    theirs = [group for group in reference or () if group]
    if not ours or not theirs:
        return []
    found = []
    for name in sorted(set(ours) | set(theirs)):
        here, there = _wilson(ours.count(name), len(ours)), _wilson(theirs.count(name), len(theirs))
        verdict = "fewer" if here.high < there.low else "more" if here.low > there.high else "same"
        found.append(GroupShare(group=name, corpus=here, reference=there, verdict=verdict))
    return found


def _wilson(count: int, total: int) -> Interval:
    z = 1.96
    centre = (count + z * z / 2) / (total + z * z)
    reach = z / (total + z * z) * np.sqrt(count * (total - count) / total + z * z / 4)
    return Interval(value=count / total, low=max(0.0, centre - reach), high=min(1.0, centre + reach))


def _overall(measures: Sequence[Measure], groups: Sequence[GroupShare]) -> str:
    """Collapsed: three measures, rare words among them. Early signs: two measures, or one and a group that shrank."""
    down = {one.name for one in measures if one.verdict == "collapsed"}
    if len(down) >= 3 and down & {"rare_word_coverage", "words_seen_once"}:
        return "collapsed"
    vanishing = any(group.verdict == "fewer" for group in groups)
    return "early signs" if len(down) >= 2 or (down and vanishing) else "no sign"


def _shuffled(texts: Sequence[str], seed: int, name: str) -> list[str]:
    order = stream(seed, "monitor", name).permutation(len(texts))
    return [texts[i] for i in order.tolist()]


def _words(texts: Sequence[str]) -> Words:
    """Word hashes of all texts in a row, each text whole."""
    parts = []
    for start in range(0, len(texts), _TOKENISE_TEXTS):
        tokens = tokenise(texts[start : start + _TOKENISE_TEXTS])
        parts.append(tokens.hash[tokens.kind == WORD])
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)

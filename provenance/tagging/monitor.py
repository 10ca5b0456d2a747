"""Early warning: does this crawl look collapsed against that one? Knows two sets of texts, no labels.

Collapse takes the tails first: rare words go, sentences repeat, a fixed model finds the text easier. Each measure is
taken on the same number of words on both sides, because variety grows with size; it is taken on all of them at once,
because what is lost is variety between documents, which no small block shows. Intervals leave out a block at a time.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

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
_T = 2.09
"""The 97.5 % point of Student's t with 19 degrees of freedom."""
_MEASURES = (
    ("bits_per_word", "bits", "lower"),
    ("distinct_words", "share", "lower"),
    ("distinct_pairs", "share", "lower"),
    ("repeated_runs", "share", "higher"),
    ("rare_word_coverage", "share", "lower"),
    ("words_seen_once", "share", "lower"),
    ("zipf_exponent", "", "higher"),
)
"""Name, unit, and the direction in which collapse moves it."""
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
    # A text that the fixed model was made of is easy for it wherever it turns up: it is measured on neither side.
    seen = set(known[:half])
    sides = {
        name: _words([text for text in texts if text not in seen])
        for name, texts in (("reference", known[half:]), ("corpus", other))
    }
    size = min(len(words) for words in sides.values()) // _BLOCKS
    if size < _MIN_BLOCK_WORDS or len(model_words) < _MIN_BLOCK_WORDS:
        least = 2 * _BLOCKS * _MIN_BLOCK_WORDS
        raise DataError(
            f"too few words to compare: {len(sides['corpus']):,} and {2 * len(sides['reference']):,}",
            hint=f"the corpus needs {least // 2:,} words and the reference {least:,}",
        )
    model = _Bigram(model_words)
    taken = {side: _measures(model, words[: size * _BLOCKS].reshape(_BLOCKS, size)) for side, words in sides.items()}
    found = [
        _measure(name, unit, direction, taken["corpus"][name], taken["reference"][name])
        for name, unit, direction in _MEASURES
    ]
    shares = _groups(groups, reference_groups)
    return Comparison(measures=found, groups=shares, verdict=_overall(found, shares), block_words=size)


def _measures(model: "_Bigram", blocks: Words) -> dict[str, Interval]:
    """Every measure of one side, whose words come in blocks of one size."""
    rare = model.words[model.counts <= _RARE_AT_MOST]
    size = blocks.shape[1]
    words, pairs = _Counts(blocks), _Counts(np.array([_pairs(block) for block in blocks]))
    runs = _Counts(np.array([_pairs(_pairs(_pairs(block))) for block in blocks]))
    is_rare = np.isin(words.keys, rare)
    bits = np.array([model.bits_per_word(block) for block in blocks])
    return {
        "bits_per_word": _jackknife(float(bits.mean()), (bits.sum() - bits) / (len(bits) - 1)),
        "distinct_words": words.interval(lambda counts, left: np.count_nonzero(counts) / (left * size)),
        "distinct_pairs": pairs.interval(lambda counts, left: np.count_nonzero(counts) / (left * (size - 1))),
        "repeated_runs": runs.interval(lambda counts, left: 1 - np.count_nonzero(counts) / (left * (size - 3))),
        "rare_word_coverage": words.interval(lambda counts, _: np.count_nonzero(counts[is_rare]) / max(len(rare), 1)),
        "words_seen_once": words.interval(lambda counts, left: np.count_nonzero(counts == 1) / (left * size)),
        "zipf_exponent": words.interval(lambda counts, _: _zipf(counts)),
    }


class _Counts:
    """How often each key occurs in each block, without holding more than one block's counts beside the total."""

    def __init__(self, blocks: Words) -> None:
        self.keys, index = np.unique(blocks, return_inverse=True)
        self._blocks = index.reshape(blocks.shape)
        self._total = np.bincount(index.ravel(), minlength=len(self.keys))

    def interval(self, measure: Callable[[NDArray[np.int64], int], float]) -> Interval:
        """`measure(counts, number of blocks counted)` on everything, its interval from leaving out each block."""
        num = len(self._blocks)
        without = [measure(self._total - np.bincount(b, minlength=len(self.keys)), num - 1) for b in self._blocks]
        return _jackknife(measure(self._total, num), np.array(without))


def _jackknife(value: float, without: NDArray[np.float64]) -> Interval:
    """A value with the interval that its values without each block give."""
    num = len(without)
    reach = _T * float(np.sqrt((num - 1) / num * np.sum((without - without.mean()) ** 2)))
    return Interval(value=float(value), low=float(value) - reach, high=float(value) + reach)


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


def _zipf(counts: NDArray[np.int64]) -> float:
    """Minus the slope of log frequency on log rank over the most frequent words."""
    top = np.sort(counts[counts > 0])[::-1][:_ZIPF_RANKS].astype(np.float64)
    return float(-np.polyfit(np.log(np.arange(1, len(top) + 1)), np.log(top), 1)[0])


def _measure(name: str, unit: str, direction: str, corpus: Interval, reference: Interval) -> Measure:
    difference = corpus.value - reference.value
    reach = float(np.hypot(corpus.high - corpus.value, reference.high - reference.value))
    scale = abs(reference.value) or 1.0
    change = Interval(value=difference / scale, low=(difference - reach) / scale, high=(difference + reach) / scale)
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
        name=name, unit=unit, collapse_is=direction, corpus=corpus, reference=reference, change=change, verdict=verdict,
    )  # fmt: skip


def _groups(groups: Sequence[str | None] | None, reference: Sequence[str | None] | None) -> list[GroupShare]:
    """Shares of the named subgroups on both sides, with Wilson intervals; empty where either side names none.

    The intervals hold for all groups at once (Bonferroni), or of a thousand groups some would shrink by chance.
    """
    ours = Counter(group for group in groups or () if group)
    theirs = Counter(group for group in reference or () if group)
    if not ours or not theirs:
        return []
    names = sorted(ours | theirs)
    z = NormalDist().inv_cdf(1 - 0.025 / len(names))
    found = []
    for name in names:
        here, there = _wilson(ours[name], ours.total(), z), _wilson(theirs[name], theirs.total(), z)
        verdict = "fewer" if here.high < there.low else "more" if here.low > there.high else "same"
        found.append(GroupShare(group=name, corpus=here, reference=there, verdict=verdict))
    return found


def _wilson(count: int, total: int, z: float) -> Interval:
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

"""The `registry` detectors: is a text a copy, an excerpt or a paraphrase of one we know?

Copies and excerpts: share of 4-word sequences found in one known text (containment). Paraphrases keep words and the
order of thoughts and lose the sequences: see paraphrase.py. Both are read against texts known to be unrelated, so a
score is -log10 of a p-value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from provenance.detectors.fisher import check_two_classes
from provenance.detectors.normalise import normalise
from provenance.detectors.paraphrase import VOCABULARY_BITS, Bags, KnownTexts
from provenance.detectors.tokens import WORD, tokenise
from provenance.detectors.weights import load_weights, save_weights, weights_digest
from provenance.errors import DataError
from provenance.ids import sha256_text
from provenance.types import EvidenceKind

GRAM_WORDS = 4
_MAX_WORDS = 2000
_MIN_GRAMS = 12
"""A text shorter than this shares too few sequences with anything to be told apart."""
_MIN_WORDS = _MIN_GRAMS + GRAM_WORDS - 1
_QUERY_BATCH = 256
_COST = (2.0, 1.0)
"""Containment is near nothing among unrelated texts and large in copies, so few of its ranks are needed."""
_SURELY_RELATED = (0.3, 0.5)
"""No human text on the subject of registered ones reached either (5,500 lookups); two in five of the reviews that
registered texts were rewritten from did."""
_PRIME = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The known text nearest to a query."""

    num_words: int
    """Of the query."""
    copy_of: int
    """Index of the known text that contains most of it, -1 where none shares a sequence."""
    containment: float
    """Share of the shorter text's 4-word sequences that occur in the other."""
    origin: int
    """Index of the known text it was most likely made from, -1 where none shares a word."""
    log_likelihood_ratio: float
    """How much likelier its words are if it was made from that text, in nats per word (`paraphrase`)."""
    p_value: float = np.nan
    """How often an unrelated text stands out as much by the measure it stands out most by."""

    @property
    def measures(self) -> tuple[float, float]:
        """Each higher the closer the match."""
        return self.containment, self.log_likelihood_ratio


class Chance:
    """How well unrelated texts match: float64[measures, n]. Gives conformal p-values over several measures at once.

    A rank by measure k counts `cost[k]` times: a dear measure uses less of the level.
    """

    def __init__(self, null: NDArray[np.float64], cost: Sequence[float]) -> None:
        self._null = null
        self._cost = np.asarray(cost, dtype=np.float64)[:, None]
        order = np.sort(null, axis=1)
        # Of n unrelated texts, how many match at least as well as each of them does.
        self._rank = np.array(
            [null.shape[1] - np.searchsorted(o, v, side="left") for o, v in zip(order, null, strict=True)]
        )

    def p_value(self, values: Sequence[float]) -> float:
        """The share of texts, this one among them, whose best rank by any measure is as good as this one's.

        Ranks are taken among the unrelated texts and this one together. If this one is unrelated too, all are
        exchangeable, so p <= a has at most the chance a, and looking at several measures needs no further correction
        (conformal p-value: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005, section 2.2).
        """
        own = np.asarray(values)[:, None]
        best = np.min(self._cost[:, 0] * (1 + np.sum(self._null >= own, axis=1)))
        theirs = np.min(self._cost * (self._rank + (own >= self._null)), axis=0)
        return float((1 + np.sum(theirs <= best)) / (1 + self._null.shape[1]))


class OutputRegistry:
    """Known model outputs. A match speaks for a model."""

    name: ClassVar[str] = "registry"
    kind: ClassVar[EvidenceKind] = EvidenceKind.NEAR_DUPLICATE
    score_is: ClassVar[str] = "minus_log10_p"
    algorithm: ClassVar[int] = 4
    sign: ClassVar[float] = 1.0

    def __init__(self, *, arrays: dict[str, NDArray[Any]] | None = None) -> None:
        self._arrays = arrays
        self._texts: KnownTexts | None = None

    @property
    def version(self) -> str:
        """Algorithm number and, once filled, the hash of what is registered."""
        return f"{self.algorithm}+{weights_digest(self._arrays)[:12]}" if self._arrays else f"{self.algorithm}"

    @property
    def doubts(self) -> list[str]:
        """What is wrong with the texts given as unrelated, in words."""
        null = self._filled()["null"]
        related = int(np.any(null >= np.array(_SURELY_RELATED)[:, None], axis=0).sum())
        if related == 0:
            return []
        which = f"{related:,} of {null.shape[1]:,} texts given as unrelated look like copies, sources or rewritings"
        return [f"{which} of registered ones; while they count as chance, paraphrases are missed: leave them out"]

    def fit(
        self,
        texts: Sequence[str],
        is_model: NDArray[np.bool_],
        groups: Sequence[str] | None = None,  # noqa: ARG002
    ) -> Self:
        """Register one class and measure chance matches on the other. Raises DataError on one class only."""
        check_two_classes(is_model)
        known = is_model if self.sign > 0 else ~is_model
        filled = self.register([text for text, own in zip(texts, known, strict=True) if own])
        return filled.measure_chance([text for text, own in zip(texts, known, strict=True) if not own])

    def register(self, texts: Sequence[str]) -> Self:
        """A registry of `texts`, without a null set yet."""
        words, first = _words(texts)
        grams, owner = _grams(words, first)
        order = np.lexsort((owner, grams))
        bags = Bags.of(words, first)
        arrays: dict[str, NDArray[Any]] = {
            "gram": grams[order],
            "gram_of": owner[order].astype(np.int32),
            "num_grams": np.bincount(owner, minlength=len(texts)).astype(np.int32),
            "word": bags.counts.indices.astype(np.int32),
            "word_count": bags.counts.data,
            "word_place": bags.place.astype(np.float16),
            "word_first": bags.counts.indptr.astype(np.int64),
            "sha256": np.frombuffer(b"".join(map(sha256_text, texts)), dtype=np.uint8).reshape(-1, 32),
            "null": np.empty((2, 0)),
        }
        return type(self)(arrays=arrays)

    def measure_chance(self, unrelated: Sequence[str]) -> Self:
        """The same registry, knowing how well texts that come from none of it match; tiny ones tell nothing.

        Raises DataError when all are tiny.
        """
        telling = [match.measures for match in self.lookup(unrelated) if match.num_words >= _MIN_WORDS]
        if not telling:
            raise DataError(
                f"none of {len(unrelated):,} texts given as unrelated has {_MIN_WORDS} words",
                hint="give longer ones: 200 show matches that chance makes once in 200",
            )
        null = np.ascontiguousarray(np.array(telling, dtype=np.float64).T)
        return type(self)(arrays={**self._filled(), "null": null})

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """-log10 of the p-value of the best match (its negative for known human text); NaN for tiny texts."""
        matches = self.lookup(texts)
        p_values = np.array([m.p_value if m.num_words >= _MIN_WORDS else np.nan for m in matches], dtype=np.float64)
        return -self.sign * np.log10(p_values)

    def source(self, match: Match) -> tuple[bytes, str] | None:
        """The SHA-256 of the known text that a match is with and, in words, how; None where there is none."""
        copied = match.containment >= _SURELY_RELATED[0]
        known = match.copy_of if copied else match.origin
        if known < 0:
            return None
        how = (
            f"{match.containment:.0%} of the shorter text's 4-word sequences shared with"
            if copied
            else f"rewritten or a relative, {match.log_likelihood_ratio:.2f} nats a word for"
        )
        return self._filled()["sha256"][known].tobytes(), how

    def lookup(self, texts: Sequence[str]) -> list[Match]:
        """The best match of every text."""
        matches: list[Match] = []
        for start in range(0, len(texts), _QUERY_BATCH):
            matches += self._lookup(texts[start : start + _QUERY_BATCH])
        return matches

    def _lookup(self, texts: Sequence[str]) -> list[Match]:
        words, first = _words(texts)
        grams, owner = _grams(words, first)
        chance = Chance(self._filled()["null"], _COST)
        found = []
        for i, (origin, ratio) in enumerate(self._known_texts().origins(Bags.of(words, first))):
            copy_of, containment = self._containment(np.unique(grams[owner == i]))
            match = Match(
                num_words=int(first[i + 1] - first[i]),
                copy_of=copy_of,
                containment=containment,
                origin=origin,
                log_likelihood_ratio=ratio,
            )
            found.append(replace(match, p_value=chance.p_value(match.measures)))
        return found

    def _containment(self, query: NDArray[np.uint64]) -> tuple[int, float]:
        arrays = self._filled()
        if len(query) < _MIN_GRAMS:
            return -1, 0.0
        low = np.searchsorted(arrays["gram"], query, side="left")
        high = np.searchsorted(arrays["gram"], query, side="right")
        hits = [arrays["gram_of"][a:b] for a, b in zip(low, high, strict=True) if b > a]
        if not hits:
            return -1, 0.0
        owners, shared = np.unique(np.concatenate(hits), return_counts=True)
        size = np.maximum(np.minimum(arrays["num_grams"][owners], len(query)), _MIN_GRAMS)
        best = int(np.argmax(shared / size))
        return int(owners[best]), float(shared[best] / size[best])

    def _known_texts(self) -> KnownTexts:
        if self._texts is None:
            arrays = self._filled()
            shape = (len(arrays["word_first"]) - 1, 1 << VOCABULARY_BITS)
            counts = csr_matrix((arrays["word_count"], arrays["word"], arrays["word_first"]), shape=shape)
            self._texts = KnownTexts(Bags(counts, arrays["word_place"].astype(np.float32)))
        return self._texts

    def save(self, folder: Path) -> None:
        """Write hashes of texts and of their words, counts and places; no text is stored."""
        save_weights(folder, self.name, self.algorithm, self._filled(), {})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises DataError."""
        arrays, _ = load_weights(folder, cls.name, cls.algorithm)
        return cls(arrays=arrays)

    def _filled(self) -> dict[str, NDArray[Any]]:
        if self._arrays is None:
            raise DataError(
                f"the {self.name} is empty", hint=f"fill it: provenance detector train CORPUS… --detector {self.name}"
            )
        return self._arrays


class HumanRegistry(OutputRegistry):
    """Known human texts, best those dated before language models. A match speaks for a human."""

    name: ClassVar[str] = "human_registry"
    sign: ClassVar[float] = -1.0


def _words(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Word hashes of all texts in a row, and where each text begins."""
    tokens = tokenise([normalise(text, _MAX_WORDS) for text in texts])
    is_word = tokens.kind == WORD
    before = np.zeros(len(is_word) + 1, dtype=np.int64)
    np.cumsum(is_word, out=before[1:])
    return tokens.hash[is_word], before[tokens.first]


def _grams(words: NDArray[np.uint64], first: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of all distinct (gram, text) pairs and the text of each."""
    owner = np.repeat(np.arange(len(first) - 1), np.diff(first))
    if len(words) < GRAM_WORDS:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    last = len(words) - GRAM_WORDS + 1
    value = np.zeros(last, dtype=np.uint64)
    for k in range(GRAM_WORDS):
        value = (value ^ words[k : k + last]) * _PRIME
        value ^= value >> np.uint64(29)
    inside = owner[:last] == owner[GRAM_WORDS - 1 :]
    pairs = np.unique(np.stack([value[inside], owner[:last][inside].astype(np.uint64)]), axis=1)
    return pairs[0], pairs[1].astype(np.int64)

"""The `registry` detectors: is a text a copy, an excerpt or a paraphrase of one we know?

Copies and excerpts: share of 4-word sequences found in one known text (containment). Paraphrases keep the vocabulary
and lose the sequences: there the margin counts, TF-IDF cosine with the nearest known text minus that with the
runner-up, because a text on the same subject is near to many and a paraphrase to one. Where one prompt was answered
several times the runner-up is a sibling, and the lead over the twentieth nearest counts instead. With a sentence
encoder (`-o model=`) the cosine of meanings and its lead are looked at too: of rewrites by an assistant that keep no
phrase, words find four in five among 120 known texts and meanings nearly all. Every measure is read against texts
known to be unrelated, so a score is -log10 of a p-value.
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
from provenance.detectors.pooling import Encoder
from provenance.detectors.tokens import WORD, tokenise
from provenance.detectors.weights import load_weights, save_weights, weights_digest
from provenance.errors import DataError
from provenance.types import EvidenceKind

GRAM_WORDS = 4
_MAX_WORDS = 2000
_MIN_GRAMS = 12
"""A text shorter than this shares too few sequences with anything to be told apart."""
_VOCABULARY_BITS = 18
_QUERY_BATCH = 256
_SIBLINGS = 20
"""Known texts that may resemble each other as much as a paraphrase does its original."""
_PRIME = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The known text nearest to a query."""

    copy_of: int
    """Index of the known text that contains most of it, -1 where none shares a sequence."""
    containment: float
    """Share of the shorter text's 4-word sequences that occur in the other."""
    like: int
    """Index of the known text nearest in meaning, or in vocabulary without an encoder."""
    margin: float
    """TF-IDF cosine with the nearest in vocabulary minus that with the runner-up."""
    lead: float
    """The same against the one `_SIBLINGS` places after it."""
    meaning: tuple[float, ...] = ()
    """With an encoder: cosine with the nearest in meaning, and its lead over the one `_SIBLINGS` places after it."""
    p_value: float = np.nan
    """How often an unrelated text stands out as much by the measure it stands out most by."""

    @property
    def measures(self) -> tuple[float, ...]:
        """Each higher the closer the match."""
        return self.containment, self.margin, self.lead, *self.meaning


class Chance:
    """How well unrelated texts match: float64[measures, n]. Gives conformal p-values over several measures at once."""

    def __init__(self, null: NDArray[np.float64]) -> None:
        self._null = null
        order = np.sort(null, axis=1)
        # Of n unrelated texts, how many match at least as well as each of them does.
        self._rank = np.array(
            [null.shape[1] - np.searchsorted(o, v, side="left") for o, v in zip(order, null, strict=True)]
        )

    def p_value(self, values: Sequence[float]) -> float:
        """The share of texts, this one among them, whose best rank by any measure is as good as this one's.

        Ranks are taken among the unrelated texts and this one together. If this one is unrelated too, all are
        exchangeable, so p <= a has at most the chance a, and looking at three measures needs no further correction
        (conformal p-value: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005, section 2.2).
        """
        own = np.asarray(values)[:, None]
        best = 1 + np.min(np.sum(self._null >= own, axis=1))
        theirs = np.min(self._rank + (own >= self._null), axis=0)
        return float((1 + np.sum(theirs <= best)) / (1 + self._null.shape[1]))


class OutputRegistry:
    """Known model outputs. A match speaks for a model."""

    name: ClassVar[str] = "registry"
    kind: ClassVar[EvidenceKind] = EvidenceKind.NEAR_DUPLICATE
    score_is: ClassVar[str] = "minus_log10_p"
    algorithm: ClassVar[int] = 3
    sign: ClassVar[float] = 1.0

    def __init__(self, *, model: str = "", device: str = "cpu", arrays: dict[str, NDArray[Any]] | None = None) -> None:
        self._encoder = Encoder(model, device) if model else None
        self._arrays = arrays
        self._vectors: csr_matrix | None = None

    @property
    def version(self) -> str:
        """Algorithm number and, once filled, the hash of what is registered."""
        return f"{self.algorithm}+{weights_digest(self._arrays)[:12]}" if self._arrays else f"{self.algorithm}"

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
        counts = _count_matrix(words, first)
        arrays: dict[str, NDArray[Any]] = {
            "gram": grams[order],
            "gram_of": owner[order].astype(np.int32),
            "num_grams": np.bincount(owner, minlength=len(texts)).astype(np.int32),
            "word": counts.indices.astype(np.int32),
            "word_count": counts.data.astype(np.float32),
            "word_first": counts.indptr.astype(np.int64),
            "document_frequency": np.bincount(counts.indices, minlength=counts.shape[1]).astype(np.int32),
            "null": np.empty((3 if self._encoder is None else 5, 0)),
        }
        if self._encoder is not None:
            arrays["meaning"] = self._meanings(texts).astype(np.float16)
        return self._with(arrays)

    def measure_chance(self, unrelated: Sequence[str]) -> Self:
        """The same registry, knowing how well texts that come from none of it match."""
        arrays = self._filled()
        matches = self.lookup(unrelated)
        null = np.array([match.measures for match in matches], dtype=np.float64).reshape(-1, len(arrays["null"]))
        return self._with({**arrays, "null": np.ascontiguousarray(null.T)})

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """-log10 of the p-value of the best match (its negative for known human text); NaN for tiny texts."""
        out = np.array([-np.log10(match.p_value) for match in self.lookup(texts)], dtype=np.float64)
        _, first = _words(texts)
        out[np.diff(first) < _MIN_GRAMS + GRAM_WORDS - 1] = np.nan
        return self.sign * out

    def lookup(self, texts: Sequence[str]) -> list[Match]:
        """The best match of every text."""
        matches: list[Match] = []
        for start in range(0, len(texts), _QUERY_BATCH):
            matches += self._lookup(texts[start : start + _QUERY_BATCH])
        return matches

    def _lookup(self, texts: Sequence[str]) -> list[Match]:
        arrays = self._filled()
        words, first = _words(texts)
        grams, owner = _grams(words, first)
        vectors = self._known_vectors()
        similarity = (_tf_idf(_count_matrix(words, first), arrays) @ vectors.T).tocsr()
        alike = self._meanings(texts) @ arrays["meaning"].astype(np.float32).T if self._encoder is not None else None
        chance = Chance(arrays["null"])
        found = []
        for i in range(len(texts)):
            copy_of, containment = self._containment(np.unique(grams[owner == i]))
            row = similarity.data[similarity.indptr[i] : similarity.indptr[i + 1]]
            columns = similarity.indices[similarity.indptr[i] : similarity.indptr[i + 1]]
            like, margin, lead = -1, 0.0, 0.0
            if len(row):
                nearest, runner_up, last = _standing_out(row)
                like, margin, lead = int(columns[np.argmax(row)]), nearest - runner_up, nearest - last
            meaning: tuple[float, ...] = ()
            if alike is not None:
                nearest, _, last = _standing_out(alike[i])
                like, meaning = int(np.argmax(alike[i])), (nearest, nearest - last)
            match = Match(
                copy_of=copy_of, containment=containment, like=like, margin=margin, lead=lead, meaning=meaning
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

    def _meanings(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[texts, width], each of length one."""
        assert self._encoder is not None
        pooled = self._encoder.pooled([normalise(text) for text in texts])
        lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
        return np.asarray(pooled / np.maximum(lengths, 1e-12), dtype=np.float32)

    def _with(self, arrays: dict[str, NDArray[Any]]) -> Self:
        filled = type(self)(arrays=arrays)
        filled._encoder = self._encoder
        return filled

    def _known_vectors(self) -> csr_matrix:
        if self._vectors is None:
            arrays = self._filled()
            shape = (len(arrays["word_first"]) - 1, 1 << _VOCABULARY_BITS)
            counts = csr_matrix((arrays["word_count"], arrays["word"], arrays["word_first"]), shape=shape)
            self._vectors = _tf_idf(counts, arrays)
        return self._vectors

    def save(self, folder: Path) -> None:
        """Write hashes, counts and vectors; no text is stored."""
        encoder = self._encoder
        card = {"model": encoder.name, "encoder": encoder.digest} if encoder is not None else {"model": ""}
        save_weights(folder, self.name, self.algorithm, self._filled(), card)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises DataError, also when the encoder is gone or another one."""
        arrays, card = load_weights(folder, cls.name, cls.algorithm)
        loaded = cls(model=card["model"], arrays=arrays)
        if loaded._encoder is not None:
            loaded._encoder.check(card["encoder"], str(folder))
        return loaded

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


def _count_matrix(words: NDArray[np.uint64], first: NDArray[np.int64]) -> csr_matrix:
    columns = (words * _PRIME >> np.uint64(64 - _VOCABULARY_BITS)).astype(np.int32)
    shape = (len(first) - 1, 1 << _VOCABULARY_BITS)
    counts = csr_matrix((np.ones(len(columns), dtype=np.float32), columns, first), shape=shape)
    counts.sum_duplicates()
    return counts


def _tf_idf(counts: csr_matrix, arrays: dict[str, NDArray[Any]]) -> csr_matrix:
    """Rows of unit length: (1 + log count) times inverse document frequency in the registry."""
    num_known = len(arrays["word_first"]) - 1
    idf = np.log((1 + num_known) / (1 + arrays["document_frequency"][counts.indices])) + 1
    values = (1 + np.log(counts.data)) * idf
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    norms = np.sqrt(np.bincount(rows, values**2, minlength=counts.shape[0]))
    return csr_matrix((values / np.maximum(norms, 1e-12)[rows], counts.indices, counts.indptr), shape=counts.shape)


def _standing_out(similarity: NDArray[Any]) -> tuple[float, float, float]:
    """Similarity with the nearest text, the runner-up, and the one `_SIBLINGS` places after the nearest."""
    padded = np.append(similarity, np.zeros(_SIBLINGS))
    top = np.sort(np.partition(padded, -_SIBLINGS - 1)[-_SIBLINGS - 1 :])
    return float(top[-1]), float(top[-2]), float(top[0])

"""Was a text made from a known one, or are both only about the same thing? Knows words and places, no labels.

Cosines do not tell these apart: a hundred answers to one prompt resemble each other as much as a paraphrase its
original. So the chance of each word is counted among the known texts, the nearest ones above all, and two accounts of
the query's words are weighed: they come from the subject alone, or some were taken over from one known text, at
about the place where they stand there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

VOCABULARY_BITS = 18
_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SUBJECT_TEXTS = 20
"""Known texts that tell what is said on the subject anyway."""
_CANDIDATES = 5
"""Known texts, nearest by cosine, that are weighed as the origin."""
_SAME_TEXT_COSINE = 0.4
"""A known text this near to the candidate is a version of it and says nothing about the subject."""
_SIMILARITIES_AT_ONCE = 10_000_000
_PRIOR_TEXTS = 2.0
_SURE_WORD = 0.98
_TAKEN_OVER = np.linspace(0.1, 0.8, 8)
_IN_PLACE = 0.5
"""Share of the words taken over that stay about where they were; paraphrasers keep the order of thoughts."""
_PLACE_SCALE = 0.1


@dataclass(frozen=True, slots=True)
class Bags:
    """The distinct words of texts, how often and where each occurs."""

    counts: csr_matrix
    """float32[texts, 2**VOCABULARY_BITS]; words are hashed."""
    place: NDArray[np.float32]
    """float32[counts.nnz]: mean place of each word in its text, 0 at the beginning, 1 at the end."""

    @classmethod
    def of(cls, words: NDArray[np.uint64], first: NDArray[np.int64]) -> "Bags":
        """From the word hashes of all texts in a row: text i has words[first[i] : first[i + 1]]."""
        lengths = np.diff(first)
        columns = (words * _HASH_FACTOR >> np.uint64(64 - VOCABULARY_BITS)).astype(np.int32)
        place = (np.arange(len(words)) - np.repeat(first[:-1], lengths) + 0.5) / np.repeat(lengths, lengths)
        shape = (len(lengths), 1 << VOCABULARY_BITS)
        counts, places = (
            csr_matrix((values.astype(np.float32), columns.copy(), first.copy()), shape=shape)
            for values in (np.ones(len(words)), place)
        )
        counts.sum_duplicates()
        places.sum_duplicates()
        return cls(counts, places.data / counts.data)


class KnownTexts:
    """Texts that others may have been made from."""

    def __init__(self, bags: Bags) -> None:
        self._bags = bags
        self._num_texts = bags.counts.shape[0]
        self._document_frequency = np.bincount(bags.counts.indices, minlength=bags.counts.shape[1])
        self._vectors = self._tf_idf(bags.counts)
        self._by_word = self._vectors.T.tocsr()

    def origins(self, queries: Bags) -> Iterator[tuple[int, float]]:
        """For each query the known text it was most likely made from, and `log_likelihood_ratio` of that.

        (-1, -inf) where no known text shares a word with it.
        """
        vectors = self._tf_idf(queries.counts)
        size = max(1, _SIMILARITIES_AT_ONCE // max(1, self._num_texts))
        for start in range(0, vectors.shape[0], size):
            similarity = (vectors[start : start + size] @ self._by_word).tocsr()
            for k in range(similarity.shape[0]):
                row = slice(*similarity.indptr[k : k + 2])
                words = slice(*queries.counts.indptr[start + k : start + k + 2])
                nearest = similarity.indices[row][_largest(similarity.data[row], 2 * _SUBJECT_TEXTS + _CANDIDATES)]
                yield self._origin(queries.counts.indices[words], queries.place[words], nearest)

    def _origin(
        self, words: NDArray[np.int32], place: NDArray[np.float32], nearest: NDArray[np.int32]
    ) -> tuple[int, float]:
        near = self._bags.counts[nearest]
        has = near[:, words].toarray() > 0
        alike = (self._vectors[nearest] @ self._vectors[nearest[:_CANDIDATES]].T).toarray()
        anywhere = (self._document_frequency[words] + 0.5) / (self._num_texts + 1)
        best = (-1, -np.inf)
        for k, candidate in enumerate(nearest[:_CANDIDATES].tolist()):
            others = np.flatnonzero((alike[:, k] < _SAME_TEXT_COSINE) & (np.arange(len(nearest)) != k))
            others = others[:_SUBJECT_TEXTS]
            nearby = (has[others].sum(axis=0) + _PRIOR_TEXTS * anywhere) / (len(others) + _PRIOR_TEXTS)
            # Between the two: where several models retold one source, the nearest texts share all of it.
            chance = np.sqrt(np.minimum(nearby, _SURE_WORD) * anywhere)
            shift = np.full(len(words), np.nan)
            shift[has[k]] = np.abs(place[has[k]] - self._places(candidate, words[has[k]]))
            ratio = log_likelihood_ratio(chance, shift)
            best = max(best, (candidate, ratio), key=lambda found: found[1])
        return best

    def _places(self, text: int, words: NDArray[np.int32]) -> NDArray[np.float32]:
        start, end = self._bags.counts.indptr[text : text + 2]
        places: NDArray[np.float32] = self._bags.place[start:end]
        return places[np.searchsorted(self._bags.counts.indices[start:end], words)]

    def _tf_idf(self, counts: csr_matrix) -> csr_matrix:
        """Rows of unit length: (1 + log count) times inverse document frequency among the known texts."""
        idf = np.log((1 + self._num_texts) / (1 + self._document_frequency[counts.indices])) + 1
        values = (1 + np.log(counts.data)) * idf
        rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        norms = np.sqrt(np.bincount(rows, values**2, minlength=counts.shape[0]))
        return csr_matrix((values / np.maximum(norms, 1e-12)[rows], counts.indices, counts.indptr), shape=counts.shape)


def _largest(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Where the `count` largest are, largest first; all where there are fewer."""
    some = np.arange(len(values))
    if len(values) > count:
        some = np.sort(np.argpartition(-values, count)[:count])
    return some[np.argsort(-values[some], kind="stable")]


def log_likelihood_ratio(chance: NDArray[np.float64], shift: NDArray[np.float64]) -> float:
    """Mean log likelihood ratio, in nats per distinct word: made from the candidate against on the subject only.

    chance: float64[words], how often a text on the subject has the word. shift: float64[words], by how much of the
    text's length its place differs from that in the candidate, NaN where the candidate lacks the word.

    Under the first account a share r of the candidate's words is taken over, `_IN_PLACE` of them with a Laplace
    shift, and everything else is as under the second: r f(d) / (p u(d)) + 1 - r for a shared word, with f the density
    of the shift, u(d) = 2 (1 - d) that of two independent places and p the chance, and 1 - r for another. r is the
    likeliest of a grid. -inf without words.
    """
    if not len(chance):
        return -np.inf
    shared = ~np.isnan(shift)
    by_chance = 2 * (1 - shift[shared]) + 1e-3
    stayed = np.exp(-shift[shared] / _PLACE_SCALE) / _PLACE_SCALE / by_chance
    evidence = np.zeros(len(chance))
    evidence[shared] = (_IN_PLACE * stayed + 1 - _IN_PLACE) / chance[shared]
    taken = _TAKEN_OVER[:, None]
    return float(np.log(taken * evidence + 1 - taken).mean(axis=1).max())

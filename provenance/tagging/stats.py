"""The stats stage: texts of two corpora, drawn by seed and id, to the early-warning comparison. Writes nothing."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from provenance.catalog.corpora import CorpusInfo
from provenance.catalog.evidence import document_columns
from provenance.catalog.store import Catalog
from provenance.corpus.texts import iter_texts
from provenance.seeds import units
from provenance.tagging.monitor import Comparison, compare

MOST_WORDS = 2_000_000
"""Read of a corpus, and twice that of a reference (half of it becomes the fixed model): blocks of 100,000 words are
measured far more sharply than corpora differ, and memory stays flat however large they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A comparison and how much of each side was read for it."""

    comparison: Comparison
    read: int
    """Documents of the corpus whose texts were read."""
    reference_read: int


def compare_corpora(catalog: Catalog, info: CorpusInfo, reference: CorpusInfo, *, seed: int = 0) -> Compared:
    """Does `info` look collapsed against `reference`? Subgroups are counted over all documents, not over those read.

    Raises DataError when either side has too few words.
    """
    texts, groups = _drawn(catalog, info, MOST_WORDS, seed)
    known, known_groups = _drawn(catalog, reference, 2 * MOST_WORDS, seed)
    comparison = compare(texts, known, groups=groups, reference_groups=known_groups, seed=seed)
    return Compared(comparison=comparison, read=len(texts), reference_read=len(known))


def _drawn(catalog: Catalog, info: CorpusInfo, most_words: int, seed: int) -> tuple[list[str], list[str | None]]:
    """Texts of at most `most_words` words in doc_id order, and the subgroup of every document."""
    table = document_columns(catalog, info, ["n_words", "subgroup"])
    ids = table["doc_id"].combine_chunks().cast(pa.binary(16))
    order = np.argsort(units(seed, ids.to_pylist()), kind="stable")
    words = table["n_words"].to_numpy(zero_copy_only=False)
    wanted = ids.take(pa.array(order[np.cumsum(words[order]) <= most_words]))
    found: list[tuple[bytes, str]] = []
    for batch in iter_texts(catalog, info, wanted=wanted):
        found += zip(batch["doc_id"].storage.to_pylist(), batch["text"].to_pylist(), strict=True)
    return [text for _, text in sorted(found)], table["subgroup"].to_pylist()

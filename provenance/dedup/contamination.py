"""`corpus overlap` on a catalog: which documents of one corpus, and which of their spans, occur in another.

The guard that keeps held-out text out of mixes asks this of every corpus a mix would draw from. Reads only.
"""

from dataclasses import dataclass
from uuid import UUID

from provenance.catalog.corpora import get_corpus
from provenance.catalog.duplicates import keys_of
from provenance.catalog.store import Catalog
from provenance.dedup.overlap import WINDOW_WORDS, find_overlap
from provenance.dedup.scope import corpus_files
from provenance.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSpan:
    """A run of words of a document of A that occurs in B."""

    doc_id: UUID
    key: str
    first_word: int
    """Counted from 0."""
    n_words: int
    other_id: UUID
    """A document of B that holds the beginning of the span."""
    other_key: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusOverlap:
    """What of corpus A occurs in corpus B."""

    corpus: str
    other: str
    documents: int
    """Documents of A."""
    checked: int
    """Documents of A with at least 13 words; shorter ones have no span to look for."""
    spans: list[DocumentSpan]

    @property
    def doc_ids(self) -> set[UUID]:
        """The documents of A with at least one span in B."""
        return {span.doc_id for span in self.spans}


def overlap_corpora(catalog: Catalog, name: str, other: str) -> CorpusOverlap:
    """The spans of 13 words or more of corpus `name` that occur in corpus `other`."""
    a, b = get_corpus(catalog, name), get_corpus(catalog, other)
    if a.corpus_id == b.corpus_id:
        raise UsageError(
            f"{a.ref} overlaps itself everywhere", hint="name two corpora, or use: provenance corpus dedup"
        )
    (files, ids), (other_files, other_ids) = corpus_files(catalog, a), corpus_files(catalog, b)
    found = find_overlap(files, other_files, width=WINDOW_WORDS)
    own = {span.row: ids[span.row].as_py() for span in found.spans}
    theirs = {span.other_row: other_ids[span.other_row].as_py() for span in found.spans}
    keys = keys_of(catalog, [*own.values(), *theirs.values()])
    return CorpusOverlap(
        corpus=a.ref,
        other=b.ref,
        documents=found.texts,
        checked=found.checked,
        spans=[
            DocumentSpan(
                doc_id=UUID(bytes=own[span.row]),
                key=keys[own[span.row]],
                first_word=span.first_word,
                n_words=span.n_words,
                other_id=UUID(bytes=theirs[span.other_row]),
                other_key=keys[theirs[span.other_row]],
                text=span.text,
            )
            for span in found.spans
        ],
    )

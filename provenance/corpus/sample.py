"""A few documents of a corpus, chosen by seed and id alone, with their text."""

from provenance.catalog.corpora import get_corpus, sample_ids
from provenance.catalog.store import Catalog
from provenance.corpus.texts import texts_by_id

SampledDocument = tuple[str, str, str, float | None, str]
"""(doc_id, key, origin, p_model, text)"""


def sample_documents(catalog: Catalog, ref: str, *, count: int, seed: int) -> list[SampledDocument]:
    """Up to `count` documents of `ref`. Raises NotFoundError for an unknown corpus."""
    rows = sample_ids(catalog, get_corpus(catalog, ref), count=count, seed=seed)
    texts = texts_by_id(catalog, [row[0] for row in rows])
    return [(str(doc_id), key, origin, p_model, texts.get(doc_id, "")) for doc_id, key, origin, p_model in rows]

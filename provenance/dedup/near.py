"""Near-duplicates among indexed documents, from segments and text files to compared pairs and a choice.

The whole job without a catalog: give it documents as rows, an order of preference, and what is known already.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from provenance.dedup.bands import Banding, Segment, build_segment, check_threshold
from provenance.dedup.candidates import Rows, candidate_pairs, identical_pairs, number_rows
from provenance.dedup.choose import Choice, Edges, choose, clustered_rows, unsettled_pairs
from provenance.dedup.jaccard import ShingleSets
from provenance.dedup.minhash import Signatures, Sketch, sketch_texts
from provenance.dedup.textfiles import TextFile, read_batches


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """The outcome: compared pairs (also those below the threshold, where known) and what to keep."""

    rows: Rows
    compared: Edges
    choice: Choice
    candidates: int
    """Pairs that met in a band and were compared by their texts in this run."""


def index_files(files: Sequence[TextFile], doc_ids: pa.Array, sketch: Sketch, banding: Banding) -> Segment:
    """The segment of the rows of `files`, which are numbered from 0 in reading order; `doc_ids` goes with them."""
    return build_segment(_sketched(files, doc_ids, sketch), sketch, banding)


def _sketched(files: Sequence[TextFile], doc_ids: pa.Array, sketch: Sketch) -> Iterator[tuple[pa.Array, Signatures]]:
    done = 0
    for rows, texts in read_batches(files):
        chosen = rows >= 0
        if not chosen.all():
            texts = texts.filter(pa.array(chosen))  # noqa: PLW2901
        yield doc_ids[done : done + len(texts)], sketch_texts(texts, sketch)
        done += len(texts)


def find_near_duplicates(
    segments: Sequence[Segment],
    files: Sequence[TextFile],
    *,
    threshold: float,
    prefer: Callable[[NDArray[np.int64]], NDArray[np.int64]],
    live: NDArray[np.bool_] | None = None,
    fixed: NDArray[np.bool_] | None = None,
    wanted: NDArray[np.bool_] | None = None,
    known: Callable[[Rows], Edges] | None = None,
    scratch: Path | None = None,
) -> Found:
    """Compare what shares a band, by exact Jaccard, and choose what to keep.

    Rows are numbered segment after segment; `files` number their texts the same way. `prefer` orders given rows from
    most to least preferred. `live` rows take part (default all), `fixed` rows always stay. `wanted[s, t]` says which
    segments to compare with which (default all); `known` gives the pairs that earlier runs compared.
    """
    check_threshold(threshold)
    n = sum(len(s) for s in segments)
    rows = number_rows(segments, np.ones(n, dtype=np.bool_) if live is None else live)
    fixed = np.zeros(n, dtype=np.bool_) if fixed is None else fixed
    wanted = np.ones((len(segments), len(segments)), dtype=np.bool_) if wanted is None else wanted
    ngram = segments[0].sketch.ngram if segments else Sketch().ngram

    same = identical_pairs(segments, rows, wanted)
    candidates = np.setdiff1d(candidate_pairs(segments, rows, wanted), same, assume_unique=True)
    compared = Edges.of(same, np.ones(len(same)))
    if known is not None:
        compared = compared.join(known(rows))
    fresh = np.setdiff1d(candidates, compared.pairs, assume_unique=True)
    with ShingleSets(files, n, ngram=ngram, scratch=scratch) as sets:
        compared = compared.join(Edges(pairs=fresh, jaccard=sets.compare(fresh)).at_least(threshold))
        while True:
            near = compared.at_least(threshold)
            choice = choose(rows, near, prefer(clustered_rows(rows, near)), fixed)
            pairs = unsettled_pairs(rows, compared, near, choice)
            if not len(pairs):
                return Found(rows=rows, compared=compared, choice=choice, candidates=len(fresh))
            compared = compared.join(Edges(pairs=pairs, jaccard=sets.compare(pairs)))

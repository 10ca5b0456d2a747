"""Spans of 13 words that two sets of texts share, against plain Python."""

import itertools
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.dedup.overlap import Overlap, find_overlap
from provenance.dedup.reference import words
from provenance.dedup.textfiles import TextFile


def files(folder, name: str, texts: list[str]) -> list[TextFile]:
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), path, row_group_size=3)
    return [TextFile(path=path, rows=np.arange(len(texts)))]


def overlap(folder, a: list[str], b: list[str], width: int = 13) -> Overlap:
    return find_overlap(files(folder, "a", a), files(folder, "b", b), width=width)


def covered_in_python(a: list[str], b: list[str], width: int) -> set[tuple[int, int]]:
    """(row, word) of every word of `a` that lies in a window found in `b`."""

    def windows(text):
        split = words(text)
        return [tuple(split[i : i + width]) for i in range(len(split) - width + 1)]

    theirs = {w for text in b for w in windows(text)}
    return {
        (row, i + k)
        for row, text in enumerate(a)
        for i, w in enumerate(windows(text))
        if w in theirs
        for k in range(width)
    }


WORDS = st.lists(st.sampled_from(["a", "b", "日本", "c\n", "long-word", " "]), max_size=25).map(" ".join)


@settings(max_examples=50, deadline=None)
@given(st.lists(WORDS, max_size=6), st.lists(WORDS, max_size=6), st.integers(1, 4))
def test_spans_cover_exactly_the_shared_windows(tmp_path_factory, a, b, width):
    folder = tmp_path_factory.mktemp("o")
    found = overlap(folder, a, b, width)
    assert {(s.row, s.first_word + k) for s in found.spans for k in range(s.n_words)} == covered_in_python(a, b, width)
    for span in found.spans:
        assert span.text == " ".join(words(a[span.row])[span.first_word : span.first_word + span.n_words])
        assert " ".join(words(span.text)[:width]) in " ".join(words(b[span.other_row]))
    for one, two in itertools.pairwise(found.spans):
        assert one.row < two.row or one.first_word + one.n_words < two.first_word
    assert found.texts == len(a)
    assert found.checked == sum(len(words(text)) >= width for text in a)


@pytest.mark.parametrize("padding", [0, 200], ids=["the second side is larger", "the first side is larger"])
def test_a_planted_span_is_found_from_either_side(tmp_path, padding):
    rng = random.Random(4)
    secret = [f"s{i}" for i in range(20)]
    plain = [" ".join(f"w{rng.randrange(10**6)}" for _ in range(50)) for _ in range(40)]
    more = [" ".join(f"v{rng.randrange(10**6)}" for _ in range(50)) for _ in range(padding)]
    a = [*plain[:5], " ".join(["before", *secret, "after"]), *more]
    b = [*[" ".join(f"u{rng.randrange(10**6)}" for _ in range(50)) for _ in range(60)], " ".join(["x", *secret, "y"])]
    (span,) = overlap(tmp_path, a, b).spans
    assert (span.row, span.first_word, span.n_words, span.other_row) == (5, 1, 20, 60)


def test_twelve_words_in_common_are_no_span(tmp_path):
    shared = " ".join(f"s{i}" for i in range(12))
    assert overlap(tmp_path, [f"a {shared} b"], [f"c {shared} d"]).spans == []
    assert overlap(tmp_path, [shared, ""], [shared]) == Overlap(spans=[], texts=2, checked=0)


def test_many_windows_outgrow_the_first_table(tmp_path):
    rng = random.Random(9)
    texts = [" ".join(f"w{rng.randrange(10**7)}" for _ in range(5000)) for _ in range(20)]
    found = overlap(tmp_path, texts[10:11], texts)
    assert [(s.row, s.first_word, s.n_words, s.other_row) for s in found.spans] == [(0, 0, 5000, 10)]
    whole = overlap(tmp_path, texts, texts)
    assert [(s.row, s.n_words, s.other_row) for s in whole.spans] == [(i, 5000, i) for i in range(20)]

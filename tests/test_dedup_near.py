"""Index, candidates, verification and choice, against every pair compared in plain Python."""

import itertools
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.dedup import reference
from provenance.dedup.bands import Banding, Segment, build_segment, read_segment, write_segment
from provenance.dedup.candidates import (
    CENTRES,
    CROWDED,
    candidate_pairs,
    number_rows,
    pack,
    pairs_of_runs,
    unpack,
)
from provenance.dedup.choose import Edges, choose, clustered_rows
from provenance.dedup.minhash import ShingleHash, Sketch, sketch_texts
from provenance.dedup.near import Found, find_near_duplicates, index_files
from provenance.dedup.textfiles import TextFile
from provenance.errors import ConfigError, DataError


def ids(n: int, first: int = 0) -> pa.Array:
    return pa.array([i.to_bytes(16, "big") for i in range(first, first + n)], pa.binary(16))


def write_texts(path: Path, texts: list[str], row_group_size: int = 1000) -> Path:
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), path, row_group_size=row_group_size)
    return path


def segment_of(texts: list[str], banding: Banding | None = None) -> Segment:
    signatures = sketch_texts(pa.array(texts, pa.string()))
    return build_segment([(ids(len(texts)), signatures)], signatures.sketch, banding or Banding())


def near_duplicates(path: Path, texts: list[str], threshold: float = 0.7, **options) -> Found:
    """The whole job on one file; earlier texts are preferred."""
    write_texts(path, texts, row_group_size=options.pop("row_group_size", 1000))
    files = [TextFile(path=path, rows=np.arange(len(texts)))]
    segment = index_files(files, ids(len(texts)), Sketch(), Banding.for_threshold(threshold, 128))
    return find_near_duplicates([segment], files, threshold=threshold, prefer=lambda rows: rows, **options)


def set_aside(found: Found) -> dict[int, tuple[int, float]]:
    """Each removed row with the row kept for it and their similarity."""
    aside = ~found.choice.kept
    columns = (found.choice.rows[aside], found.choice.other[aside], found.choice.jaccard[aside])
    return {int(row): (int(other), float(jaccard)) for row, other, jaccard in zip(*columns, strict=True)}


def families(seed: int, count: int, size: int, n_words: int, edit: float) -> list[str]:
    """`count` originals, each followed by `size - 1` copies with words replaced at random."""
    rng = random.Random(seed)
    pool = [f"w{i}" for i in range(4000)]
    texts = []
    for _ in range(count):
        original = rng.choices(pool, k=n_words)
        for member in range(size):
            texts.append(" ".join(w if member == 0 or rng.random() > edit else rng.choice(pool) for w in original))
    rng.shuffle(texts)
    return texts


def check_against_every_pair(found: Found, texts: list[str], threshold: float) -> float:
    """Hold the laws, and return the share of true pairs that were found."""
    sets = [set(reference.shingles(text)) for text in texts]

    def jaccard(a: int, b: int) -> float:
        return len(sets[a] & sets[b]) / len(sets[a] | sets[b]) if sets[a] and sets[b] else 0.0

    near = found.compared.at_least(threshold)
    pairs = list(zip(*(side.tolist() for side in unpack(near.pairs)), strict=True))
    assert near.jaccard.tolist() == [jaccard(a, b) for a, b in pairs]
    removed = set_aside(found)
    for row, (other, similarity) in removed.items():
        assert other not in removed
        assert similarity == jaccard(row, other) >= threshold
    leader = found.rows.leader.tolist()
    known = {frozenset(pair) for pair in pairs}
    true = [(a, b) for a, b in itertools.combinations(range(len(texts)), 2) if jaccard(a, b) >= threshold]
    hits = [leader[a] == leader[b] or frozenset((leader[a], leader[b])) in known for a, b in true]
    return sum(hits) / len(true) if true else 1.0


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.9])
def test_the_job_agrees_with_every_pair_compared(tmp_path, threshold):
    texts = families(seed=7, count=18, size=5, n_words=80, edit=0.03)
    found = near_duplicates(tmp_path / "t.parquet", texts, threshold)
    # 18 families of 10 pairs; the banding misses one pair in a hundred at the threshold itself.
    assert check_against_every_pair(found, texts, threshold) >= 0.97


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=9).map(" ".join), min_size=1, max_size=14))
def test_whatever_is_removed_has_a_kept_direct_neighbour(tmp_path_factory, texts):
    found = near_duplicates(tmp_path_factory.mktemp("t") / "t.parquet", texts, 0.5)
    check_against_every_pair(found, texts, 0.5)


def test_a_chain_is_not_followed(tmp_path):
    words = [f"w{i}" for i in range(100)]
    # 100 words have 96 shingles. b keeps all but the last 16 of a's and c all but the last 16 of b's.
    a = " ".join(words)
    b = " ".join([*words[:84], *(f"x{i}" for i in range(16))])
    c = " ".join([*(f"y{i}" for i in range(16)), *words[16:84], *(f"x{i}" for i in range(16))])
    assert reference.jaccard(a, b) == 80 / 112
    assert reference.jaccard(b, c) == 80 / 112
    assert reference.jaccard(a, c) == 64 / 128
    found = near_duplicates(tmp_path / "t.parquet", [a, b, c])
    # b goes because of a; c stays: its only neighbour is gone, and a is not one.
    assert set_aside(found) == {1: (0, 80 / 112)}
    assert len(set(found.choice.cluster.tolist())) == 1


def test_empty_and_one_word_texts_are_no_duplicates_of_others(tmp_path):
    found = near_duplicates(tmp_path / "t.parquet", ["", "", " \n", "dog", "cat", "dog", "dog cat", "\u3000"])
    assert set_aside(found) == {5: (3, 1.0)}


def test_a_hundred_thousand_identical_documents_are_one_class(tmp_path):
    texts = ["the same ten words over and over again for everyone"] * 100_000
    found = near_duplicates(tmp_path / "t.parquet", [*texts, "another text"], row_group_size=50_000)
    assert found.candidates == 0
    aside = ~found.choice.kept
    assert int(aside.sum()) == 99_999
    assert set(found.choice.other[aside].tolist()) == {0}


def test_a_crowd_of_look_alikes_is_reduced_to_one(tmp_path):
    rng = random.Random(11)
    frame = [f"w{i}" for i in range(100)]
    size = CROWDED + 150
    texts = []
    for i in range(size):
        words = list(frame)
        words[rng.randrange(100)] = f"own{i}"
        texts.append(" ".join(words))
    found = near_duplicates(tmp_path / "t.parquet", texts)
    # Two words differ at most, so 10 of 106 shingles: every pair has at least 86 / 106.
    assert sorted(set_aside(found)) == list(range(1, size))


def test_a_crowded_bucket_becomes_stars_around_its_first_members():
    def pairs(size: int) -> int:
        texts = [f"text {i}" for i in range(size)]
        rows = number_rows([segment_of(texts)], np.ones(size, dtype=bool))
        keys = np.full(size, 7, dtype=np.uint64)
        return len(pairs_of_runs(keys, np.arange(size, dtype=np.uint64), rows, np.ones((1, 1), dtype=bool)))

    assert pairs(CROWDED) == CROWDED * (CROWDED - 1) // 2
    # Each of the first 64 with all that come after it.
    assert pairs(CROWDED + 1) == sum(CROWDED + 1 - i for i in range(1, CENTRES + 1))


def test_large_documents_are_compared_too(tmp_path):
    line = " ".join(f"w{i}" for i in range(300_000))
    found = near_duplicates(tmp_path / "t.parquet", [line, line + " and an end", "short"])
    assert set_aside(found) == {1: (0, 299_996 / 299_999)}


def test_new_documents_are_compared_with_the_index_and_among_themselves_only(tmp_path):
    texts = families(seed=2, count=30, size=3, n_words=80, edit=0.01)
    old, new = texts[:60], texts[60:]
    paths = [write_texts(tmp_path / "old.parquet", old), write_texts(tmp_path / "new.parquet", new)]
    files = [TextFile(path=paths[0], rows=np.arange(60)), TextFile(path=paths[1], rows=np.arange(60, 90))]
    segments = [segment_of(old), segment_of(new)]
    options = {"threshold": 0.7, "prefer": lambda rows: rows}
    whole = find_near_duplicates(segments, files, **options)

    def known(_):
        alone = find_near_duplicates(segments[:1], files[:1], **options)
        return alone.compared

    wanted = np.array([[False, True], [True, True]])
    grown = find_near_duplicates(segments, files, wanted=wanted, known=known, **options)
    assert 0 < grown.candidates < whole.candidates
    rows = number_rows(segments, np.ones(90, dtype=bool))
    every = candidate_pairs(segments, rows, np.ones((2, 2), dtype=bool))
    np.testing.assert_array_equal(candidate_pairs(segments, rows, wanted), every[unpack(every)[1] >= 60])
    for name in ("rows", "kept", "other", "jaccard"):
        np.testing.assert_array_equal(getattr(grown.choice, name), getattr(whole.choice, name))


def test_fixed_documents_stay_and_dead_ones_do_not_count(tmp_path):
    text = " ".join(f"w{i}" for i in range(50))
    texts = [text, text + " end", text + " other end"]
    live, fixed = np.array([False, True, True]), np.array([False, False, True])
    found = near_duplicates(tmp_path / "t.parquet", texts, live=live, fixed=fixed)
    assert found.choice.rows.tolist() == [1, 2]
    # Row 1 is preferred, so both stay: a fixed row is never set aside.
    assert found.choice.kept.tolist() == [True, True]


@given(st.integers(0, 2**31 - 1), st.integers(2, 30), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_what_stays_dominates_and_what_goes_has_a_staying_neighbour(seed, n, n_edges):
    rng = np.random.default_rng(seed)
    segment = segment_of([f"text number {i} alone" for i in range(n)])
    rows = number_rows([segment], np.ones(n, dtype=bool))
    a, b = rng.integers(n, size=(2, n_edges))
    edges = Edges.of(pack(a[a != b], b[a != b]), rng.uniform(0.7, 1, size=int((a != b).sum())))
    ordered = clustered_rows(rows, edges)
    rng.shuffle(ordered)
    fixed = rng.random(n) < 0.2
    choice = choose(rows, edges, ordered, fixed)
    kept = {int(r): bool(k) for r, k in zip(choice.rows, choice.kept, strict=True)}
    joined = {frozenset(pair) for pair in zip(*(side.tolist() for side in unpack(edges.pairs)), strict=True)}
    place = {row: i for i, row in enumerate(ordered.tolist())}
    for row, other in zip(choice.rows.tolist(), choice.other.tolist(), strict=True):
        assert frozenset((row, other)) in joined
        if not kept[row]:
            assert kept[other]
            assert not fixed[row]
            assert place[other] < place[row]
    for pair in joined:
        one, two = pair
        assert not (kept[one] and kept[two]) or fixed[one] or fixed[two]


def test_a_survivor_is_compared_with_what_its_neighbour_was_set_aside_for(tmp_path):
    words = [f"w{i}" for i in range(200)]
    # All three pairs are near; the index is made to miss the pair (0, 2), as it may.
    texts = [" ".join([*words[:199], f"end{i}"]) for i in range(3)]
    seen = Edges.of(
        np.array([pack(np.array([0]), np.array([1]))[0], pack(np.array([1]), np.array([2]))[0]]), np.full(2, 0.99)
    )
    found = near_duplicates(tmp_path / "t.parquet", texts, wanted=np.zeros((1, 1), dtype=bool), known=lambda _: seen)
    assert set_aside(found) == {1: (0, 0.99), 2: (0, reference.jaccard(texts[0], texts[2]))}


def test_packing_is_undone_by_unpacking():
    a, b = np.array([3, 7, 0]), np.array([5, 2, 4_000_000_000])
    low, high = unpack(pack(a, b))
    assert low.tolist() == [3, 2, 0]
    assert high.tolist() == [5, 7, 4_000_000_000]


def test_bands_are_what_datasketch_searches_for():
    from datasketch import MinHashLSH

    found = MinHashLSH(threshold=0.7, num_perm=128, weights=(0.01, 0.99))
    assert Banding.for_threshold(0.7, 128) == Banding(bands=found.b, rows=found.r) == Banding(bands=25, rows=5)
    assert Banding.for_threshold(1.0, 128) == Banding()
    low = Banding.for_threshold(0.4, 128)
    assert low.bands * low.rows <= 128
    assert low.chance(0.4) > 0.98
    assert Banding().chance(0.7) == pytest.approx(1 - (1 - 0.7**5) ** 25)


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01, float("nan")])
def test_a_threshold_outside_its_range_is_refused(threshold):
    with pytest.raises(ConfigError, match=r"threshold must be in \(0, 1\]"):
        Banding.for_threshold(threshold, 128)


def test_candidates_are_the_pairs_that_share_a_band():
    texts = families(seed=5, count=10, size=4, n_words=60, edit=0.05)
    values = sketch_texts(pa.array(texts)).values[:, :125].reshape(len(texts), 25, 5)
    segment = segment_of(texts)
    rows = number_rows([segment], np.ones(len(texts), dtype=bool))
    leaders = np.flatnonzero(rows.leaders).tolist()
    assert len(leaders) < len(texts), "some copies should be identical"
    expected = {(a, b) for a, b in itertools.combinations(leaders, 2) if (values[a] == values[b]).all(axis=1).any()}
    found = candidate_pairs([segment], rows, np.ones((1, 1), dtype=bool))
    assert set(zip(*(side.tolist() for side in unpack(found)), strict=True)) == expected


def test_a_segment_survives_the_disk_in_250_bytes_a_document(tmp_path):
    rng = random.Random(1)
    texts = [" ".join(rng.choices("abcdefghij", k=30)) for _ in range(3000)]
    segment = segment_of(texts)
    write_segment(segment, tmp_path / "s.parquet")
    assert (tmp_path / "s.parquet").stat().st_size <= 250 * len(texts)
    read = read_segment(tmp_path / "s.parquet")
    assert (read.sketch, read.banding) == (segment.sketch, segment.banding)
    assert read.doc_ids.equals(segment.doc_ids)
    np.testing.assert_array_equal(read.content, segment.content)
    for mine, theirs in zip(read.entries, segment.entries, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_damaged_segment_is_one_clear_error(tmp_path):
    path = tmp_path / "s.parquet"
    write_segment(segment_of([f"text {i} of many" for i in range(500)]), path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (bytes(flipped), whole[:1000], b"", b"PAR1 no PAR1"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"index file s\.parquet cannot be read") as caught:
            read_segment(path)
        assert "delete" in caught.value.hint
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        read_segment(path)


def test_a_segment_takes_one_kind_of_signature():
    texts = pa.array(["a b c d e f"])
    plain, other = sketch_texts(texts), sketch_texts(texts, Sketch(seed=5))
    with pytest.raises(DataError, match="seed 1 and 5"):
        build_segment([(ids(1), plain), (ids(1), other)], plain.sketch, Banding())
    bytewise = sketch_texts(texts, Sketch(hash=ShingleHash.XXH32))
    with pytest.raises(DataError, match="token mode"):
        build_segment([(ids(1), bytewise)], bytewise.sketch, Banding())
    with pytest.raises(ConfigError, match="30 bands of 5"):
        build_segment([(ids(1), plain)], plain.sketch, Banding(bands=30, rows=5))


def test_a_missing_text_file_is_named(tmp_path):
    files = [TextFile(path=tmp_path / "gone.parquet", rows=np.arange(3))]
    with pytest.raises(DataError, match=r"gone\.parquet cannot be read"):
        index_files(files, ids(3), Sketch(), Banding())
    write_texts(tmp_path / "gone.parquet", ["a", "b"])
    with pytest.raises(DataError, match="2 rows where 3 were expected"):
        index_files(files, ids(3), Sketch(), Banding())


def test_nothing_to_compare_is_no_error(tmp_path):
    found = find_near_duplicates([], [], threshold=0.7, prefer=lambda rows: rows)
    assert len(found.compared) == len(found.choice.rows) == 0
    assert len(near_duplicates(tmp_path / "t.parquet", []).choice.rows) == 0

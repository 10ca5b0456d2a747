"""Signatures and shingle sets against datasketch and the plain-Python definition."""

import random

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.dedup import kernels, reference
from provenance.dedup.bands import Banding
from provenance.dedup.interchange import from_lsh, from_minhashes, to_lsh, to_minhashes
from provenance.dedup.minhash import ShingleHash, Signatures, Sketch, sketch_texts, utf8_buffers
from provenance.errors import ConfigError, DataError

XXH32 = Sketch(hash=ShingleHash.XXH32)

# Words of every length around eight bytes, each kind of space, scripts with and without spaces, four-byte characters.
LETTERS = ["a", "b", "é", "longerword", "exactly8", "ninechars", "x" * 70, "—", "“quoted”", "한국", "👍"]
UNSPACED = ["日", "本", "ก", "ข", "𠀀"]
ASCII_SPACES = [" ", "  ", "\n", "\t", "\x0b", "\x1c", "\x1f"]
WIDE_SPACES = ["\x85", "\u00a0", "\u1680", "\u2003", "\u2028", "\u202f", "\u3000"]
PIECES = st.sampled_from([*LETTERS, *UNSPACED, *ASCII_SPACES, *WIDE_SPACES])
TEXTS = st.lists(PIECES, max_size=60).map("".join)


def datasketch_values(text: str, hashfunc, num_perm: int = 128, seed: int = 1) -> np.ndarray:
    """What datasketch makes of the reference's shingles."""
    signature = MinHash(num_perm, seed=seed, hashfunc=hashfunc)
    shingles = reference.shingles(text)
    if shingles:
        signature.update_batch(shingles)
    return signature.hashvalues


def shingle_sets(texts: list[str], ngram: int = 5) -> list[set[int]]:
    data, offsets = utf8_buffers(pa.array(texts, pa.string()))
    out, counts = np.zeros(int(offsets[-1]) + len(texts), np.uint64), np.zeros(len(texts), np.int64)
    used = kernels.distinct_shingles(data, offsets, np.arange(len(texts)), ngram, out, counts)
    assert used == counts.sum()
    parts = np.split(out[:used], np.cumsum(counts)[:-1])
    assert all(len(set(part.tolist())) == len(part) for part in parts)
    return [set(part.tolist()) for part in parts]


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_xxh32_signatures_equal_datasketch_bit_for_bit(texts):
    values = sketch_texts(pa.array(texts, pa.string()), XXH32).values
    for text, row in zip(texts, values, strict=True):
        np.testing.assert_array_equal(row, datasketch_values(text, xxhash.xxh32_intdigest))


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_token_signatures_equal_datasketch_with_the_reference_hash(texts):
    values = sketch_texts(pa.array(texts, pa.string())).values
    for text, row in zip(texts, values, strict=True):
        np.testing.assert_array_equal(row, datasketch_values(text, reference.token_shingle_hash))


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_shingle_sets_are_those_of_the_reference(texts):
    expected = [{reference.shingle_hash(s) | 1 for s in reference.shingles(text)} for text in texts]
    assert shingle_sets(texts) == expected


@given(TEXTS)
def test_words_are_those_of_str_split_where_scripts_have_spaces(text):
    spaced = "".join(c for c in text if c not in "日本กข𠀀\u3000")
    assert reference.words(spaced) == spaced.split()


def test_each_character_of_an_unspaced_script_is_a_word():
    assert reference.words("私は学生。ok สวัสดี") == [*"私は学生。", "ok", *"สวัสดี"]
    assert reference.words("한국어 문장") == ["한국어", "문장"]


def test_long_texts_cross_block_boundaries_unharmed():
    rng = random.Random(5)
    words = ["a", "is", "the", "word", "seven77", "eight888", "nine99999", "sixteen-letters-", "café", "“so”", "日本"]
    texts = [" ".join(rng.choices(words, k=n)) for n in (4, 5, 6, 60, 61, 333)] + ["z" * n for n in (63, 64, 65, 200)]
    values = sketch_texts(pa.array(texts), Sketch(num_perm=16)).values
    for text, row in zip(texts, values, strict=True):
        np.testing.assert_array_equal(row, datasketch_values(text, reference.token_shingle_hash, num_perm=16))


def test_other_settings_are_datasketchs_too():
    text = "one two three four five six seven eight"
    for num_perm, seed in ((7, 3), (256, 42)):
        row = sketch_texts(pa.array([text]), Sketch(num_perm=num_perm, seed=seed)).values[0]
        np.testing.assert_array_equal(row, datasketch_values(text, reference.token_shingle_hash, num_perm, seed))


def test_arrow_layouts_do_not_matter():
    texts = ["alpha beta gamma delta epsilon zeta", None, "", "one two", "eta theta iota kappa lambda mu nu"] * 3
    filled = ["" if t is None else t for t in texts]
    expected = sketch_texts(pa.array(filled))
    for column in (
        pa.array(texts, pa.large_string()),
        pa.array(["skip", *texts])[1:],
        pa.array(["skip", *filled, "skip"])[1:-1],
        pa.chunked_array([pa.array(texts[:4]), pa.array(texts[4:], pa.string())]),
        pa.array(texts).dictionary_encode(),
        pa.array(texts, pa.string_view()),
    ):
        found = sketch_texts(column)
        np.testing.assert_array_equal(found.values, expected.values)
        np.testing.assert_array_equal(found.content, expected.content)
    assert len(sketch_texts(pa.array([], pa.string()))) == 0
    with pytest.raises(DataError, match="must be strings, got list"):
        sketch_texts(pa.array([["a"]]))


def test_a_text_without_words_has_an_empty_signature():
    found = sketch_texts(pa.array(["", " \n\t ", "\u3000", "word"]))
    assert found.content.tolist()[:3] == [0, 0, 0]
    assert found.content[3] != 0
    assert (found.values[:3] == 0xFFFFFFFF).all()


def test_content_is_equal_exactly_where_the_shingles_are():
    a, b, c, d = sketch_texts(
        pa.array(["a b c d e f", " a  b c\nd e f ", "a b c d e g", "a b c d e f a b c d e f"])
    ).content.tolist()
    assert a == b
    assert len({a, c, d}) == 3


def test_one_word_texts_differ():
    found = sketch_texts(pa.array(["dog", "cat", "dog"]))
    assert found.jaccard(Signatures(values=found.values[[1, 2, 2]], sketch=found.sketch)).tolist() == [0.0, 0.0, 1.0]


def test_a_ten_megabyte_line_is_one_text():
    line = " ".join(f"w{i % 9973}" for i in range(1_700_000))
    assert len(line) > 9_500_000
    found = sketch_texts(pa.array([line, "x" * 10_000_000, line + " end"]), Sketch(num_perm=4))
    assert found.content[0] != found.content[2]
    (sets,) = shingle_sets([line])
    assert len(sets) == 9973  # the words repeat with that period, and so do their 5-grams


def test_the_estimate_agrees_with_the_exact_similarity():
    rng = random.Random(3)
    pool = [f"t{i}" for i in range(3000)]
    left, right = [], []
    for _ in range(60):
        words = rng.choices(pool, k=400)
        left.append(" ".join(words))
        right.append(" ".join(w if rng.random() > 0.04 else "new" for w in words))
    a, b = (sketch_texts(pa.array(side)) for side in (left, right))
    error = a.jaccard(b) - [reference.jaccard(x, y) for x, y in zip(left, right, strict=True)]
    # Each estimate has a standard deviation of at most 1 / (2 sqrt(128)).
    assert abs(error.mean()) < 4 * 0.5 / np.sqrt(128 * 60)


def test_signatures_of_two_kinds_do_not_mix():
    texts = pa.array(["a b c d e f"])
    plain = sketch_texts(texts)
    for other in (XXH32, Sketch(seed=2), Sketch(ngram=4)):
        with pytest.raises(DataError, match="cannot be compared"):
            plain.jaccard(sketch_texts(texts, other))
    with pytest.raises(ConfigError, match="ngram must be at least 1, got 0"):
        Sketch(ngram=0)
    with pytest.raises(ConfigError, match="'legacy'"):
        Sketch(scheme="legacy")


def test_datasketch_takes_and_gives_signatures():
    texts = ["a b c d e f g", "a b c d e f h", "nothing in common with the others at all"]
    ours = sketch_texts(pa.array(texts), XXH32)
    minhashes = to_minhashes(ours)
    assert (
        minhashes[0].jaccard(minhashes[1]) == ours.jaccard(Signatures(values=ours.values[[1, 1, 1]], sketch=XXH32))[0]
    )
    np.testing.assert_array_equal(from_minhashes(minhashes, XXH32).values, ours.values)
    with pytest.raises(DataError, match="seed 1"):
        from_minhashes(minhashes, Sketch(seed=9))

    lsh = to_lsh(["p", "q", "r"], ours, Banding())
    query = MinHash(128, hashfunc=xxhash.xxh32_intdigest)
    query.update_batch(reference.shingles(texts[2]))
    assert lsh.query(query) == ["r"]
    keys, values, banding = from_lsh(lsh)
    assert (keys, banding) == (["p", "q", "r"], Banding(bands=25, rows=5))
    np.testing.assert_array_equal(values, ours.values[:, :125])


def test_an_index_that_cannot_be_read_back_is_refused():
    from datasketch import MinHashLSH

    hashed = MinHashLSH(num_perm=128, params=(25, 5), hashfunc=lambda band: band[:4])
    with pytest.raises(DataError, match="hashes of its bands"):
        from_lsh(hashed)
    legacy = MinHashLSH(num_perm=16, params=(4, 4))
    legacy.insert("a", MinHash(16, scheme="legacy"))
    with pytest.raises(DataError, match="legacy"):
        from_lsh(legacy)


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch):
    import numba

    from provenance.dedup import jit

    real = numba.njit

    def refuse(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(numba, "njit", refuse)
    assert jit.kernel(lambda x: x + 1)(1) == 2

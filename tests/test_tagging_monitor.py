"""The monitor calls collapse what lost its tails, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from provenance.catalog.corpora import get_corpus
from provenance.catalog.store import Catalog
from provenance.detectors.tokens import hash_word
from provenance.errors import DataError
from provenance.seeds import stream
from provenance.tagging import stats
from provenance.tagging.monitor import _Bigram, _zipf, compare


def zipfian(count: int, exponent: float, seed: int, vocabulary: int = 3000) -> list[str]:
    """Texts of 120 words drawn from a power law."""
    rng = stream(seed, "zipf")
    weights = np.arange(1, vocabulary + 1) ** -exponent
    drawn = rng.choice(vocabulary, size=(count, 120), p=weights / weights.sum())
    letters = np.array(list("abcdefghijklmnop"))
    words = ["".join(letters[[(i >> s) & 15 for s in (0, 4, 8)]]) for i in range(vocabulary)]
    return [" ".join(words[i] for i in row) for row in drawn.tolist()]


def test_two_halves_of_one_source_show_no_sign() -> None:
    texts = zipfian(500, 1.0, 1)
    found = compare(texts[:200], texts[200:])
    assert found.verdict == "no sign"
    assert {one.verdict for one in found.measures} <= {"same", "unsure"}


def test_a_source_that_lost_its_rare_words_is_called_collapsed() -> None:
    found = compare(zipfian(200, 1.6, 2), zipfian(400, 1.0, 3))
    verdicts = {one.name: one.verdict for one in found.measures}
    assert found.verdict == "collapsed"
    assert verdicts["rare_word_coverage"] == verdicts["bits_per_word"] == verdicts["zipf_exponent"] == "collapsed"


def test_a_richer_source_is_not_called_collapsed() -> None:
    found = compare(zipfian(200, 0.6, 4), zipfian(400, 1.0, 5))
    assert found.verdict == "no sign"
    assert {one.name: one.verdict for one in found.measures}["distinct_words"] == "richer"


def test_a_subgroup_that_shrank_is_named() -> None:
    texts = zipfian(500, 1.0, 6)
    groups = ["a"] * 190 + ["b"] * 10
    found = compare(texts[:200], texts[200:], groups=groups, reference_groups=["a", "b"] * 150)
    assert {one.group: one.verdict for one in found.groups} == {"a": "more", "b": "fewer"}


def test_of_a_thousand_subgroups_none_shrinks_by_chance_and_one_that_is_gone_does() -> None:
    texts = zipfian(500, 1.0, 6)
    rng = stream(0, "authors")
    here, there = ([f"u{i}" for i in rng.integers(1000, size=size)] for size in (20_000, 40_000))
    there += ["gone"] * 200
    found = compare(texts[:200], texts[200:], groups=here, reference_groups=there)
    assert [(one.group, one.verdict) for one in found.groups if one.verdict != "same"] == [("gone", "fewer")]


def test_too_little_text_is_an_error_with_the_numbers() -> None:
    with pytest.raises(DataError, match="too few words") as error:
        compare(["a b c"], zipfian(300, 1.0, 7))
    assert "8,000" in error.value.hint


def test_the_zipf_exponent_of_a_power_law_is_its_exponent() -> None:
    counts = np.round(1e5 * np.arange(1, 101) ** -1.2).astype(int)
    assert _zipf(np.r_[counts, 0]) == pytest.approx(1.2, abs=0.01)


def test_the_fixed_model_hands_out_exactly_all_probability() -> None:
    text = np.array([hash_word(w) for w in ["a", "b", "a", "c", "a", "b", "b", "a"]])
    model = _Bigram(text)
    seen = [hash_word(w) for w in "abc"]
    for before in (hash_word("a"), hash_word("b"), hash_word("never")):
        total = sum(2 ** -model.bits_per_word(np.array([before, word])) for word in [*seen, hash_word("unknown")])
        assert total == pytest.approx(1.0)


def test_the_order_of_the_texts_does_not_matter_beyond_the_shuffle() -> None:
    poor, rich = zipfian(300, 1.3, 8), zipfian(300, 0.8, 28)
    rng = stream(0, "order")
    verdicts = []
    for texts, reference in (
        (poor[:80] + rich[:80], poor[80:] + rich[80:]),
        (rich[:80] + poor[:80], rich[80:] + poor[80:]),
        (rng.permutation(poor[:80] + rich[:80]).tolist(), rng.permutation(poor[80:] + rich[80:]).tolist()),
    ):
        found = compare(texts, reference, seed=3)
        verdicts.append([found.verdict, *(one.verdict for one in found.measures)])
    assert verdicts[0][0] == "no sign"
    assert verdicts[0] == verdicts[1] == verdicts[2]


def test_variety_lost_between_documents_shows_even_where_each_block_looks_rich() -> None:
    texts = zipfian(600, 0.8, 9)
    copied = [texts[i % 40] for i in range(200)]
    found = compare(copied, texts[200:])
    verdicts = {one.name: one.verdict for one in found.measures}
    assert found.verdict == "collapsed"
    assert verdicts["distinct_words"] == verdicts["rare_word_coverage"] == verdicts["repeated_runs"] == "collapsed"


def test_texts_that_both_sides_share_do_not_look_easy_to_the_model_made_of_them() -> None:
    texts = zipfian(500, 1.0, 10)
    bits = next(one for one in compare(texts, texts).measures if one.name == "bits_per_word")
    assert bits.verdict == "same"


def test_the_command_says_what_collapsed_and_which_subgroup_shrank(
    run: Callable[..., Result], write_jsonl: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(name: str, texts: list[str], rare: int) -> None:
        rows = [{"id": f"{i}", "text": t, "who": "few" if i < rare else "many"} for i, t in enumerate(texts)]
        path = write_jsonl(f"{name}.jsonl", rows)
        assert run("corpus", "add", name, path, "--key-field", "id", "--subgroup-field", "who").exit_code == 0

    add("crawl", zipfian(150, 1.6, 11), 5)
    add("healthy", zipfian(300, 1.0, 12), 100)
    found = json.loads(run("corpus", "stats", "crawl", "--against", "healthy", "--json").stdout)
    assert found["schema"] == "provenance.corpus.stats/1"
    assert found["verdict"] == "collapsed"
    assert {one["group"]: one["verdict"] for one in found["groups"]} == {"few": "fewer", "many": "more"}
    printed = run("corpus", "stats", "crawl", "--against", "healthy").stdout
    assert printed.startswith("collapsed: crawl@1 against healthy@1")
    assert "share of few" in printed
    monkeypatch.setattr("provenance.cli.stats.GROUPS_SHOWN", 1)
    printed = run("corpus", "stats", "crawl", "--against", "healthy").stdout
    assert printed.count("share of") == 1
    assert printed.rstrip().endswith("2 subgroups: 1 fewer, 1 more; all of them with --json")
    add("tiny", ["three small words"], 0)
    refused = run("corpus", "stats", "tiny", "--against", "healthy")
    assert refused.exit_code == 3
    assert "too few words" in refused.output


def test_a_large_corpus_is_read_in_part_by_chance(
    run: Callable[..., Result], write_jsonl: Callable[..., Path], catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats, "MOST_WORDS", 12_000)
    for name, seed in (("crawl", 13), ("healthy", 14)):
        rows = [{"id": f"{i}", "text": t} for i, t in enumerate(zipfian(300, 1.0, seed))]
        assert run("corpus", "add", name, write_jsonl(f"{name}.jsonl", rows), "--key-field", "id").exit_code == 0
    found = stats.compare_corpora(catalog, get_corpus(catalog, "crawl"), get_corpus(catalog, "healthy"))
    assert (found.read, found.reference_read) == (100, 200)
    assert found.comparison.verdict == "no sign"

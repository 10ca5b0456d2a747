"""The shipped sample: its manifest is true, and nothing but the writing tells its two kinds of text apart."""

import hashlib
import itertools
import json
from collections import Counter

import pyarrow as pa
import pytest

from provenance import sample
from provenance.errors import NotFoundError


def rows(name):
    with pa.CompressedInputStream(pa.OSFile(str(sample.path(name))), "zstd") as stream:
        return [json.loads(line) for line in stream.read().decode().splitlines()]


@pytest.fixture(scope="module")
def corpora():
    return {name: rows(name) for name in sample.NAMES}


@pytest.fixture(scope="module")
def texts(corpora):
    """Every corpus but the truth file, which holds no text."""
    return {name: corpus for name, corpus in corpora.items() if name != "web-truth"}


@pytest.fixture(scope="module")
def truth(corpora):
    return {row["id"]: row for row in corpora["web-truth"]}


def test_every_file_is_the_one_its_manifest_describes(corpora):
    files = sample.manifest()["files"]
    assert set(files) == set(sample.NAMES)
    for name, about in files.items():
        packed = sample.path(name).read_bytes()
        assert hashlib.sha256(packed).hexdigest() == about["sha256"], name
        assert (len(packed), len(corpora[name])) == (about["bytes"], about["rows"]), name


def test_the_sample_stays_small_enough_to_ship():
    assert sum(sample.path(name).stat().st_size for name in sample.NAMES) < 2_500_000


def test_an_unknown_name_is_refused_with_a_suggestion():
    with pytest.raises(NotFoundError) as caught:
        sample.path("speechs")
    assert "speeches" in caught.value.hint


def test_no_id_and_no_text_occurs_twice(texts):
    everything = list(itertools.chain(*texts.values()))
    for field in ("id", "text"):
        assert [v for v, n in Counter(row[field] for row in everything).items() if n > 1] == []


def test_the_truth_of_web_is_beside_it_and_not_in_it(texts, truth):
    assert {row["id"] for row in texts["web"]} == set(truth)
    assert {key for row in texts["web"] for key in row} == {"id", "text", "domain", "subgroup"}
    counts = Counter(row["label"] for row in truth.values())
    assert set(counts) == {"human", "model"}
    assert 0.2 < counts["model"] / counts.total() < 0.35


def test_no_speech_or_chapter_is_in_two_parts_not_even_as_a_prompt(texts, truth):
    def unit(row):
        return row["source"] if row.get("source") else row["prompt_id"].split("/")[0]

    parts = {
        "main": [*texts["speeches"], *texts["novel"], *texts["smollm"]],
        "web": list(truth.values()),
        "labelled": texts["labelled"],
        "heldout": texts["heldout"],
    }
    units = {name: {unit(row) for row in part} for name, part in parts.items()}
    for one, other in itertools.combinations(units, 2):
        assert units[one] & units[other] == set(), (one, other)


def test_no_two_parts_share_twelve_words_in_a_row(texts):
    parts = {"speeches": "main", "novel": "main", "smollm": "main"}
    owner = {}
    for name, corpus in texts.items():
        for row in corpus:
            words = row["text"].lower().split()
            for i in range(len(words) - 11):
                gram = tuple(words[i : i + 12])
                assert owner.setdefault(gram, parts.get(name, name)) == parts.get(name, name), " ".join(gram)


def test_texts_are_one_line_of_whole_sentences_without_markup(texts):
    for row in itertools.chain(*texts.values()):
        text = row["text"]
        assert not any(mark in text for mark in ("<|", "|>", "\n", "\r", "\t", "**", "##", "  ", "“", "—")), row["id"]
        assert text == text.strip()
        assert text.rstrip("\"')")[-1] in ".!?", row["id"]
        assert 30 <= len(text.split()) <= 200, row["id"]


def test_every_text_says_what_a_corpus_needs_of_it(texts):
    assert {row["label"] for row in texts["labelled"]} == {"human", "model"}
    assert {row["domain"] for row in texts["labelled"] if row["label"] == "model"} == {"speech", "novel"}
    assert {row["generator"] for row in texts["smollm"]} == {"SmolLM2-135M-Instruct"}
    assert {row["generator"] for row in texts["labelled"]} == {"SmolLM2-135M-Instruct", None}
    assert {row["subgroup"] for row in texts["speeches"]} == {"1790-1849", "1850-1899", "1900-1949", "1950-2021"}
    for row in texts["speeches"]:
        first, last = map(int, row["subgroup"].split("-"))
        assert first <= row["year"] <= last
        assert row["president"]


def auroc(positive, negative):
    """The chance that a positive is above a negative, ties counting half; every pair is looked at."""
    wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
    return wins / (len(positive) * len(negative))


def test_length_does_not_give_the_model_away(texts, truth):
    labels = {**{i: row["label"] for i, row in truth.items()}, **{row["id"]: row["label"] for row in texts["labelled"]}}
    for name in ("web", "labelled"):
        lengths = {"human": [], "model": []}
        for row in texts[name]:
            lengths[labels[row["id"]]].append(len(row["text"].split()))
        assert abs(auroc(lengths["model"], lengths["human"]) - 0.5) < 0.1, name

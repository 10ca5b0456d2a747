"""The Kneser-Ney world against a plain reading of the formulas, and the spelling of unknown words."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import ConfigError, DataError
from provenance.plugins import METRICS, Part, Reference
from provenance.recursion.models import kneser_ney, words
from provenance.recursion.models.ngram import NgramWorld
from provenance.recursion.models.spelling import Spelling
from provenance.recursion.models.text_classes import SubgroupWords
from provenance.recursion.models.tilt import Decoding
from provenance.seeds import stream

documents = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=8), min_size=1, max_size=6)


def batch(docs):
    return words.pack([np.array(doc, dtype=np.int32) for doc in docs])


def plain_probability(docs, order, history, token):
    """Interpolated Kneser-Ney read off the textbook, one n-gram at a time. `S` is the start symbol."""
    padded = [["S"] * max(order - 1, 1) + list(doc) for doc in docs]
    grams = defaultdict(Counter)
    for doc in padded:
        start = max(order - 1, 1)
        for i in range(start, len(doc)):
            for k in range(1, order + 1):
                grams[k][tuple(doc[i - k + 1 : i + 1])] += 1

    def count(k, gram):
        if k == order or (k > 1 and gram[0] == "S"):
            return grams[k][gram]
        return sum(1 for longer in grams[k + 1] if longer[1:] == gram)

    def level(k, context):
        known = {gram: count(k, gram) for gram in grams[k]}
        once = sum(c == 1 for c in known.values())
        twice = sum(c == 2 for c in known.values())
        if k == 1:
            total = sum(known.values())
            novel = min(max(once / total, kneser_ney.MIN_NOVEL), kneser_ney.MAX_NOVEL)
            return (1 - novel) * known.get((token,), 0) / total
        lower = level(k - 1, context[1:])
        here = {gram: c for gram, c in known.items() if gram[:-1] == context}
        total = sum(here.values())
        if total == 0:
            return lower
        discount = once / (once + 2 * twice) if once else 0.0
        discount = min(max(discount, kneser_ney.MIN_DISCOUNT), kneser_ney.MAX_DISCOUNT)
        own = here.get((*context, token), 0)
        kept = (own - discount) / total if own else 0.0
        # Counts of seen n-grams are at least 1, so every one of them gives up the whole discount.
        return kept + discount * len([c for c in here.values() if c]) / total * lower

    context = (["S"] * (order - 1) + list(history))[len(history) :]
    return level(order, tuple(context[-(order - 1) :]))


@settings(max_examples=40, deadline=None)
@given(docs=documents, order=st.integers(2, 4), text=st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_probabilities_are_those_of_the_textbook(docs, order, text):
    data = batch(docs)
    model = kneser_ney.fit(data["ids"], data["offsets"], order=order, vocabulary=5)
    seen = {token for doc in docs for token in doc}
    found = kneser_ney.probabilities(model, np.array(text), np.array([0, len(text)]))
    for i, token in enumerate(text):
        if token in seen:
            assert found[i] == pytest.approx(plain_probability(docs, order, text[:i], token), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(docs=documents, order=st.integers(2, 4), history=st.lists(st.integers(-1, 4), max_size=4))
def test_after_any_history_the_probabilities_of_all_words_sum_to_one(docs, order, history):
    data = batch(docs)
    model = kneser_ney.fit(data["ids"], data["offsets"], order=order, vocabulary=5)
    known = kneser_ney.known_tokens(model)
    texts = [np.array([*history, token]) for token in [*known.tolist(), -1]]
    ids, offsets = np.concatenate(texts), np.arange(len(texts) + 1) * (len(history) + 1)
    last = kneser_ney.probabilities(model, ids, offsets)[len(history) :: len(history) + 1]
    assert last.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("decoding", [None, Decoding(top_p=1.0)], ids=["by descent", "from whole distributions"])
def test_sampled_words_follow_the_probabilities(decoding):
    docs = [[0, 1, 2, 0, 1], [0, 2, 2, 1], [3, 1, 0]]
    data = batch(docs)
    model = kneser_ney.fit(data["ids"], data["offsets"], order=3, vocabulary=5)
    n = 40_000
    drawn = kneser_ney.sample(model, np.full(n, 2), stream(1), decoding).reshape(n, 2)
    first = kneser_ney.probabilities(model, np.arange(5), np.arange(6))[:4]
    # Sampling leaves the mass of unknown words out, at the lowest order only.
    unknown = kneser_ney.probabilities(model, np.array([-1]), np.array([0, 1]))[0]
    base = model.levels[0].discounted / model.levels[0].total[0]
    expected = first.copy()
    expected[model.levels[0].keys[model.levels[0].keys < 4]] += unknown * base[model.levels[0].keys < 4]
    observed = np.bincount(drawn[:, 0], minlength=4)[:4] / n
    assert np.all(np.abs(observed - expected) < 4 * np.sqrt(expected * (1 - expected) / n) + 1e-12)
    after_0 = drawn[drawn[:, 0] == 0][:, 1]
    pairs = np.array([[0, w] for w in range(4)]).ravel()
    p = kneser_ney.probabilities(model, pairs, np.arange(5) * 2)[1::2]
    u = kneser_ney.probabilities(model, np.array([0, -1]), np.array([0, 2]))[1]
    p[model.levels[0].keys[model.levels[0].keys < 4]] += u * base[model.levels[0].keys < 4]
    share = np.bincount(after_0, minlength=4)[:4] / len(after_0)
    assert np.all(np.abs(share - p) < 4 * np.sqrt(p * (1 - p) / len(after_0)) + 1e-12)


def test_the_likeliest_word_alone_is_left_at_top_k_1_and_nearly_so_when_cold():
    data = batch([[0, 1, 2, 0, 1], [0, 2, 2, 1], [3, 1, 0]])
    model = replace(kneser_ney.fit(data["ids"], data["offsets"], order=3, vocabulary=5), novel=0.0)
    greedy = kneser_ney.sample(model, np.full(100, 6), stream(1), Decoding(top_k=1)).reshape(100, 6)
    assert (greedy == greedy[0]).all()
    history = []
    for token in greedy[0].tolist():
        tries = np.concatenate([[*history, candidate] for candidate in range(4)])
        offsets = np.arange(5) * (len(history) + 1)
        p = kneser_ney.probabilities(model, tries, offsets)[len(history) :: len(history) + 1]
        assert p.sum() == pytest.approx(1.0)
        assert p[token] == pytest.approx(p.max())
        history.append(token)
    cold = kneser_ney.sample(model, np.full(100, 1), stream(1), Decoding(temperature=0.02))
    assert set(cold.tolist()) == {int(greedy[0, 0])}


def test_a_word_that_is_gone_never_comes_back():
    data = batch([[0, 1, 0, 1, 1]])
    model = kneser_ney.fit(data["ids"], data["offsets"], order=3, vocabulary=5)
    assert set(kneser_ney.sample(model, np.full(200, 10), stream(0)).tolist()) == {0, 1}


def test_samples_have_the_lengths_asked_for_whatever_their_order():
    data = batch([[0, 1, 2], [2, 1, 0, 2]])
    model = kneser_ney.fit(data["ids"], data["offsets"], order=2, vocabulary=3)
    assert len(kneser_ney.sample(model, np.array([3, 0, 7, 1]), stream(0))) == 11
    assert len(kneser_ney.sample(model, np.array([], dtype=np.int64), stream(0))) == 0


def test_a_fully_collapsed_training_set_still_gives_every_text_a_finite_cost():
    world = NgramWorld(["the same words", "other words here"], {}, {})
    collapsed = world.encode(["the same words"] * 50)
    model = world.fit([Part(batch=collapsed)], stream(0))
    reference = reference_of(world, model, held_out=["something else entirely: ünïcode"])
    observed = world.observe(model, collapsed, reference)
    assert np.isfinite(observed["held_out_bits"])
    assert observed["held_out_bits"] > 0


def reference_of(world, model, held_out):
    from provenance.plugins import Reference

    return Reference(generation=0, real=[world.encode(["the same words"])], model=model, held_out=held_out)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_the_tokens_of_a_text_joined_are_the_text(text):
    assert "".join(words.split(text)) == text


def test_a_batch_decodes_to_the_texts_it_was_made_from():
    texts = ["One, two.", "", "Zwei  Leerzeichen\nund eine Zeile"]
    vocabulary = words.Vocabulary(texts)
    encoded = vocabulary.encode(texts)
    assert vocabulary.decode(encoded) == texts
    assert vocabulary.decode(words.take(encoded, np.array([2, 0, 2]))) == [texts[2], texts[0], texts[2]]
    assert vocabulary.decode(words.concatenate([encoded, encoded])) == texts + texts


def test_the_model_comes_back_from_its_arrays():
    data = batch([[0, 1, 2, 0], [3, 1]])
    model = kneser_ney.fit(data["ids"], data["offsets"], order=3, vocabulary=5)
    again = kneser_ney.from_arrays(kneser_ney.to_arrays(model))
    text, offsets = np.array([0, 1, 3, -1]), np.array([0, 4])
    assert np.array_equal(
        kneser_ney.probabilities(model, text, offsets), kneser_ney.probabilities(again, text, offsets)
    )


def test_spelling_is_a_proper_code():
    spelling = Spelling([chr(c) for c in range(1, 128)] + [""])
    bits = spelling.bits(np.ones(spelling.n_types, dtype=np.bool_))
    # A one-byte word costs its byte and the end mark; the empty word the end mark alone.
    assert (2.0**-bits).sum() <= 1.0


def test_spelling_costs_by_hand():
    # Known: "ab". Pairs: (start, a), (a, b), (b, end), one each. Laplace over 257 symbols.
    bits = Spelling(["ab", "a"]).bits(np.array([True, False]))
    assert bits[0] == pytest.approx(-3 * np.log2(2 / 258))
    assert bits[1] == pytest.approx(-np.log2(2 / 258) - np.log2(1 / 258))


def test_what_the_world_cannot_do_is_refused():
    with pytest.raises(DataError, match="no words"):
        NgramWorld(["", ""], {}, {})
    with pytest.raises(ConfigError, match=r"order: .*, got 1"):
        NgramWorld(["a"], {"order": 1}, {})
    with pytest.raises(ConfigError, match="unknown key 'heat'"):
        NgramWorld(["a"], {}, {"heat": 0.5})
    with pytest.raises(ConfigError, match=r"temperature: .* got 0"):
        NgramWorld(["a"], {}, {"temperature": 0})
    world = NgramWorld(["a b"], {}, {})
    with pytest.raises(ConfigError, match="weight"):
        world.fit([Part(batch=world.encode(["a b"]), weight=0.5)], stream(0))
    with pytest.raises(DataError, match="no words"):
        world.fit([Part(batch=world.encode([""]))], stream(0))


NORTH = [f"the sheep on hill {i} graze in snow and wind" for i in range(20)]
SOUTH = [f"the boats near pier {i} sail in sun and waves" for i in range(20)]


def test_who_vanishes_is_measured_against_held_out_texts():
    """Written from the north alone, the south is gone; nothing is looked at without two subgroups or a metric."""
    world = NgramWorld([*NORTH, *SOUTH], {"order": 3}, {})
    real, north = world.encode([*NORTH, *SOUTH]), world.encode(NORTH)
    model = world.fit([Part(batch=north)], stream(0))
    samples = world.sample(model, north, stream(1))

    def seen(**more):
        given = {"real_subgroup": ["north"] * 20 + ["south"] * 20, **more}
        held_out = ["some sheep in snow", "more sheep, more snow", "some boats in sun", "the waves and the boats"]
        return world.observe(
            model, samples, Reference(generation=1, real=[real], model=model, held_out=held_out, **given)
        )

    found = seen()
    shares = METRICS.load("representation").measure(*(found[n] for n in METRICS.load("representation").needs))
    assert shares["south"] < 0.05
    assert shares["north"] > 1.5
    assert METRICS.load("class_coverage").measure(*(found[n] for n in METRICS.load("class_coverage").needs)) == [0.5]
    assert "sample_class_shares" not in seen(real_subgroup=["north"] * 40)
    assert "sample_class_shares" not in seen(wanted=frozenset({"sample_ids"}))
    assert "sample_class_shares" in seen(wanted=frozenset({"sample_class_shares"}))


def test_a_blend_of_all_subgroups_is_shared_out_as_it_was_blended():
    """Every text holds three words of the north to one of the south, all of them words that both use."""
    rng = np.random.default_rng(0)
    common = [f"w{i}" for i in range(50)]
    north, south = rng.dirichlet(np.ones(50)), rng.dirichlet(np.ones(50))

    def said(chance):
        return " ".join(rng.choice(common, size=100, p=chance))

    words_of = SubgroupWords([said(p) for p in (north, south) for _ in range(100)], ["north"] * 100 + ["south"] * 100)
    found = words_of.shares([said(0.75 * north + 0.25 * south) for _ in range(100)])
    assert found.sum() == pytest.approx(1.0)
    assert abs(found[0] - 0.75) < 4 * 0.015
    assert np.isnan(words_of.shares([""])).all()

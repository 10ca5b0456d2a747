"""Drawing documents for shares: budgets in tokens against a greedy pass in plain Python, and what a shortfall does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.catalog.pool import Evaluated
from provenance.errors import ConfigError
from provenance.mixing.draw import draw
from provenance.mixing.policy import MixPolicy, Share
from provenance.seeds import stream


def policy(*fractions, **budget):
    return MixPolicy(name="p", share=[Share(where="a", share=fraction) for fraction in fractions], budget=budget)


def drawn(rule, lines, sizes, keys=None):
    """`lines` says for each row which share it matches; without keys rows are taken from the first on."""
    lines = np.array(lines)
    values = [Evaluated(matches=lines == n, weight=None, rank=None) for n in range(len(rule.shares))]
    keys = np.arange(len(sizes)) / len(sizes) if keys is None else keys
    return draw(rule, values, keys=keys, n_tokens=np.array(sizes, dtype=np.int64))


def greedy(sizes, order, quota):
    """The rows a reader would take: each in turn, if it fits."""
    taken = []
    for row in order:
        if sizes[row] <= quota:
            taken.append(row)
            quota -= sizes[row]
    return taken


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 40)), min_size=1, max_size=300),
    tokens=st.integers(80, 4000),
    seed=st.integers(0, 5),
)
def test_every_line_of_a_token_budget_comes_within_one_document_that_is_left_of_its_quota(rows, tokens, seed):
    lines, sizes = map(np.array, zip(*rows, strict=True))
    keys = stream(seed, "keys").random(len(rows))
    rule = policy(0.5, 0.5, tokens=tokens)
    quotas = [tokens - tokens // 2, tokens // 2]
    wanted = [greedy(sizes, sorted(np.flatnonzero(lines == n), key=keys.__getitem__), quotas[n]) for n in (0, 1)]
    missing = [quota - int(sizes[taken].sum()) for quota, taken in zip(quotas, wanted, strict=True)]
    exhausted = [len(wanted[n]) == (lines == n).sum() for n in (0, 1)]
    if any(exhausted[n] and missing[n] >= min(sizes[wanted[n]], default=1) for n in (0, 1)):
        with pytest.raises(ConfigError, match="asks for"):
            drawn(rule, lines, sizes, keys)
        return
    found = drawn(rule, lines, sizes, keys)
    for n in (0, 1):
        assert sorted(found.rows[found.share == n]) == sorted(wanted[n])
        left = np.setdiff1d(np.flatnonzero(lines == n), wanted[n])
        assert found.realised[n].requested - found.realised[n].drawn == missing[n] >= 0
        assert missing[n] < min(sizes[left] if len(left) else sizes[wanted[n]])


def test_a_large_pool_in_tokens_is_drawn_as_the_greedy_pass_draws_it():
    rng = stream(0, "large")
    sizes = np.minimum(np.exp(rng.normal(6, 1.5, 50_000)).astype(np.int64) + 1, 200_000)
    keys = rng.random(len(sizes))
    found = drawn(policy(1.0, tokens=150_000), np.zeros(len(sizes)), sizes, keys)
    assert found.rows.tolist() == greedy(sizes, np.argsort(keys), 150_000)


def test_a_document_that_does_not_fit_is_passed_over_for_the_next_that_does():
    found = drawn(policy(0.5, 0.5, tokens=200), [0, 0, 1, 1, 1], [60, 40, 500, 70, 30])
    assert [(line.requested, line.drawn) for line in found.realised] == [(100, 100), (100, 100)]
    assert found.rows.tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([50, 50, 500, 500], r"share 2 of policy 'p' .* asks for 100 tokens and only 0 match; 2 longer documents do"),
        ([50, 50, 20, 500], r"share 2 of policy 'p' .* asks for 100 tokens and only 20 match; 1 longer documents do"),
        ([50, 50, 40, 30], r"share 2 of policy 'p' .* asks for 100 tokens and only 70 match$"),
    ],
)
def test_tokens_that_no_document_explains_are_a_shortfall(sizes, message):
    with pytest.raises(ConfigError, match=message):
        drawn(policy(0.5, 0.5, tokens=200), [0, 0, 1, 1], sizes)


def test_a_share_that_lacks_less_than_its_shortest_document_is_met():
    found = drawn(policy(0.5, 0.5, tokens=200), [0, 0, 1, 1], [50, 50, 55, 40])
    assert [line.drawn for line in found.realised] == [100, 95]


def test_filling_a_token_budget_spreads_what_is_missing_over_the_lines_by_their_shares():
    # Line 3 has nothing, so its 500 tokens are added to the 200 and 300 of the others as 2 to 3.
    rule = policy(0.2, 0.3, 0.5, tokens=1000, on_shortfall="fill")
    found = drawn(rule, [0] * 100 + [1] * 100, [10] * 200)
    assert [line.drawn for line in found.realised] == [400, 600, 0]


def test_what_one_line_cannot_fill_goes_to_the_others():
    rule = policy(0.2, 0.3, 0.5, tokens=1000, on_shortfall="fill")
    found = drawn(rule, [0] * 25 + [1] * 100, [10] * 125)
    assert [line.drawn for line in found.realised] == [250, 750, 0]


@pytest.mark.parametrize(("unit", "found"), [("tokens", 750), ("documents", 75)])
def test_a_fill_that_falls_short_says_so_in_the_unit_of_its_budget(unit, found):
    rule = policy(0.2, 0.3, 0.5, on_shortfall="fill", **{unit: 1000})
    with pytest.raises(ConfigError, match=f"asks for 1000 {unit} and only {found} match"):
        drawn(rule, [0] * 25 + [1] * 50, [10] * 75)


def test_upsampling_tokens_repeats_only_documents_that_fit():
    found = drawn(policy(1.0, tokens=100, on_shortfall="upsample"), [0, 0, 0], [20, 500, 20])
    assert found.rows.tolist() == [0, 2, 0, 2, 0]

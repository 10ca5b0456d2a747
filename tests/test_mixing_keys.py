"""The key that decides who is drawn: a function of seed and id alone, spread evenly, unrelated between seeds."""

from uuid import UUID

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from provenance import seeds

IDS = np.random.default_rng(5).bytes(16 * 100_000)


def mix(x: int) -> int:
    """SplitMix64's finalizer in Python integers."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


@given(st.integers(0, 2**63 - 1), st.lists(st.binary(min_size=16, max_size=16), max_size=5))
def test_many_keys_are_the_single_keys_in_plain_integer_arithmetic(seed, ids):
    key = seeds._digest(seed, ("unit",))
    first, second = int.from_bytes(key[:8], "big"), int.from_bytes(key[8:16], "big")
    expected = [
        (mix((mix(int.from_bytes(i[:8], "big") ^ first) + (int.from_bytes(i[8:], "big") ^ second)) % 2**64) >> 11)
        / 2.0**53
        for i in ids
    ]
    assert list(seeds.units(seed, ids)) == list(seeds.units(seed, b"".join(ids))) == expected
    assert [seeds.unit(seed, UUID(bytes=i)) for i in ids] == expected


def test_keys_are_uniform_and_two_seeds_give_unrelated_keys():
    one, two = seeds.units(1, IDS), seeds.units(2, IDS)
    n = len(one)
    cells = np.histogram(one, bins=50, range=(0, 1))[0]
    assert np.all(np.abs(cells - n / 50) < 4 * np.sqrt(n / 50))
    assert abs(np.corrcoef(one, two)[0, 1]) < 4 / np.sqrt(n)


def test_ids_that_differ_in_one_bit_have_unrelated_keys():
    counted = np.zeros((100_000, 2), dtype=">u8")
    counted[:, 1] = np.arange(100_000)
    keys = seeds.units(3, counted.tobytes())
    assert abs(np.corrcoef(keys[:-1], keys[1:])[0, 1]) < 4 / np.sqrt(len(keys))

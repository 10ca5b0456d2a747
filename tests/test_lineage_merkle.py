"""Merkle roots and inclusion proofs against RFC 6962 written out recursively, and its published vectors."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.lineage.merkle import inclusion_proof, merkle_root, root_from_proof

# The eight leaves of the reference tree in certificate-transparency's merkle_tree_test.cc.
CT_LEAVES = [bytes.fromhex(h) for h in ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]]
CT_LEAVES.append(bytes(range(0x60, 0x70)))
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def rfc_6962(leaves: list[bytes]) -> bytes:
    """Section 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\1" + rfc_6962(leaves[:k]) + rfc_6962(leaves[k:])).digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_equal_the_published_vectors(size):
    assert merkle_root(CT_LEAVES[:size]).hex() == CT_ROOTS[size - 1]


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=70))
def test_any_list_has_the_root_of_the_specification(leaves):
    assert merkle_root(leaves) == rfc_6962(leaves) == merkle_root(b"".join(leaves))


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40), st.data())
def test_a_proof_holds_for_its_leaf_and_for_nothing_else(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof, root = inclusion_proof(leaves, index), merkle_root(leaves)
    assert root_from_proof(leaves[index], index, len(leaves), proof) == root
    assert root_from_proof(leaves[index] + b"x", index, len(leaves), proof) != root
    assert root_from_proof(leaves[index], index, len(leaves), [*proof, b"\0" * 32]) is None
    assert proof == [] or root_from_proof(leaves[index], index, len(leaves), proof[:-1]) is None


def test_the_last_odd_leaf_is_not_doubled():
    a, b, c = (sha256(x).digest() for x in (b"a", b"b", b"c"))
    assert merkle_root([a, b, c]) != merkle_root([a, b, c, c])


def test_an_inner_node_cannot_pass_for_a_leaf():
    a, b = (sha256(x).digest() for x in (b"a", b"b"))
    left, right = (sha256(b"\0" + x).digest() for x in (a, b))
    assert merkle_root([left + right]) != merkle_root([a, b])


def test_impossible_positions_have_no_root_and_no_proof():
    assert root_from_proof(b"x", 3, 3, []) is None
    assert root_from_proof(b"x", -1, 3, []) is None
    with pytest.raises(IndexError, match="leaf 2 of 2"):
        inclusion_proof(b"\0" * 64, 2)
    with pytest.raises(ValueError, match="multiple of 32 bytes, got 33"):
        merkle_root(b"\0" * 33)

"""Merkle tree hashes after RFC 6962: roots, inclusion proofs, and their check. Knows bytes alone, no corpus.

Leaves and inner nodes are hashed with different first bytes, and a lone last node moves up unchanged instead of being
paired with itself. So no two lists of leaves share a root (doubling the last odd leaf, as Bitcoin once did, would let
[a, b, c] pass for [a, b, c, c]: CVE-2012-2459).
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32
_LEAF, _NODE = b"\x00", b"\x01"


def merkle_root(leaves: bytes | bytearray | memoryview | Sequence[bytes]) -> bytes:
    """The RFC 6962 tree hash of `leaves` (of none: SHA-256 of nothing). A buffer is read as packed 32-byte leaves."""
    level = _leaf_level(leaves)
    while len(level) > HASH_BYTES:
        level = _level_above(level)
    return level or sha256().digest()


def inclusion_proof(leaves: bytes | bytearray | memoryview | Sequence[bytes], index: int) -> list[bytes]:
    """The sibling hashes, lowest first, that lead from leaf `index` to the root (RFC 6962, section 2.1.1)."""
    level = _leaf_level(leaves)
    if not 0 <= index < len(level) // HASH_BYTES:
        raise IndexError(f"leaf {index} of {len(level) // HASH_BYTES}")
    proof = []
    while len(level) > HASH_BYTES:
        start = (index ^ 1) * HASH_BYTES
        if start < len(level):
            proof.append(level[start : start + HASH_BYTES])
        index //= 2
        level = _level_above(level)
    return proof


def root_from_proof(leaf: bytes, index: int, size: int, proof: Iterable[bytes]) -> bytes | None:
    """The root that `leaf`, at `index` of `size` leaves, and `proof` lead to; None where no such tree exists."""
    if not 0 <= index < size:
        return None
    siblings = iter(proof)
    node, last = sha256(_LEAF + leaf).digest(), size - 1
    while last > 0:
        # The last node of a level with an odd number of nodes has no sibling: it moves up as it is.
        if index % 2 == 1 or index < last:
            sibling = next(siblings, None)
            if sibling is None or len(sibling) != HASH_BYTES:
                return None
            node = sha256(_NODE + (sibling + node if index % 2 else node + sibling)).digest()
        index, last = index // 2, last // 2
    return node if next(siblings, None) is None else None


def _leaf_level(leaves: bytes | bytearray | memoryview | Sequence[bytes]) -> bytes:
    hashed = sha256
    if isinstance(leaves, bytes | bytearray | memoryview):
        if len(leaves) % HASH_BYTES:
            raise ValueError(f"packed leaves must be a multiple of {HASH_BYTES} bytes, got {len(leaves)}")
        packed = bytes(leaves)
        return b"".join(
            [hashed(_LEAF + packed[i : i + HASH_BYTES]).digest() for i in range(0, len(packed), HASH_BYTES)]
        )
    return b"".join([hashed(_LEAF + leaf).digest() for leaf in leaves])


def _level_above(level: bytes) -> bytes:
    # One packed buffer per level: 32 bytes a node, where a list of bytes objects would take 65 and a pointer.
    hashed, pair = sha256, 2 * HASH_BYTES
    paired = len(level) // pair * pair
    nodes = [hashed(_NODE + level[i : i + pair]).digest() for i in range(0, paired, pair)]
    return b"".join(nodes) + level[paired:]

"""Randomness with names: every draw has its own stream, so neither order, shards nor workers change a result."""

import hashlib
from collections.abc import Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray


def _digest(seed: int, names: tuple[str | int, ...]) -> bytes:
    # The length prefix keeps ("ab", "c") and ("a", "bc") apart.
    parts = [str(seed), *(str(name) for name in names)]
    return hashlib.sha256(b"".join(b"%d:%b" % (len(p.encode()), p.encode()) for p in parts)).digest()


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """The random stream called `names` under `seed`; the same call always gives the same stream."""
    return np.random.Generator(np.random.PCG64DXSM(int.from_bytes(_digest(seed, names)[:16], "big")))


def integer(seed: int, *names: str | int) -> int:
    """A 63-bit seed called `names` under `seed`, for libraries that take an integer."""
    return int.from_bytes(_digest(seed, names)[:8], "big") >> 1


def unit(seed: int, doc_id: UUID) -> float:
    """A number in [0, 1) that depends on the seed and the document alone: keep if it is below the share."""
    return float(units(seed, doc_id.bytes)[0])


def units(seed: int, doc_ids: bytes | Sequence[bytes]) -> NDArray[np.float64]:
    """`unit` for many documents given as 16-byte ids, or as one buffer of them, as float64[n]."""
    packed = doc_ids if isinstance(doc_ids, bytes) else b"".join(doc_ids)
    ids = np.frombuffer(packed, dtype=">u8").reshape(-1, 2)
    first, second = np.frombuffer(_digest(seed, ("unit",))[:16], dtype=">u8")
    # Ids are SHA-256 output, evenly spread already, so two rounds of a 64-bit mixer keyed by the seed are enough, and
    # ten million documents take half a second where hashing each again would take ten.
    mixed = _mix(_mix(ids[:, 0] ^ first) + (ids[:, 1] ^ second))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): every bit of `x` reaches every bit of the result."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))

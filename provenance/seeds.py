"""Randomness with names: every draw has its own stream, so neither order, shards nor workers change a result."""

import hashlib
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
    return int.from_bytes(hashlib.sha256(b"%d:" % seed + doc_id.bytes).digest()[:8], "big") / 2.0**64


def units(seed: int, doc_ids: list[bytes]) -> NDArray[np.float64]:
    """`unit` for many documents given as 16-byte ids, as float64[n]."""
    prefix = hashlib.sha256(b"%d:" % seed)
    out = np.empty(len(doc_ids), dtype=np.float64)
    for i, doc_id in enumerate(doc_ids):
        h = prefix.copy()
        h.update(doc_id)
        out[i] = int.from_bytes(h.digest()[:8], "big") / 2.0**64
    return out

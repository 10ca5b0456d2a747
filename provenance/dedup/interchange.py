"""Signatures and indexes to and from datasketch, for people who have a MinHashLSH. Knows no catalog.

In the xxh32 mode both sides see the same bits: `datasketch.MinHash(hashfunc=xxhash.xxh32_intdigest)` over the words of
a shingle joined by one space. In the token mode give datasketch `reference.token_shingle_hash`.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.dedup.bands import Banding
from provenance.dedup.minhash import SCHEME, ShingleHash, Signatures, Sketch
from provenance.dedup.reference import token_shingle_hash
from provenance.errors import DataError


def to_minhashes(signatures: Signatures) -> list[Any]:
    """One `datasketch.MinHash` per signature, which can be compared with and updated by datasketch."""
    from datasketch import MinHash

    sketch = signatures.sketch
    permutations = sketch.permutations()
    hashfunc = _hash_function(sketch)
    return [
        MinHash(seed=sketch.seed, hashfunc=hashfunc, hashvalues=row, permutations=permutations, scheme=SCHEME)
        for row in signatures.values
    ]


def to_lsh(keys: Sequence[Hashable], signatures: Signatures, banding: Banding) -> Any:
    """A `datasketch.MinHashLSH` that holds the signatures under `keys`."""
    from datasketch import MinHashLSH

    lsh = MinHashLSH(num_perm=signatures.sketch.num_perm, params=(banding.bands, banding.rows))
    with lsh.insertion_session() as session:
        for key, minhash in zip(keys, to_minhashes(signatures), strict=True):
            session.insert(key, minhash)
    return lsh


def from_minhashes(minhashes: Sequence[Any], sketch: Sketch) -> Signatures:
    """The signatures in datasketch's objects, which say nothing of their shingles: `sketch` does.

    Raises DataError where scheme, seed, length or permutations are not those of `sketch`.
    """
    permutations = sketch.permutations()
    for minhash in minhashes:
        if minhash.scheme != sketch.scheme or minhash.seed != sketch.seed or len(minhash) != sketch.num_perm:
            raise DataError(
                f"a MinHash has scheme {minhash.scheme}, seed {minhash.seed} and {len(minhash)} permutations",
                hint=f"this takes {sketch.scheme}, {sketch.seed} and {sketch.num_perm}",
            )
        if not np.array_equal(minhash.permutations, permutations):
            raise DataError("a MinHash has permutations that its seed does not give")
    values = np.array([m.hashvalues for m in minhashes], dtype=np.uint32).reshape(-1, sketch.num_perm)
    return Signatures(values=values, sketch=sketch)


def from_lsh(lsh: Any) -> tuple[list[Hashable], NDArray[np.uint32], Banding]:
    """The keys of a `MinHashLSH`, the part of their signatures its bands keep (uint32[n, bands x rows]), its banding.

    Raises DataError for an index whose bands are hashed or whose scheme is not affine32: they cannot be read back.
    """
    banding = Banding(bands=lsh.b, rows=lsh.r)
    if lsh.hashfunc is not None:
        raise DataError("the MinHashLSH keeps hashes of its bands, not the bands", hint="build it without hashfunc")
    keys = list(lsh.keys)
    if keys and lsh._minhash_scheme != SCHEME:  # datasketch keeps it nowhere else
        raise DataError(f"the MinHashLSH holds signatures of scheme {lsh._minhash_scheme}", hint=f"{SCHEME} is read")
    # datasketch stores each band big-endian.
    width = banding.bands * banding.rows
    rows = [np.frombuffer(b"".join(lsh.keys.get(key)), dtype=">u4") for key in keys]
    if any(len(row) != width for row in rows):
        raise DataError("the MinHashLSH has bands of another width than its parameters say")
    return keys, np.array(rows, dtype=np.uint32).reshape(-1, width), banding


def _hash_function(sketch: Sketch) -> Any:
    if sketch.hash is ShingleHash.TOKENS:
        return token_shingle_hash
    import xxhash

    return xxhash.xxh32_intdigest

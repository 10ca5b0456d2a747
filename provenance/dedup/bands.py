"""The banded index of a set of documents: which bands of their signatures are equal. Immutable once written.

A band's key is 32 bits, stored sorted beside the document's row number: at 25 bands of 5 an entry per band, an id and a
content hash make 224 bytes a document. Keys that meet by chance cost a verification, never a wrong answer.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from provenance.dedup.jit import kernel
from provenance.dedup.minhash import Signatures, Sketch, check_same_sketch
from provenance.errors import ConfigError, DataError

DEFAULT_THRESHOLD = 0.7
_METADATA_KEY = b"provenance.bands"
_FALSE_POSITIVE_WEIGHT = 0.01  # verification is cheap and a missed pair is lost, so recall weighs 99 to 1
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Banding:
    """How a signature is cut: `bands` bands of `rows` values. Two texts meet if one whole band is equal."""

    bands: int = 25
    rows: int = 5

    @classmethod
    def for_threshold(cls, threshold: float, num_perm: int) -> "Banding":
        """The banding datasketch's parameter search gives for `threshold`, when recall weighs 99 to 1.

        Thresholds above 0.7 share the banding of 0.7 (25 bands of 5): one index serves them all, with better recall.
        """
        check_threshold(threshold)
        if threshold >= DEFAULT_THRESHOLD and num_perm == Sketch().num_perm:
            return cls()
        from datasketch import MinHashLSH

        weights = (_FALSE_POSITIVE_WEIGHT, 1 - _FALSE_POSITIVE_WEIGHT)
        found = MinHashLSH(threshold=min(threshold, DEFAULT_THRESHOLD), num_perm=num_perm, weights=weights)
        return cls(bands=found.b, rows=found.r)

    def chance(self, jaccard: float) -> float:
        """The probability that two texts of this similarity meet in a band."""
        return float(1 - (1 - jaccard**self.rows) ** self.bands)


def check_threshold(threshold: float) -> None:
    """Raise ConfigError unless `threshold` is in (0, 1]."""
    if not 0 < threshold <= 1:  # also refuses NaN
        raise ConfigError(f"threshold must be in (0, 1], got {threshold}", hint="0.7 is the usual choice")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """The index of some documents. `entries[j]` is sorted; each is a band key in the high half and a row in the low."""

    doc_ids: pa.Array
    """fixed_size_binary[16], one per row."""
    content: NDArray[np.uint64]
    """Per row, `Signatures.content`."""
    entries: list[NDArray[np.uint64]]
    sketch: Sketch
    banding: Banding

    def __len__(self) -> int:
        return len(self.content)


def band_keys(values: NDArray[np.uint32], banding: Banding) -> NDArray[np.uint32]:
    """The band keys of signatures, uint32[bands, n]."""
    keys = np.empty((banding.bands, len(values)), dtype=np.uint32)
    _hash_bands(values, banding.rows, keys)
    return keys


@kernel
def _hash_bands(values: Any, width: Any, keys: Any) -> None:
    for d in range(values.shape[0]):
        for j in range(keys.shape[0]):
            h = np.uint64(j + 1)
            for k in range(j * width, (j + 1) * width):
                h = (h ^ np.uint64(values[d, k])) * _MULTIPLIER
                h ^= h >> np.uint64(32)
            keys[j, d] = (h * _MULTIPLIER) >> np.uint64(32)


def build_segment(batches: Iterable[tuple[pa.Array, Signatures]], sketch: Sketch, banding: Banding) -> Segment:
    """Index batches of (ids, signatures); holds the keys of a batch, never its signatures."""
    if banding.bands * banding.rows > sketch.num_perm:
        raise ConfigError(f"{banding.bands} bands of {banding.rows} need more than {sketch.num_perm} permutations")
    ids: list[pa.Array] = []
    content: list[NDArray[np.uint64]] = []
    keys: list[NDArray[np.uint32]] = []
    for batch_ids, signatures in batches:
        check_same_sketch(sketch, signatures.sketch)
        if signatures.content is None:
            raise DataError("a band index needs signatures of the token mode", hint="sketch with ShingleHash.TOKENS")
        ids.append(batch_ids)
        content.append(signatures.content)
        keys.append(band_keys(signatures.values, banding))
    joined = np.concatenate(keys, axis=1) if keys else np.empty((banding.bands, 0), dtype=np.uint32)
    rows = np.arange(joined.shape[1], dtype=np.uint64)
    return Segment(
        doc_ids=pa.concat_arrays(ids) if ids else pa.array([], pa.binary(16)),
        content=np.concatenate(content) if content else np.empty(0, dtype=np.uint64),
        entries=[np.sort((band.astype(np.uint64) << np.uint64(32)) | rows) for band in joined],
        sketch=sketch,
        banding=banding,
    )


def write_segment(segment: Segment, path: Path) -> None:
    """Write a segment as Parquet with page checksums: doc_id, content, and one column per band."""
    named = {"content": segment.content} | {f"band_{j:02d}": e for j, e in enumerate(segment.entries)}
    schema = pa.schema(
        [pa.field("doc_id", pa.uuid()), *(pa.field(name, pa.uint64()) for name in named)],
        metadata={_METADATA_KEY: json.dumps({"sketch": asdict(segment.sketch), "banding": asdict(segment.banding)})},
    )
    doc_ids = pa.ExtensionArray.from_storage(pa.uuid(), segment.doc_ids)
    pq.write_table(
        pa.Table.from_arrays([doc_ids, *(pa.array(values) for values in named.values())], schema=schema),
        path,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
        row_group_size=max(1, len(segment)),
    )


def read_segment(path: Path) -> Segment:
    """Read what `write_segment` wrote. Raises DataError when the file is missing, damaged or of another version."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            recorded = json.loads((file.schema_arrow.metadata or {})[_METADATA_KEY])
            table = file.read(use_threads=False)
        sketch, banding = Sketch(**recorded["sketch"]), Banding(**recorded["banding"])
        columns = [table[name].combine_chunks() for name in ("doc_id", "content")]
        columns += [table[f"band_{j:02d}"].combine_chunks() for j in range(banding.bands)]
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the index file {path.name} cannot be read: {(str(error).splitlines() or [type(error).__name__])[0]}",
            hint=f"delete {path}; the next run makes it again from the texts",
        ) from error
    doc_ids = columns[0].storage if isinstance(columns[0], pa.ExtensionArray) else columns[0]
    arrays = [np.asarray(column, dtype=np.uint64) for column in columns[1:]]
    return Segment(doc_ids=doc_ids, content=arrays[0], entries=arrays[1:], sketch=sketch, banding=banding)

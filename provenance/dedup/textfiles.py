"""Texts by row number, streamed from Parquet files. Knows files and rows; nothing of corpora or catalogs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from provenance.errors import DataError

_ROWS_PER_BATCH = 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextFile:
    """A Parquet file with a `text` column, and the row number its documents have here; -1 for those left out."""

    path: Path
    rows: NDArray[np.int64]


def read_batches(
    files: Sequence[TextFile], wanted: NDArray[np.bool_] | None = None
) -> Iterator[tuple[NDArray[np.int64], pa.Array]]:
    """(rows, texts) of the files, row groups without a wanted row skipped; rows that are not wanted are numbered -1.

    Raises DataError naming the file when one is missing or damaged.
    """
    for file in files:
        rows = file.rows if wanted is None else np.where((file.rows >= 0) & wanted[file.rows], file.rows, -1)
        if not (rows >= 0).any():
            continue
        try:
            with pq.ParquetFile(file.path) as parquet:
                yield from _file_batches(parquet, rows)
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(
                f"{file.path.name} cannot be read: {(str(error).splitlines() or ['no reason given'])[0]}",
                hint="run: provenance verify; then add the corpus again from its source",
            ) from error


def _file_batches(parquet: pq.ParquetFile, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], pa.Array]]:
    if parquet.metadata.num_rows != len(rows):
        raise pa.ArrowInvalid(f"{parquet.metadata.num_rows} rows where {len(rows)} were expected")
    first = 0
    for group in range(parquet.num_row_groups):
        last = first + parquet.metadata.row_group(group).num_rows
        if (rows[first:last] >= 0).any():
            at = first
            for batch in parquet.iter_batches(_ROWS_PER_BATCH, row_groups=[group], columns=["text"], use_threads=False):
                yield rows[at : at + len(batch)], batch["text"]
                at += len(batch)
        first = last

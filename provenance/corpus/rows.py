"""What a reader hands on: a record with the place it came from, or the reason it could not be read."""

from collections.abc import Mapping
from typing import Any, NamedTuple

MAX_TEXT_BYTES = 64 * 1024 * 1024
# A block, its lines, its texts and their bytes together stay in a core's own cache; a megabyte costs a tenth more time.
BLOCK_BYTES = 256 * 1024
ROWS_PER_BATCH = 2048


class Row(NamedTuple):
    """One record of one file. `record` is None when `reason` says why it could not be read."""

    file: str
    """The file's name: its path inside the folder that was given, see `readers.discover`."""
    line: int
    """1-based line, or row number in formats without lines."""
    record: Mapping[str, Any] | None
    reason: str = ""

"""Which runs of 13 words of one set of texts occur in another: contamination. Knows rows and files, no catalog.

Words are those of `reference.words`, compared letter for letter. Memory grows with the smaller side; the texts are
streamed. Windows are 63-bit hashes: among 10^7 times 10^9 of them one in a thousand runs finds a span that is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.dedup.jit import helper, kernel
from provenance.dedup.kernels import word_windows
from provenance.dedup.minhash import utf8_buffers
from provenance.dedup.reference import words
from provenance.dedup.textfiles import TextFile, read_batches

WINDOW_WORDS = 13
"""GPT-3's and PaLM's span for contamination: long enough that prose rarely repeats it by chance."""

Array = Any
Int = Any
u64: Any = np.uint64


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A longest run of words of one text that is covered by windows found on the other side."""

    row: int
    first_word: int
    n_words: int
    other_row: int
    """A row of the other side that holds the span's first window."""
    text: str
    """The words of the span, one space apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What was found; `checked` texts had at least one window."""

    spans: list[Span]
    texts: int
    checked: int


def find_overlap(files: Sequence[TextFile], others: Sequence[TextFile], *, width: int = WINDOW_WORDS) -> Overlap:
    """The spans of the texts of `files` that occur in those of `others`."""
    index = _Windows()
    if _bytes(others) <= _bytes(files):
        for rows, windows, counts in _windows(others, width):
            index.add(windows, np.repeat(rows, counts))
    else:
        for _, windows, _ in _windows(files, width):
            index.add(windows, np.full(len(windows), -1, dtype=np.int64))
        for rows, windows, counts in _windows(others, width):
            index.own(windows, np.repeat(rows, counts))
    spans: list[Span] = []
    texts = checked = 0
    for rows, column in read_batches(files):
        windows, counts = _hash_windows(column, width)
        owners = index.owners(windows)
        starts = np.concatenate([[0], np.cumsum(counts)])
        asked = rows >= 0
        texts += int(np.count_nonzero(asked))
        checked += int(np.count_nonzero(asked & (counts > 0)))
        found = np.repeat(asked, counts) & (owners >= 0)
        for i in np.unique(np.repeat(np.arange(len(counts)), counts)[found]).tolist():
            own = slice(int(starts[i]), int(starts[i + 1]))
            spans += _spans(int(rows[i]), column[i].as_py(), found[own], owners[own], width)
    return Overlap(spans=spans, texts=texts, checked=checked)


def _spans(row: int, text: str, found: NDArray[np.bool_], owners: NDArray[np.int64], width: int) -> list[Span]:
    """Windows that touch or overlap are one span."""
    split = words(text)
    at = np.flatnonzero(found)
    breaks = np.flatnonzero(np.diff(at) > width)
    spans = []
    for first, last in zip(at[np.r_[0, breaks + 1]].tolist(), at[np.r_[breaks, len(at) - 1]].tolist(), strict=True):
        end = last + width
        spans.append(
            Span(
                row=row,
                first_word=first,
                n_words=end - first,
                other_row=int(owners[first]),
                text=" ".join(split[first:end]),
            )
        )
    return spans


def _bytes(files: Sequence[TextFile]) -> int:
    return sum(file.path.stat().st_size for file in files if file.path.exists())


def _windows(files: Sequence[TextFile], width: int) -> Any:
    for rows, column in read_batches(files):
        windows, counts = _hash_windows(column, width)
        if (rows < 0).any():
            windows, counts = windows[np.repeat(rows >= 0, counts)], np.where(rows >= 0, counts, 0)
        yield rows, windows, counts


def _hash_windows(column: Any, width: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    data, offsets = utf8_buffers(column)
    out = np.empty(int(offsets[-1] - offsets[0]) // 2 + len(column) + 1, dtype=np.uint64)
    counts = np.zeros(len(column), dtype=np.int64)
    return out[: word_windows(data, offsets, width, out, counts)], counts


class _Windows:
    """A hash table from windows to a row that owns them, or -1."""

    def __init__(self) -> None:
        self._keys = np.zeros(1 << 16, dtype=np.uint64)
        self._rows = np.full(1 << 16, -1, dtype=np.int64)
        self._used = 0

    def add(self, windows: NDArray[np.uint64], rows: NDArray[np.int64]) -> None:
        """Remember windows; the first row to bring one owns it."""
        while 2 * (self._used + len(windows)) > len(self._keys):
            keys, owners = self._keys, self._rows
            self._keys = np.zeros(2 * len(keys), dtype=np.uint64)
            self._rows = np.full(2 * len(keys), -1, dtype=np.int64)
            held = keys != 0
            _insert(self._keys, self._rows, keys[held], owners[held])
        self._used += _insert(self._keys, self._rows, windows, rows)

    def own(self, windows: NDArray[np.uint64], rows: NDArray[np.int64]) -> None:
        """Give windows that are remembered without an owner to these rows."""
        _claim(self._keys, self._rows, windows, rows)

    def owners(self, windows: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The row that owns each window, or -1."""
        found = np.full(len(windows), -1, dtype=np.int64)
        _look_up(self._keys, self._rows, windows, found)
        return found


@helper
def _slot(keys: Array, key: Int) -> Int:
    mask = u64(keys.shape[0] - 1)
    slot = (key >> u64(20)) & mask
    while keys[slot] != 0 and keys[slot] != key:
        slot = (slot + u64(1)) & mask
    return slot


@kernel
def _insert(keys: Array, rows: Array, windows: Array, owners: Array) -> Int:
    new = 0
    for i in range(windows.shape[0]):
        slot = _slot(keys, windows[i])
        if keys[slot] == 0:
            keys[slot] = windows[i]
            rows[slot] = owners[i]
            new += 1
    return new


@kernel
def _claim(keys: Array, rows: Array, windows: Array, owners: Array) -> None:
    for i in range(windows.shape[0]):
        slot = _slot(keys, windows[i])
        if keys[slot] != 0 and rows[slot] < 0:
            rows[slot] = owners[i]


@kernel
def _look_up(keys: Array, rows: Array, windows: Array, found: Array) -> None:
    for i in range(windows.shape[0]):
        found[i] = rows[_slot(keys, windows[i])]

"""JSON to rows: one object a line, or whole objects and arrays of them. Knows bytes; nothing of files or catalogs.

NaN, Infinity and -Infinity, which are no JSON but which Python writes, are read as null. Whole numbers of more than 64
bits are read as floats, as orjson reads them.
"""

import codecs
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO

import orjson

from provenance.corpus.rows import BLOCK_BYTES, MAX_TEXT_BYTES, ROWS_PER_BATCH, Row
from provenance.errors import DataError

_SPACE = re.compile(r"[ \t\r\n]*")


def _whole(digits: str) -> int | float | None:
    # orjson, which reads lines and writes metadata, knows no longer ones; int() refuses the longest outright.
    if len(digits) <= 20 and -(2**63) <= (number := int(digits)) < 2**64:
        return number
    return value if math.isfinite(value := float(digits)) else None


_DECODER = json.JSONDecoder(parse_constant=lambda _: None, parse_int=_whole)


def read_lines(stream: BinaryIO, name: str, report: Callable[[], None]) -> Iterator[list[Row]]:
    """JSON Lines. A line that is no object is a row with a reason."""
    return _lines(_blocks(stream), name, report)


def read_whole(stream: BinaryIO, name: str, report: Callable[[], None]) -> Iterator[list[Row]]:
    """What `.json` files hold: JSON Lines, or an array of objects, or one object, laid out in any way.

    Elements are numbered from 1 in place of lines. A broken one raises DataError: where the next begins cannot be told.
    """
    head = stream.read(BLOCK_BYTES)
    blocks = chain([head], _blocks(stream))
    return _lines(blocks, name, report) if _holds_lines(head) else _elements(blocks, name, report)


def _holds_lines(head: bytes) -> bool:
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not start.startswith((b"{", b"[")):
        return True
    # Of an object that takes several lines neither the first nor the second is one; of JSON Lines one may be broken.
    first, *more = start.split(b"\n", 2)
    return start.startswith(b"{") and (not more or any(_is_object(line) for line in (first, *more[:1])))


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(_as_python_writes_it(line), dict)
    except (ValueError, RecursionError):
        return False


def _as_python_writes_it(line: bytes) -> Any:
    return _DECODER.decode(line.decode("utf-8-sig"))


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: stream.read(BLOCK_BYTES), b"")


def _lines(blocks: Iterable[bytes], name: str, report: Callable[[], None]) -> Iterator[list[Row]]:
    line_number = 0
    for lines in _line_blocks(blocks):
        rows: list[Row] = []
        for line in lines:
            line_number += 1
            if line is None:
                rows.append(Row(name, line_number, None, f"over {MAX_TEXT_BYTES >> 20} MiB"))
                continue
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raw = bytes(line)
                try:
                    record = _as_python_writes_it(raw)
                except (ValueError, RecursionError):
                    if raw.removeprefix(codecs.BOM_UTF8).strip():
                        rows.append(Row(name, line_number, None, _json_reason(raw, error)))
                    continue
            rows.append(_row(name, line_number, record))
        report()
        if rows:
            yield rows


def _row(name: str, number: int, value: Any) -> Row:
    if isinstance(value, dict):
        return Row(name, number, value)
    return Row(name, number, None, f"wrong type: a JSON {type(value).__name__}, not an object")


def _json_reason(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    return f"broken JSON: {error.msg}"


def _line_blocks(blocks: Iterable[bytes]) -> Iterator[list[memoryview | None]]:
    """Lines as views of their block; None stands for a line over the size bound, which is never held whole."""
    rest: list[bytes] = []  # joined once: a long line that grew block by block would be copied each time
    n_rest = 0
    too_long = False
    for block in blocks:
        if b"\n" not in block:
            n_rest += len(block)
            if too_long or n_rest > MAX_TEXT_BYTES:
                rest, n_rest, too_long = [], 0, True
            else:
                rest.append(block)
            continue
        whole = b"".join([*rest, block])
        view, start = memoryview(whole), 0
        lines: list[memoryview | None] = []
        while (end := whole.find(b"\n", start)) >= 0:
            lines.append(view[start:end])
            start = end + 1
        if too_long:
            lines[0], too_long = None, False
        rest = [whole[start:]] if start < len(whole) else []
        n_rest = len(whole) - start
        yield lines
    if rest or too_long:
        yield [None if too_long else memoryview(b"".join(rest))]


def _elements(blocks: Iterator[bytes], name: str, report: Callable[[], None]) -> Iterator[list[Row]]:
    rows: list[Row] = []
    number = n_chars = 0
    try:
        for value, size in _values(_Text(blocks)):
            number += 1
            n_chars += size
            rows.append(_row(name, number, value))
            if len(rows) >= ROWS_PER_BATCH or n_chars >= BLOCK_BYTES:
                report()
                yield rows
                rows, n_chars = [], 0
    except (ValueError, RecursionError) as error:
        what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(
            f"{name}: broken JSON after {number} whole elements: {what}",
            hint="nothing was added; of JSON Lines (.jsonl), one object a line, only the broken lines are left out",
        ) from error
    if rows:
        yield rows


class _Text:
    """What is still to be read, as text. Bytes that are not UTF-8 come through as lone surrogates: one reject each."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape").decode
        self._text = ""
        self._at = 0

    def peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr] # it matches everywhere
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ""

    def skip(self) -> None:
        """Go past the character that was peeked at."""
        self._at += 1

    def value(self) -> tuple[Any, int]:
        """The next value and its length. Raises ValueError or RecursionError where there is none."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if len(self._text) - self._at > 2 * MAX_TEXT_BYTES or not self._read_on():
                    raise
                continue
            # A number may go on after the block: one that is cut, like `1.5e+`, leaves up to two characters over.
            if len(self._text) - end <= 2 and self._read_on():
                continue
            size, self._at = end - self._at, end
            return value, size

    def _read_on(self) -> bool:
        # As much again as is held: a long value is tried anew each time, and would be as often as it has blocks.
        parts = [self._text[self._at :]]
        wanted = max(1, len(parts[0]))
        while wanted > 0 and (block := next(self._blocks, b"")):
            parts.append(self._decode(block))
            wanted -= len(block)
        if len(parts) == 1:
            return False
        self._text, self._at = "".join(parts), 0
        return True


def _values(text: _Text) -> Iterator[tuple[Any, int]]:
    """The elements of one array, or values that stand one after the other, with their lengths."""
    if text.peek() != "[":
        while text.peek():
            yield text.value()
        return
    text.skip()
    mark = text.peek()
    while mark != "]":
        yield text.value()
        mark = text.peek()
        if mark not in {",", "]"}:
            raise ValueError(f"{mark!r} where the array goes on or ends" if mark else "the array does not end")
        if mark == ",":
            text.skip()
    text.skip()
    if text.peek():
        raise ValueError(f"{text.peek()!r} after the end of the array")

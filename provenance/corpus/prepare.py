"""Rows to documents: pick the fields, clean the text, hash, name. Knows one batch; nothing of files or catalogs."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from dataclasses import fields as dataclass_fields
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from provenance import ids
from provenance.corpus.hygiene import clean, is_plain
from provenance.corpus.rows import MAX_TEXT_BYTES, Row
from provenance.errors import ConfigError
from provenance.types import Origin

# Whitespace for word counts is ASCII; a count for scripts without spaces means little either way.
_MAX_SPACE_BYTE = 32
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAMED_MONTH = re.compile(r"(\d{1,2})[- ]([A-Za-z]{3})[a-z]*[- ,]+(\d{4})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Which field of a record is what. None: the record does not say."""

    text: str = "text"
    key: str | None = None
    date: str | None = None
    subgroup: str | None = None
    language: str | None = None
    origin: str | None = None
    origin_map: Mapping[str, Origin] = field(default_factory=dict)
    """Value of the origin field to origin; values that are origins themselves need no entry."""
    generator: str | None = None
    meta: tuple[str, ...] = ()

    def named(self) -> list[str]:
        """The fields that were asked for beside the text and the key, without which no row is a document."""
        optional = [self.date, self.subgroup, self.language, self.origin, self.generator, *self.meta]
        return [name for name in optional if name is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A row that did not become a document."""

    file: str
    line: int
    reason: str


@dataclass(slots=True)
class Prepared:
    """A batch of documents as columns of equal length, with what was left out.

    A nullable column that no field was named for stays empty: all of it is null.
    """

    doc_id: list[bytes] = field(default_factory=list)
    key: list[str] = field(default_factory=list)
    source: list[str] = field(default_factory=list)
    line: list[int] = field(default_factory=list)
    """Where in the source; for rejects, not for the catalog."""
    text: list[bytes] = field(default_factory=list)
    text_sha256: list[bytes] = field(default_factory=list)
    n_chars: list[int] = field(default_factory=list)
    created_at: list[datetime | None] = field(default_factory=list)
    language: list[str | None] = field(default_factory=list)
    subgroup: list[str | None] = field(default_factory=list)
    declared_origin: list[str | None] = field(default_factory=list)
    declared_generator: list[str | None] = field(default_factory=list)
    meta: list[str | None] = field(default_factory=list)
    stripped: list[tuple[int, str] | None] = field(default_factory=list)
    """(characters stripped, details as JSON) for texts that held invisible characters."""
    rejects: list[Reject] = field(default_factory=list)

    def extend(self, other: "Prepared") -> None:
        """Append the columns of a batch that was prepared with the same fields."""
        for column in dataclass_fields(self):
            getattr(self, column.name).extend(getattr(other, column.name))


_OptionalColumn = tuple[list[Any], Callable[[Mapping[str, Any]], Any]]
"""A column that a field was named for, and how a record gives its value (or raises _BadRowError)."""


class _BadRowError(Exception):
    """Why one row is no document."""


def prepare(corpus: str, rows: Iterable[Row], fields: Fields) -> Prepared:
    """Turn rows into documents. A row that cannot be one becomes a Reject with its reason; nothing raises."""
    out = Prepared()
    optional = _optional_columns(out, fields)
    for row in rows:
        try:
            if row.record is None:
                raise _BadRowError(row.reason)
            _add(out, optional, corpus, row, row.record, fields)
        except _BadRowError as bad:
            out.rejects.append(Reject(file=row.file, line=row.line, reason=str(bad)))
    return out


def _optional_columns(out: Prepared, fields: Fields) -> list[_OptionalColumn]:
    every: list[tuple[list[Any], Callable[[Any, Mapping[str, Any]], Any], Any]] = [
        (out.created_at, _date, fields.date),
        (out.declared_origin, _origin, None if fields.origin is None else (fields.origin, fields.origin_map)),
        (out.language, _optional, fields.language),
        (out.subgroup, _optional, fields.subgroup),
        (out.declared_generator, _optional, fields.generator),
        (out.meta, _meta, fields.meta or None),
    ]
    return [(column, partial(read, setting)) for column, read, setting in every if setting is not None]


def _add(
    out: Prepared,
    optional: list[_OptionalColumn],
    corpus: str,
    row: Row,
    record: Mapping[str, Any],
    fields: Fields,
) -> None:
    text = record.get(fields.text)
    if text is None:
        raise _BadRowError(f"no text: no field {fields.text!r}" if fields.text not in record else "no text: null")
    if not isinstance(text, str):
        raise _BadRowError(f"wrong type: {fields.text!r} is {type(text).__name__}, not text")
    found = None
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise _BadRowError("not UTF-8") from None
    if not is_plain(encoded):
        text, found = clean(text)
        encoded = text.encode()
    if not text or text.isspace():
        raise _BadRowError("no text: empty")
    if len(encoded) > MAX_TEXT_BYTES:
        raise _BadRowError(f"over {MAX_TEXT_BYTES >> 20} MiB")
    key = f"{row.file}:{row.line}" if fields.key is None else _key(record, fields.key)
    # Read before anything is kept: any of them can refuse the row.
    values = [read(record) for _, read in optional]
    digest = ids.sha256_bytes(encoded)
    doc_id = ids.document_id_bytes(corpus, key, digest)

    out.doc_id.append(doc_id)
    out.key.append(key)
    out.source.append(row.file)
    out.line.append(row.line)
    out.text.append(encoded)
    out.text_sha256.append(digest)
    out.n_chars.append(len(text))
    for (column, _), value in zip(optional, values, strict=True):
        column.append(value)
    out.stripped.append(None if found is None else (found.total, orjson.dumps(asdict(found)).decode()))


def _key(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise _BadRowError(f"no key: field {name!r} is {value!r:.80}")
    return _storable(value, name)


def _optional(name: str, record: Mapping[str, Any]) -> str | None:
    value = record.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str | int | float):
        raise _BadRowError(f"wrong type: {name!r} is {type(value).__name__}")
    return _storable(str(value), name)


def _storable(value: str, name: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _BadRowError(f"not UTF-8: field {name!r}") from None
    return value.replace("\0", "") if "\0" in value else value


def _origin(field: tuple[str, Mapping[str, Origin]], record: Mapping[str, Any]) -> str | None:
    name, known = field
    value = record.get(name)
    if value is None:
        return None
    text = str(value)
    if text in known:
        return known[text].value
    try:
        return Origin(text).value
    except ValueError:
        raise _BadRowError(f"unknown origin {text!r:.80} in field {name!r}: map it with --origin-map") from None


def _date(name: str, record: Mapping[str, Any]) -> datetime | None:
    """ISO 8601, a year or a month alone, `13-Jun-2000`, or a date object; times without a zone are UTC."""
    value = record.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    text = str(value)
    try:
        if text.isdigit() and len(text) == 4:
            return datetime(int(text), 1, 1, tzinfo=UTC)
        if len(text) == 7 and text[4] == "-":
            text += "-01"
        named_month = _NAMED_MONTH.fullmatch(text)
        parsed = datetime.fromisoformat(text) if named_month is None else _from_named_month(*named_month.groups())
    except ValueError:
        raise _BadRowError(f"wrong type: {name!r} is no date: {text!r:.60}") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _from_named_month(day: str, month: str, year: str) -> datetime:
    # Not strptime: its month names are those of the machine's locale.
    return datetime(int(year), _MONTHS.index(month.lower()) + 1, int(day), tzinfo=UTC)


def _meta(names: tuple[str, ...], record: Mapping[str, Any]) -> str:
    picked = {name: record[name] for name in names if name in record}
    try:
        return orjson.dumps(picked, default=str, option=orjson.OPT_SORT_KEYS).decode()
    except (orjson.JSONEncodeError, UnicodeEncodeError):
        raise _BadRowError(f"not UTF-8: one of the meta fields {', '.join(names)}") from None


def count_words(texts: list[bytes]) -> NDArray[np.int32]:
    """Runs of non-space bytes in each text, as int32[n]; one vectorised pass over all of them."""
    counts = np.zeros(len(texts), dtype=np.int32)
    space = np.frombuffer(b"\n".join(texts) + b"\n", dtype=np.uint8) <= _MAX_SPACE_BYTE
    # A word ends where a space follows a non-space; every text is followed by a newline.
    word_end = np.greater(space[1:], space[:-1])
    start = 0
    for i, text in enumerate(texts):
        end = start + len(text) + 1
        counts[i] = np.count_nonzero(word_end[start : end - 1])
        start = end
    return counts


def parse_origin_map(pairs: Iterable[str]) -> dict[str, Origin]:
    """`0=human`, `1=model` … to a mapping. Raises ConfigError on anything else."""
    mapping = {}
    for pair in pairs:
        value, _, origin = pair.rpartition("=")
        if not value or origin not in set(Origin):
            raise ConfigError(
                f"origin map entry {pair!r} is not VALUE=ORIGIN", hint=f"ORIGIN is one of {', '.join(Origin)}"
            )
        mapping[value] = Origin(origin)
    return mapping

"""Identity: canonical JSON, content hashes, document ids. A contract: changing a byte here changes every id.

Canonical JSON follows RFC 8785 for the values we allow: strings, integers, booleans, null, lists and string-keyed
objects. Floats are refused: ids must not hang on how a number is printed.
"""

import hashlib
import json
from json.encoder import encode_basestring
from typing import Any
from uuid import UUID


def canonical_json(value: Any) -> bytes:
    """Serialise `value` to the one byte string that stands for it.

    Raises TypeError on floats, non-string keys and anything else without a stable form.
    """
    _refuse_unstable(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def _refuse_unstable(value: Any) -> None:
    if value is None or isinstance(value, str | bool | int):
        return
    if isinstance(value, list | tuple):
        for item in value:
            _refuse_unstable(item)
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"canonical JSON needs string keys, got {key!r}")
            _refuse_unstable(item)
        return
    raise TypeError(f"no canonical form for {type(value).__name__}: {value!r}")


def sha256_bytes(data: bytes) -> bytes:
    """The SHA-256 of `data` (32 bytes)."""
    return hashlib.sha256(data).digest()


def sha256_text(text: str) -> bytes:
    """The SHA-256 of the UTF-8 bytes of `text` (32 bytes)."""
    return sha256_bytes(text.encode())


def document_id_bytes(corpus: str, key: str, text_sha256: bytes) -> bytes:
    """`document_id` as 16 raw bytes. Written out because it runs once per document; tests hold it to canonical_json."""
    body = (
        f'{{"corpus":{encode_basestring(corpus)},"key":{encode_basestring(key)},"text_sha256":"{text_sha256.hex()}"}}'
    )
    return hashlib.sha256(body.encode()).digest()[:16]


def document_id(corpus: str, key: str, text_sha256: bytes) -> UUID:
    """The id of one text at one origin: first 128 bits of SHA-256 over its corpus name, key and text hash."""
    return UUID(bytes=document_id_bytes(corpus, key, text_sha256))


def fingerprint(value: Any) -> str:
    """`sha256:` and the hex digest of the canonical JSON of `value`."""
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()

"""Ed25519 signatures over snapshots: an in-toto statement in a DSSE envelope. Knows keys and bytes, no catalog.

Nothing here needs a network. Whoever verifies must bring the public key from somewhere they trust: a key that lies
beside what it signed shows only that the two belong together.
"""

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import rfc8785

from provenance.errors import CheckFailedError, ConfigError, DataError, MissingExtraError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://pypi.org/project/corpus-provenance/snapshot/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A statement whose signature holds."""

    subject: str
    """`snapshot:NAME`."""
    sha256: str
    """The snapshot's root."""
    predicate: dict[str, Any]
    key_id: str


def make_key(path: Path) -> str:
    """Write a new private key to `path` (readable by its owner only) and its public half beside it; gives the key id.

    Raises ConfigError when the file is there.
    """
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    if path.exists():
        raise ConfigError(f"{path} is there already", hint="a key that was used must not be lost: choose another name")
    key = Ed25519PrivateKey.generate()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key()
    Path(f"{path}.pub").write_bytes(public_pem(public))
    return key_id(public)


def read_private_key(path: Path) -> "Ed25519PrivateKey":
    """The private key in a PEM file. Raises DataError."""
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} holds no unencrypted private key in PEM: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise DataError(f"{path} holds no Ed25519 key", hint="make one: provenance snapshot keygen KEY")
    return key


def read_public_key(path: Path) -> "Ed25519PublicKey":
    """The public key in a PEM file. Raises DataError."""
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} holds no public key in PEM: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise DataError(f"{path} holds no Ed25519 key")
    return key


def public_pem(key: "Ed25519PublicKey") -> bytes:
    """A public key as PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def key_id(key: "Ed25519PublicKey") -> str:
    """SHA-256 of the raw public key, in hexadecimal."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def sign(
    key: "Ed25519PrivateKey", subject: str, sha256: str, predicate: dict[str, Any], beside: bytes | None = None
) -> bytes:
    """A DSSE envelope around the statement that `subject` has the hash `sha256`.

    The signatures of other keys in the envelope `beside` are kept if they are over the same statement.
    """
    statement: dict[str, Any] = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": subject, "digest": {"sha256": sha256}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    payload = rfc8785.dumps(statement)
    mine = {"keyid": key_id(key.public_key()), "sig": base64.b64encode(key.sign(_encoded(payload))).decode()}
    envelope: dict[str, Any] = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [],
    }
    try:
        found = orjson.loads(beside or b"{}")
        if found.get("payload") == envelope["payload"]:
            envelope["signatures"] = [entry for entry in found["signatures"] if entry["keyid"] != mine["keyid"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        pass  # What was damaged is signed anew.
    envelope["signatures"].append(mine)
    return rfc8785.dumps(envelope)


def check(envelope: bytes, key: "Ed25519PublicKey", source: str) -> Signed:
    """The statement in an envelope, if `key` signed it. Raises CheckFailedError when it did not, DataError on junk."""
    from cryptography.exceptions import InvalidSignature

    try:
        found = orjson.loads(envelope)
        payload = base64.b64decode(found["payload"], validate=True)
        signatures = [base64.b64decode(entry["sig"], validate=True) for entry in found["signatures"]]
        statement = orjson.loads(payload)
        subject = statement["subject"][0]
        name, sha256 = str(subject["name"]), str(subject["digest"]["sha256"])
        predicate = dict(statement["predicate"])
    except (orjson.JSONDecodeError, binascii.Error, KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"{source}: not a signed statement: {type(error).__name__} {error}") from None
    for signature in signatures:
        try:
            key.verify(signature, _encoded(payload))
        except InvalidSignature:
            continue
        return Signed(subject=name, sha256=sha256, predicate=predicate, key_id=key_id(key))
    mine, named = key_id(key)[:16], [str(entry.get("keyid", ""))[:16] for entry in found["signatures"]]
    if named and mine not in named and all(named):
        raise CheckFailedError(
            f"{source}: signed by {', '.join(named)}, not by key {mine}",
            hint="bring the public key of a signer you trust, or have it signed with this key too: "
            "provenance snapshot sign",
        )
    raise CheckFailedError(
        f"{source}: not signed by key {mine}: the statement or its signature was changed",
        hint="ask the signer for the envelope and the public key again",
    )


def _encoded(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: the type is signed too."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _require() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise MissingExtraError.of("signing", "sign") from None

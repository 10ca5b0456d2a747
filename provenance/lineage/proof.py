"""Proof that one document belongs to a corpus, checked without the corpus. Knows hashes, no catalog."""

from pathlib import Path
from uuid import UUID

import orjson
from pydantic import Field

from provenance.config import Config, checked
from provenance.errors import CheckFailedError, DataError
from provenance.ids import document_id, sha256_text
from provenance.lineage.merkle import root_from_proof

SCHEMA = "provenance.inclusion-proof/1"
ROOT_PREFIX = "rfc6962-sha256:"


class InclusionProof(Config):
    """What a verifier needs: the document's identity, its place, and the hashes from there to the root."""

    schema_: str = Field(default=SCHEMA, alias="schema", pattern=r"^provenance\.inclusion-proof/1$")
    doc_id: UUID
    corpus: str
    version: int
    key: str
    text_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    index: int = Field(ge=0)
    """Place of the document in doc_id order, from 0."""
    size: int = Field(ge=1)
    """Documents in the corpus."""
    path: list[str]
    """Sibling hashes, lowest first."""
    content_root: str

    def to_json(self) -> bytes:
        """The proof as a file."""
        return orjson.dumps(self.model_dump(mode="json", by_alias=True), option=orjson.OPT_INDENT_2) + b"\n"


def read_proof(path: Path) -> InclusionProof:
    """The proof in a file. Raises DataError."""
    try:
        value = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: not JSON at byte {error.pos}: {error.msg}") from None
    return checked(InclusionProof, value, str(path))


def check_proof(proof: InclusionProof, *, text: str | None = None) -> None:
    """Raises CheckFailedError naming what does not hold; with `text`, also that this is the document's text."""
    if text is not None and sha256_text(text).hex() != proof.text_sha256:
        raise CheckFailedError(
            f"the text has SHA-256 {sha256_text(text).hex()}, the proof is about {proof.text_sha256}",
            hint="a corpus holds texts as they were after hygiene: NFC, no CR, no invisible characters",
        )
    leaf = bytes.fromhex(proof.text_sha256)
    if document_id(proof.corpus, proof.key, leaf) != proof.doc_id:
        raise CheckFailedError(
            f"doc:{proof.doc_id} is not the id of key {proof.key!r} in corpus {proof.corpus!r} with this text"
        )
    try:
        siblings = [bytes.fromhex(node) for node in proof.path]
    except ValueError as error:
        raise DataError(f"the proof's path holds something other than hashes: {error}") from None
    root = root_from_proof(leaf, proof.index, proof.size, siblings)
    if root is None or ROOT_PREFIX + root.hex() != proof.content_root:
        raise CheckFailedError(
            f"the path of doc:{proof.doc_id} does not lead to {proof.content_root}",
            hint="the proof was changed, or is of another version of the corpus",
        )

"""Arrow schemas of the bulk data that moves between stages. Knows column names and types alone."""

import pyarrow as pa

SHARD = pa.schema([pa.field("doc_id", pa.uuid(), nullable=False), pa.field("text", pa.string(), nullable=False)])
"""A text shard: rows in doc_id order."""

DOCUMENT = pa.schema(
    [
        pa.field("doc_id", pa.uuid(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("text_sha256", pa.binary(32), nullable=False),
        pa.field("n_chars", pa.int32(), nullable=False),
        pa.field("n_words", pa.int32(), nullable=False),
        pa.field("created_at", pa.timestamp("us", tz="UTC")),
        pa.field("language", pa.string()),
        pa.field("subgroup", pa.string()),
        pa.field("declared_origin", pa.string()),
        pa.field("declared_generator", pa.string()),
        pa.field("meta", pa.string()),
        pa.field("generation", pa.int32()),
        pa.field("generation_max", pa.int32()),
        pa.field("human_ancestry", pa.float64()),
        pa.field("shard", pa.int32(), nullable=False),
    ]
)
"""What the catalog keeps of a document: everything but its text."""

EVIDENCE = pa.schema(
    [
        pa.field("doc_id", pa.uuid(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("log_lr", pa.float64()),
        pa.field("details", pa.string()),
    ]
)
"""Evidence rows before an activity stamps them."""


def uuids(ids: list[bytes]) -> pa.Array:
    """Document ids given as 16 raw bytes each, as an Arrow UUID array (UUID in Parquet and in DuckDB)."""
    return pa.ExtensionArray.from_storage(pa.uuid(), pa.array(ids, pa.binary(16)))

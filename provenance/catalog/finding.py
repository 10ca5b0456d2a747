"""What `verify` says of one thing that does not match."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that does not match."""

    check: str
    """chain, seal, tag, depth, corpus, cell, view, experiment, shard, mix, snapshot, signature."""
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"

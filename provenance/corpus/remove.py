"""Removing a corpus version: its texts go, what was known of it stays. Knows files and rows, not texts."""

import shutil

from provenance.catalog.corpora import CorpusInfo, get_corpus, mixes_using, remove_corpus, shard_paths
from provenance.catalog.store import Catalog
from provenance.errors import UsageError


def remove(catalog: Catalog, ref: str, *, dry_run: bool = False) -> CorpusInfo:
    """Hide `ref` and delete its shards. Raises UsageError while a mix still draws from it."""
    info = get_corpus(catalog, ref)
    used = mixes_using(catalog, info)
    if used:
        raise UsageError(
            f"{info.ref} is part of {', '.join(used)}, which could not be rebuilt without it",
            hint="keep it, or build those mixes without it first",
        )
    if dry_run:
        return info
    folders = {path.parent for path in shard_paths(catalog, info)}
    with catalog.activity("corpus rm", {"ref": info.ref}) as activity:
        activity.inputs.append(f"corpus:{info.ref}")
        with activity.commit() as con:
            remove_corpus(con, info, activity.started_at)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return info

"""Removing a corpus version: its texts go, what was known of it stays. Knows files and rows, not texts."""

import shutil

from provenance.catalog.corpora import CorpusInfo, get_corpus, mixes_using, remove_corpus, shard_paths
from provenance.catalog.snapshots import list_snapshots
from provenance.catalog.store import Catalog
from provenance.errors import UsageError


def remove(catalog: Catalog, ref: str, *, dry_run: bool = False) -> CorpusInfo:
    """Hide `ref` and delete its shards. Raises UsageError when a mix draws from it or a snapshot names it."""
    info = get_corpus(catalog, ref)
    used = mixes_using(catalog, info)
    if used:
        raise UsageError(
            f"{info.ref} is part of {', '.join(used)}, which could not be rebuilt without it",
            hint="keep it, or build those mixes without it first",
        )
    named = [
        f"snapshot:{snapshot.name}"
        for snapshot in list_snapshots(catalog)
        if any((part["corpus"], part["version"]) == (info.corpus, info.version) for part in snapshot.corpora)
    ]
    if named:
        raise UsageError(
            f"{info.ref} is part of {', '.join(named)}, which could not be checked out without it",
            hint="keep it: snapshots stay; to go on without its texts, add the other corpora to a new catalog",
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

"""Removing a corpus version: its texts go, what was known of it stays. Knows files and rows, not texts."""

import shutil

from provenance.catalog.corpora import CorpusInfo, get_corpus, mixes_using, remove_corpus, shard_paths
from provenance.catalog.snapshots import list_snapshots
from provenance.catalog.store import Catalog
from provenance.errors import UsageError


def remove(catalog: Catalog, ref: str, *, force: bool = False, dry_run: bool = False) -> CorpusInfo:
    """Hide `ref` and delete its shards. Raises UsageError when a mix or a snapshot holds it, unless `force`."""
    info = get_corpus(catalog, ref)
    holders = [
        *mixes_using(catalog, info),
        *(
            f"snapshot:{snapshot.name}"
            for snapshot in list_snapshots(catalog)
            if any((part["corpus"], part["version"]) == (info.corpus, info.version) for part in snapshot.corpora)
        ),
    ]
    if holders and not force:
        raise UsageError(
            f"{info.ref} is part of {', '.join(holders)}, which could not be made again without it",
            hint="keep it, or if its texts must go, whatever they are part of: --force",
        )
    if dry_run:
        return info
    folders = {path.parent for path in shard_paths(catalog, info)}
    with catalog.activity("corpus rm", {"ref": info.ref, "force": force}) as activity:
        activity.inputs.append(f"corpus:{info.ref}")
        with activity.commit() as con:
            remove_corpus(con, info, activity.started_at)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return info

"""Prose with edited copies planted in it, and which pairs are near-duplicates, found without any sketch."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NEW_SHARE = 10
"""One document in this many comes later, for the incremental job."""


def pieces(path: Path, target_bytes: int = 1_830) -> Iterator[str]:
    """Documents cut at paragraph boundaries into pieces of about 2.4 kB."""
    with pa.OSFile(str(path)) as raw, pa.CompressedInputStream(raw, "zstd") as stream:
        for line in io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8"):
            held: list[str] = []
            size = 0
            for paragraph in json.loads(line)["text"].split("\n\n"):
                held.append(paragraph)
                size += len(paragraph) + 2
                if size >= target_bytes:
                    yield "\n\n".join(held)
                    held, size = [], 0


def edited(text: str, vocabulary: list[str], rng: np.random.Generator) -> str:
    """A near-duplicate: up to 10 % of the words substituted, deleted, inserted or cut off at the end."""
    words = text.split()
    kind = rng.choice(["substitute", "delete", "insert", "truncate", "mixed"])
    rate = rng.uniform(0, 0.1)
    if kind == "truncate":
        return " ".join(words[: max(1, round(len(words) * (1 - rate)))])
    out = []
    for word, chance in zip(words, rng.random(len(words)), strict=True):
        if chance >= rate:
            out.append(word)
            continue
        what = rng.choice(["substitute", "delete", "insert"]) if kind == "mixed" else kind
        if what != "delete":
            out.append(vocabulary[rng.integers(len(vocabulary))])
        if what == "insert":
            out.append(word)
    return " ".join(out)


def make_corpus(source: Path, folder: Path, documents: int, planted: int) -> dict[str, Any]:
    """Write corpus.parquet, its first rows as old.parquet and the rest as new.parquet."""
    from provenance.seeds import stream

    rng = stream(20_261_123, "bench", "dedup")
    found = list(pieces(source))
    originals = [found[i] for i in rng.permutation(len(found))[: documents - planted]]
    vocabulary = sorted({word for text in originals[:200] for word in text.split()})
    copies = [edited(originals[i], vocabulary, rng) for i in rng.integers(len(originals), size=planted)]
    texts = [*originals, *copies]
    texts = [texts[i] for i in rng.permutation(len(texts))]
    new = documents // NEW_SHARE
    for name, part in (("corpus", texts), ("old", texts[:-new]), ("new", texts[-new:])):
        n_bytes = sum(len(t.encode()) for t in part)
        # As the catalog writes its shards: zstd, row groups of about 4 MB.
        pq.write_table(
            pa.table({"text": part}),
            folder / f"{name}.parquet",
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            row_group_size=max(1, 4 * 1024 * 1024 * len(part) // n_bytes),
        )
    return {
        "source": "pile_a.jsonl.zst: books, textbooks, speeches, PEPs",
        "documents": len(texts),
        "planted": planted,
        "mean_bytes": round(sum(len(t.encode()) for t in texts) / len(texts)),
        "mean_words": round(sum(len(t.split()) for t in texts) / len(texts)),
        "megabytes": round(sum(len(t.encode()) for t in texts) / 1e6, 1),
    }


def python_shingles(text: str) -> list[str]:
    """Word 5-grams as every tutorial builds them."""
    words = text.split()
    return [" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))]


def exact_pairs(texts: list[str], threshold: float) -> dict[tuple[int, int], float]:
    """Every pair of texts with Jaccard similarity at or above `threshold`, without any sketch.

    Prefix filtering (Chaudhuri et al. 2006): with shingles ordered from rare to common, two sets of similarity t share
    one of the first |x| - ceil(t |x|) + 1 shingles of each. All pairs that do are compared exactly.
    """
    import xxhash

    sets = [
        np.unique([xxhash.xxh3_64_intdigest(s.encode()) for s in python_shingles(t)]).astype(np.uint64) for t in texts
    ]
    lengths = np.array([len(s) for s in sets])
    values, inverse, counts = np.unique(np.concatenate(sets), return_inverse=True, return_counts=True)
    rank = np.empty(len(values), dtype=np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(values))
    tokens, owners = [], []
    for i, ids in enumerate(np.split(inverse, np.cumsum(lengths)[:-1])):
        ranks = np.sort(rank[ids])
        prefix = ranks[: len(ranks) - int(np.ceil(threshold * len(ranks))) + 1]
        tokens.append(prefix)
        owners.append(np.full(len(prefix), i))
    token, owner = np.concatenate(tokens), np.concatenate(owners)
    order = np.argsort(token, kind="stable")
    token, owner = token[order], owner[order]
    starts = np.flatnonzero(np.r_[True, token[1:] != token[:-1]])
    found: set[tuple[int, int]] = set()
    for begin, end in zip(starts, np.r_[starts[1:], len(token)], strict=True):
        if end - begin > 1:
            members = np.sort(owner[begin:end]).tolist()
            found.update((a, b) for k, a in enumerate(members) for b in members[k + 1 :])
    near = {}
    for a, b in found:
        if min(lengths[a], lengths[b]) >= threshold * max(lengths[a], lengths[b]):
            common = len(np.intersect1d(sets[a], sets[b], assume_unique=True))
            jaccard = common / (lengths[a] + lengths[b] - common)
            if jaccard >= threshold:
                near[a, b] = float(jaccard)
    return near


def column(folder: Path, name: str, limit: int | None = None) -> pa.Array:
    """The text column of a file, in memory."""
    found = pq.read_table(folder / f"{name}.parquet", columns=["text"])["text"].combine_chunks()
    return found if limit is None else found[:limit]

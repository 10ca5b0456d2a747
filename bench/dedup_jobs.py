"""What is timed against what: near-duplicate jobs of ours and of the peers. Each returns what it found and its cost."""

import json
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dedup_corpus import column, python_shingles

THRESHOLD = 0.7
PEERS = ("rensa", "datatrove", "daft")


def measure(work: Callable[[], dict[str, Any]], *, repeats: int) -> dict[str, Any]:
    """The best CPU time of `repeats` runs, and the process's peak memory."""
    best, outcome = float("inf"), {}
    for _ in range(repeats):
        start = time.process_time()
        outcome = work()
        best = min(best, time.process_time() - start)
    # ru_maxrss would be the parent's: it survives exec.
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    return {**outcome, "cpu_seconds": round(best, 4), "peak_megabytes": int(found.group(1)) // 1000 if found else None}


def ours_signatures(folder: Path, mode: str) -> dict[str, Any]:
    from provenance.dedup.minhash import ShingleHash, Sketch, sketch_texts

    texts = column(folder, "corpus")
    sketch = Sketch(hash=ShingleHash(mode))
    sketch_texts(texts[:2], sketch)
    return measure(lambda: {"documents": len(sketch_texts(texts, sketch))}, repeats=5)


def datasketch_signatures(folder: Path, mode: str, limit: int) -> dict[str, Any]:
    import xxhash
    from datasketch import MinHash

    texts = column(folder, "corpus", limit)
    hashed = {"hashfunc": xxhash.xxh32_intdigest} if mode == "xxh32" else {}

    def work() -> dict[str, Any]:
        shingles = [[s.encode() for s in python_shingles(t)] for t in texts.to_pylist()]
        return {"documents": len(MinHash.bulk(shingles, num_perm=128, **hashed))}

    return measure(work, repeats=3)


def rensa_signatures(folder: Path, limit: int) -> dict[str, Any]:
    from rensa import RMinHash

    texts = column(folder, "corpus", limit)

    def work() -> dict[str, Any]:
        RMinHash.digest_matrix_from_token_sets([python_shingles(t) for t in texts.to_pylist()], num_perm=128, seed=42)
        return {"documents": len(texts)}

    return measure(work, repeats=3)


def daft_signatures(folder: Path, limit: int) -> dict[str, Any]:
    import daft

    frame = daft.from_arrow(pa.table({"text": column(folder, "corpus", limit)})).collect()
    hashed = daft.col("text").minhash(num_hashes=128, ngram_size=5, seed=1, hash_function="xxhash3_64")

    def work() -> dict[str, Any]:
        return {"documents": len(frame.select(hashed).collect())}

    return measure(work, repeats=3)


def ours_job(folder: Path) -> dict[str, Any]:
    from provenance.dedup.bands import Banding
    from provenance.dedup.minhash import Sketch
    from provenance.dedup.near import find_near_duplicates, index_files
    from provenance.dedup.textfiles import TextFile

    def run(name: str) -> dict[str, Any]:
        path = folder / f"{name}.parquet"
        n = pq.read_metadata(path).num_rows
        files = [TextFile(path=path, rows=np.arange(n))]
        segment = index_files(files, numbered_ids(0, n), Sketch(), Banding())
        found = find_near_duplicates([segment], files, threshold=THRESHOLD, prefer=lambda rows: rows)
        near, choice, leader = found.compared.at_least(THRESHOLD), found.choice, found.rows.leader
        low, high = (near.pairs >> np.uint64(32)).tolist(), (near.pairs & np.uint64(2**32 - 1)).tolist()
        aside = ~choice.kept
        return {
            "documents": n,
            "candidates": found.candidates,
            "pairs": list(zip(low, high, near.jaccard.tolist(), strict=True)),
            "leaders": {int(r): int(leader[r]) for r in np.flatnonzero(leader != np.arange(n)).tolist()},
            "removed": list(zip(choice.rows[aside].tolist(), choice.other[aside].tolist(), strict=True)),
            "kept": choice.rows[~aside].tolist(),
        }

    run("new")  # compile
    return measure(lambda: run("corpus"), repeats=3)


def ours_incremental(folder: Path) -> dict[str, Any]:
    """New documents against a stored index, from their texts to a choice; and the join of the two indexes alone."""
    from provenance.dedup.bands import Banding, read_segment, write_segment
    from provenance.dedup.candidates import candidate_pairs, number_rows
    from provenance.dedup.minhash import Sketch
    from provenance.dedup.near import find_near_duplicates, index_files
    from provenance.dedup.textfiles import TextFile

    sizes = [pq.read_metadata(folder / f"{name}.parquet").num_rows for name in ("old", "new")]
    rows = np.split(np.arange(sum(sizes)), [sizes[0]])
    files = [TextFile(path=folder / f"{n}.parquet", rows=r) for n, r in zip(("old", "new"), rows, strict=True)]
    old = index_files(files[:1], numbered_ids(0, sizes[0]), Sketch(), Banding())
    write_segment(old, folder / "index.parquet")
    new_files = [TextFile(path=files[1].path, rows=np.arange(sizes[1]))]
    wanted = np.array([[False, True], [True, True]])

    def run() -> dict[str, Any]:
        stored = read_segment(folder / "index.parquet")
        new = index_files(new_files, numbered_ids(sizes[0], sizes[1]), Sketch(), Banding())
        start = time.process_time()
        candidate_pairs([stored, new], number_rows([stored, new], np.ones(sum(sizes), dtype=np.bool_)), wanted)
        join = time.process_time() - start
        found = find_near_duplicates([stored, new], files, threshold=THRESHOLD, prefer=lambda rows: rows, wanted=wanted)
        return {"new": sizes[1], "indexed": sizes[0], "candidates": found.candidates, "join_cpu_seconds": join}

    run()
    outcome = measure(run, repeats=9)
    # The extra join inside `run` is there to be timed; the job itself does one.
    outcome["cpu_seconds"] -= outcome["join_cpu_seconds"]
    outcome["index_bytes_per_document"] = round((folder / "index.parquet").stat().st_size / sizes[0], 1)
    return outcome


def numbered_ids(first: int, n: int) -> pa.Array:
    """Ids that say nothing but a number."""
    raw = np.zeros((n, 2), dtype=">u8")
    raw[:, 1] = np.arange(first, first + n)
    return pa.Array.from_buffers(pa.binary(16), n, [None, pa.py_buffer(raw.tobytes())])


def ours_catalog(folder: Path) -> dict[str, Any]:
    """The whole command on a catalog: doc ids, DuckDB, reasons, everything committed."""
    from provenance.catalog.store import Catalog
    from provenance.corpus.ingest import add_corpus
    from provenance.corpus.prepare import Fields
    from provenance.dedup.stage import dedup_corpora

    for name in ("new", "corpus"):
        with tempfile.TemporaryDirectory() as place:
            catalog = Catalog.init(Path(place))
            add_corpus(catalog, "bench", [str(folder / f"{name}.parquet")], Fields())

            def run(catalog: Catalog = catalog) -> dict[str, Any]:
                result = dedup_corpora(catalog, ["bench"])
                return {"documents": result.documents, "set_aside": result.set_aside}

            outcome = measure(run, repeats=1)
    return outcome


def datasketch_job(folder: Path, limit: int) -> dict[str, Any]:
    """Bulk signatures, LSH at the default parameters, what collides with a kept document is removed."""
    import xxhash
    from datasketch import MinHash, MinHashLSH

    def work() -> dict[str, Any]:
        texts = pq.read_table(folder / "corpus.parquet", columns=["text"])["text"][:limit].to_pylist()
        shingles = [[s.encode() for s in python_shingles(t)] for t in texts]
        index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
        removed, pairs = [], []
        for i, signature in enumerate(MinHash.bulk(shingles, num_perm=128, hashfunc=xxhash.xxh32_intdigest)):
            met = index.query(signature)
            pairs += [(min(i, j), max(i, j)) for j in met]
            if met:
                removed.append((i, met[0]))
            index.insert(i, signature)
        return {"documents": len(texts), "removed": removed, "pairs": pairs}

    return measure(work, repeats=1)


def rensa_job(folder: Path, limit: int) -> dict[str, Any]:
    """Word 5-grams in Python, the matrix pipeline of the README: flags, no pairs."""
    from rensa import RMinHash, RMinHashLSH

    def work() -> dict[str, Any]:
        texts = pq.read_table(folder / "corpus.parquet", columns=["text"])["text"][:limit].to_pylist()
        matrix = RMinHash.digest_matrix_from_token_sets([python_shingles(t) for t in texts], num_perm=128, seed=42)
        flags = RMinHashLSH(threshold=THRESHOLD, num_perm=128, num_bands=16).query_duplicate_flags_matrix_one_shot(
            matrix
        )
        return {"documents": len(texts), "flagged": [i for i, flag in enumerate(flags) if flag]}

    return measure(work, repeats=2)


def datatrove_job(folder: Path, limit: int) -> dict[str, Any]:
    """Its four MinHash stages at its defaults (14 bands of 8, English tokenizer), in this process."""
    import logging

    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import JsonlWriter
    from loguru import logger

    logging.disable(logging.WARNING)
    logger.remove()
    config = MinhashConfig()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place)
        (path / "in").mkdir()
        texts = column(folder, "corpus", limit)
        pq.write_table(pa.table({"id": [str(i) for i in range(limit)], "text": texts}), path / "in" / "a.parquet")

        def stage(number: int, *pipeline: Any, tasks: int = 1) -> None:
            LocalPipelineExecutor(list(pipeline), tasks=tasks, workers=1, logging_dir=str(path / f"log{number}")).run()

        def work() -> dict[str, Any]:
            stage(1, ParquetReader(str(path / "in")), MinhashDedupSignature(str(path / "sig"), config, language="eng"))
            stage(
                2,
                MinhashDedupBuckets(str(path / "sig"), str(path / "buckets"), config=config),
                tasks=config.num_buckets,
            )
            stage(3, MinhashDedupCluster(str(path / "buckets"), str(path / "remove"), config=config))
            stage(
                4,
                ParquetReader(str(path / "in")),
                MinhashDedupFilter(
                    str(path / "remove"), exclusion_writer=JsonlWriter(str(path / "out"), compression=None)
                ),
            )
            lines = [line for file in (path / "out").glob("*.jsonl") for line in file.read_text().splitlines()]
            return {"documents": limit, "flagged": [int(json.loads(line)["id"]) for line in lines]}

        return measure(work, repeats=1)


# By name: a job of a folder, and whether in brief


JOBS: dict[str, Callable[[Path, bool], dict[str, Any]]] = {
    "ours signatures, tokens": lambda f, _: ours_signatures(f, "tokens"),
    "ours signatures, xxh32": lambda f, _: ours_signatures(f, "xxh32"),
    "datasketch signatures, xxh32": lambda f, q: datasketch_signatures(f, "xxh32", 500 if q else 4_000),
    "datasketch signatures, sha1": lambda f, q: datasketch_signatures(f, "sha1", 500 if q else 3_000),
    "rensa signatures": lambda f, q: rensa_signatures(f, 2_000 if q else 20_000),
    "daft signatures": lambda f, q: daft_signatures(f, 2_000 if q else 20_000),
    "ours job": lambda f, _: ours_job(f),
    "ours corpus dedup": lambda f, _: ours_catalog(f),
    "ours incremental": lambda f, _: ours_incremental(f),
    "datasketch job": lambda f, q: datasketch_job(f, 1_000 if q else 20_000),
    "rensa job": lambda f, q: rensa_job(f, 2_000 if q else 50_000),
    "datatrove job": lambda f, q: datatrove_job(f, 300 if q else 3_000),
}

"""Near-duplicates against the peers: same corpus, one run, process CPU time and peak memory, exact truth.

    PROVENANCE_BENCH_DATA=<folder with pile/pile_a.jsonl.zst> python bench/dedup.py [--quick]

Every job runs in a process of its own and on one core. Peers other than datasketch run under the Python named in
PROVENANCE_BENCH_PEERS, where it is set, and are left out where they do not import. Writes bench/results/dedup.json.
"""

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from machine import machine, write_result

DOCUMENTS, PLANTED, NEW = 50_000, 8_000, 5_000
ROUNDS = 2
THRESHOLD = 0.7
PEERS = ("rensa", "datatrove", "daft")


# The corpus: prose cut at paragraphs, with edited copies planted among it


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
    new = documents // (DOCUMENTS // NEW)
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


# Exact truth by an independent method: prefix filtering over an inverted index of rare shingles


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


# The jobs. Each returns what it found; `measure` adds CPU seconds and peak memory.


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


def column(folder: Path, name: str, limit: int | None = None) -> pa.Array:
    """The text column of a file, in memory."""
    found = pq.read_table(folder / f"{name}.parquet", columns=["text"])["text"].combine_chunks()
    return found if limit is None else found[:limit]


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


# The run


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


def run_apart(job: str, folder: Path, *, quick: bool) -> dict[str, Any] | None:
    """Run one job in a fresh process on one thread; None where its peer is not installed."""
    peer = job.split(maxsplit=1)[0]
    python = sys.executable
    if peer in PEERS:
        python = os.environ.get("PROVENANCE_BENCH_PEERS", sys.executable)
        if subprocess.run([python, "-c", f"import {peer}"], check=False, capture_output=True).returncode:
            return None
    one = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
    done = subprocess.run(
        [python, __file__, "--job", job, "--folder", str(folder), *(["--quick"] if quick else [])],
        env={**os.environ, **one},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        return {"failed": done.stderr.decode().splitlines()[-1]}
    found: dict[str, Any] = json.loads(done.stdout.decode().splitlines()[-1])
    return found


def judged_pairs(truth: dict[tuple[int, int], float], outcome: dict[str, Any]) -> dict[str, Any]:
    """Recall of true pairs among the documents a job saw, and how many removals have no partner at the threshold."""
    n = outcome["documents"]
    true = {pair for pair in truth if pair[1] < n}
    leader = {int(k): v for k, v in outcome.get("leaders", {}).items()}
    partners = {i for pair in true for i in pair}
    judged: dict[str, Any] = {}
    if "pairs" in outcome:
        found = {(p[0], p[1]) for p in outcome["pairs"]}

        def known(a: int, b: int) -> bool:
            a, b = sorted((leader.get(a, a), leader.get(b, b)))
            return a == b or (a, b) in found

        hit = sum(known(a, b) for a, b in true)
        judged["true_pairs"], judged["recall"] = len(true), hit / len(true)
    removed = [r[0] for r in outcome["removed"]] if "removed" in outcome else outcome["flagged"]
    judged["removed"] = len(removed)
    judged["removed_without_a_near_duplicate"] = sum(i not in partners for i in removed)
    if "leaders" in outcome:
        kept = set(outcome["kept"])
        loose = [(i, j) for i, j in outcome["removed"] if j not in kept or (min(i, j), max(i, j)) not in true]
        judged["removed_without_a_kept_direct_neighbour"] = len(loose)
    return judged


def peer_versions() -> dict[str, str]:
    """The versions of the peers that are installed."""
    python = os.environ.get("PROVENANCE_BENCH_PEERS", sys.executable)
    found = {}
    for peer in PEERS:
        said = subprocess.run(
            [python, "-c", f"from importlib.metadata import version; print(version('{peer}'))"],
            check=False,
            capture_output=True,
        )
        found[peer] = said.stdout.decode().strip() if said.returncode == 0 else "not installed"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the corpus, and nothing is written")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(JOBS[options.job](options.folder, options.quick)))
        return
    source = Path(os.environ["PROVENANCE_BENCH_DATA"]) / "pile" / "pile_a.jsonl.zst"
    scale = 10 if options.quick else 1
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        corpus = make_corpus(source, folder, DOCUMENTS // scale, PLANTED // scale)
        print(corpus, file=sys.stderr)
        truth = exact_pairs(column(folder, "corpus").to_pylist(), THRESHOLD)
        print(f"{len(truth)} pairs at {THRESHOLD}", file=sys.stderr)
        results: dict[str, Any] = {}
        outcomes: dict[str, list[dict[str, Any] | None]] = {job: [] for job in JOBS}
        for _ in range(1 if options.quick else ROUNDS):
            for job in JOBS:
                outcomes[job].append(run_apart(job, folder, quick=options.quick))
                print(job, end=" ", file=sys.stderr, flush=True)
        for job, tries in outcomes.items():
            # Rounds, because on a shared machine a neighbour's work can slow down any one job: the best of each counts.
            done = [o for o in tries if o is not None and "failed" not in o]
            if not done:
                results[job] = tries[0] or "not installed"
                continue
            outcome = min(done, key=lambda o: o["cpu_seconds"])
            numbers = {k: v for k, v in outcome.items() if k not in ("pairs", "removed", "flagged", "leaders", "kept")}
            if "documents" in outcome:
                numbers["documents_per_core_second"] = round(outcome["documents"] / outcome["cpu_seconds"])
            if job in ("ours job", "datasketch job", "rensa job", "datatrove job"):
                numbers |= judged_pairs(truth, outcome)
            results[job] = numbers
            print(job, numbers, file=sys.stderr)
    report = {
        "machine": machine(),
        "peers": peer_versions(),
        "corpus": {**corpus, "true_pairs": len(truth), "threshold": THRESHOLD},
        "results": results,
        "ratios": ratios(results),
    }
    print(json.dumps(report["ratios"], indent=2))
    if not options.quick:
        write_result("dedup", report)


def ratios(results: dict[str, Any]) -> dict[str, float]:
    """Ours over each peer, in documents per core-second."""

    def rate(job: str) -> float | None:
        found = results.get(job)
        return found.get("documents_per_core_second") if isinstance(found, dict) else None

    compared = {
        "signatures, xxh32, over datasketch xxh32": ("ours signatures, xxh32", "datasketch signatures, xxh32"),
        "signatures, tokens, over datasketch xxh32": ("ours signatures, tokens", "datasketch signatures, xxh32"),
        "signatures, tokens, over datasketch sha1": ("ours signatures, tokens", "datasketch signatures, sha1"),
        "signatures, tokens, over rensa": ("ours signatures, tokens", "rensa signatures"),
        "signatures, tokens, over daft": ("ours signatures, tokens", "daft signatures"),
        "whole job over datasketch": ("ours job", "datasketch job"),
        "whole job over rensa": ("ours job", "rensa job"),
        "whole job over datatrove": ("ours job", "datatrove job"),
    }
    found = {}
    for name, (mine, peer) in compared.items():
        a, b = rate(mine), rate(peer)
        if a and b:
            found[name] = round(a / b, 1)
    return found


if __name__ == "__main__":
    main()

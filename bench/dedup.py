"""Near-duplicates against the peers: same corpus, one run, process CPU time and peak memory, exact truth.

    PROVENANCE_BENCH_DATA=<folder with pile/pile_a.jsonl.zst> python bench/dedup.py [--quick]

Every job runs in a process of its own and on one core. Peers other than datasketch run under the Python named in
PROVENANCE_BENCH_PEERS, where it is set, and are left out where they do not import. Writes bench/results/dedup.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dedup_corpus import column, exact_pairs, make_corpus
from dedup_jobs import JOBS, PEERS, THRESHOLD
from machine import machine, write_result

DOCUMENTS, PLANTED = 50_000, 8_000
ROUNDS = 2


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

"""How fast JSONL becomes a corpus, per core-second, beside plain pyarrow.json and datasets.load_dataset on one file.

Usage: PROVENANCE_BENCH_DATA=DATA python bench/ingest.py [--megabytes 1000]
Each reader runs in a process of its own, one thread, so CPU time and peak memory are its own. `provenance` parses,
cleans, hashes, names, sorts, compresses and commits; the other two only parse (pyarrow) or parse and write Arrow
(datasets).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import machine, write_result

READERS = {
    "provenance": """
from pathlib import Path
from provenance.catalog.store import Catalog
from provenance.corpus.ingest import add_corpus
from provenance.corpus.prepare import Fields
catalog = Catalog.init(Path(folder))
def read():
    result = add_corpus(catalog, "c", [data], Fields(key="id"))
    return result.bytes
""",
    "pyarrow.json": """
import pyarrow as pa, pyarrow.json, pyarrow.compute as pc
pa.set_cpu_count(1)
def read():
    table = pa.json.read_json(data, pa.json.ReadOptions(use_threads=False, block_size=4 << 20))
    return pc.sum(pc.binary_length(table["text"])).as_py()
""",
    "datasets.load_dataset": """
import datasets, pyarrow.compute as pc
datasets.disable_progress_bars()
def read():
    loaded = datasets.load_dataset("json", data_files=data, cache_dir=folder, split="train")
    return sum(pc.sum(pc.binary_length(chunk)).as_py() for chunk in loaded.data.column("text").chunks)
""",
}

RUN = """
import json, re, sys, time
data, folder = sys.argv[1:]
{reader}
start, wall = time.process_time(), time.perf_counter()
n_bytes = read()
cpu_seconds, wall_seconds = time.process_time() - start, time.perf_counter() - wall
# ru_maxrss would be the parent's: it survives exec.
peak_kb = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1))
print(json.dumps({{"text_bytes": n_bytes, "cpu_seconds": cpu_seconds, "wall_seconds": wall_seconds,
    "peak_rss_mb": peak_kb / 1e3}}))
"""


def make_file(source: Path, target: Path, megabytes: int) -> None:
    """Documents of about 2.4 kB from the books, speeches and textbooks, repeated under new ids up to the size asked."""
    raw = subprocess.run(["zstd", "-dc", str(source)], check=True, capture_output=True).stdout
    texts = [json.loads(line)["text"] for line in raw.splitlines()]
    written, lap = 0, 0
    with target.open("w", encoding="utf-8") as out:
        while written < megabytes * 1_000_000:
            for i, text in enumerate(texts):
                for start in range(0, len(text), 2400):
                    record = {"id": f"{lap}-{i}-{start}", "text": text[start : start + 2400]}
                    written += out.write(json.dumps(record, ensure_ascii=False) + "\n")
                if written >= megabytes * 1_000_000:
                    return
            lap += 1


def main() -> None:
    """Measure and write bench/results/ingest.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    source = Path(os.environ["PROVENANCE_BENCH_DATA"]) / "pile" / "pile_a.jsonl.zst"
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data.jsonl"
        make_file(source, data, options.megabytes)
        for name, reader in READERS.items():
            best = None
            for repeat in range(options.repeats):
                folder = Path(scratch) / f"{name}-{repeat}"
                folder.mkdir()
                environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
                done = subprocess.run(
                    [sys.executable, "-c", RUN.format(reader=reader), str(data), str(folder)],
                    check=True, capture_output=True, text=True, env=environment,
                )  # fmt: skip
                row = json.loads(done.stdout.strip().splitlines()[-1])
                if best is None or row["cpu_seconds"] < best["cpu_seconds"]:
                    best = row
                subprocess.run(["rm", "-rf", str(folder)], check=True)
            assert best is not None
            best["mb_per_core_second"] = best["text_bytes"] / 1e6 / best["cpu_seconds"]
            rows[name] = best
            print(f"{name:24s} {best['mb_per_core_second']:8.1f} MB/s per core  {best['peak_rss_mb']:7.0f} MB peak")
        size = data.stat().st_size
    write_result(
        "ingest", {"machine": machine(), "file_bytes": size, "repeats": options.repeats, "best_of_repeats": rows}
    )


if __name__ == "__main__":
    main()

"""A synthetic catalog of ten million documents, and how long the questions people ask of it take.

    python bench/catalog.py [--documents 10000000] [--folder FOLDER] [--keep]

The catalog has human corpora, undeclared ones, texts of outside models with document-level derivations, and four
recursion runs of ten generations with their mixes and models. It has no texts: what is timed is the catalog.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from provenance.catalog.lineage import all_depths, ancestors, descendants, impact
from provenance.catalog.overview import overview
from provenance.catalog.query import run_query
from provenance.catalog.store import Catalog
from provenance.mixing.plan import plan_mix
from provenance.mixing.policy import MixPolicy, parse_policy

RUNS, GENERATIONS = 4, 10
ACTIVITY = "00000000-0000-4000-8000-000000000001"


def generate(root: Path, documents: int) -> Catalog:
    """Write the catalog. Every value follows from its row number, so two runs give the same rows."""
    catalog = Catalog.init(root)
    con = duckdb.connect(str(catalog.database), config={"threads": 2, "memory_limit": "3GB"})
    con.execute("SET preserve_insertion_order = false")
    con.execute("SET enable_progress_bar = false")
    # An index is quicker made once than kept up to date under ten million inserts.
    con.execute("DROP INDEX document_by_id")
    con.execute(
        "INSERT INTO activity VALUES (?, 'generate', '{}', '-', '-', 1, now(), now(), 'done', '[]', '[]', NULL)",
        [ACTIVITY],
    )
    share = documents // 100
    plan = [(f"human-{i:02d}", "human", None, 55 * share // 20) for i in range(20)]
    plan += [(f"web-{i}", None, None, 10 * share // 4) for i in range(4)]
    plan += [(f"outside-{i}", "model", f"outside-{i}", 15 * share // 3) for i in range(3)]
    plan += [
        (f"run{r}-gen{g:02d}", "model", f"run{r}/g{g:02d}", 20 * share // (RUNS * GENERATIONS))
        for g in range(GENERATIONS)
        for r in range(RUNS)
    ]
    for corpus_id, (name, origin, generator, size) in enumerate(plan, start=1):
        _corpus(con, corpus_id, name, origin, generator, size)
    _tags(con)
    _derivations(con, documents)
    _mixes(con, documents)
    con.execute("CHECKPOINT")
    con.execute("CREATE INDEX document_by_id ON document (doc_id)")
    con.execute("CHECKPOINT")
    con.close()
    return catalog


def _corpus(
    con: duckdb.DuckDBPyConnection, corpus_id: int, name: str, origin: str | None, generator: str | None, size: int
) -> None:
    con.execute(
        """
        INSERT INTO corpus BY NAME SELECT ? AS corpus_id, ? AS corpus, 1 AS version, now()::TIMESTAMP AS created_at,
            ? AS documents, ? * 2000 AS bytes, ? AS declared_origin, ? AS declared_generator,
            'rfc6962-sha256:' || sha256(?) AS content_root, false AS held_out, true AS latest, ? AS activity_id
        """,
        [corpus_id, name, size, size, origin, generator, name, ACTIVITY],
    )
    generation = int(name[-2:]) + 1 if name.startswith("run") else None
    con.execute(
        """
        INSERT INTO document BY NAME
        SELECT md5($name || i)::UUID AS doc_id, $corpus_id AS corpus_id, 'row-' || i AS key,
            'part-' || (i // 100000) || '.jsonl' AS source, unhex(md5('a' || i || $name) || md5('b' || i || $name))
                AS text_sha256,
            200 + (i * 7919 % 4000)::INTEGER AS n_chars, 40 + (i * 7919 % 800)::INTEGER AS n_words,
            TIMESTAMP '2015-01-01' + INTERVAL (i % 3000) DAY AS created_at,
            CASE WHEN i % 5 = 0 THEN 'de' ELSE 'en' END AS language, 'topic-' || (i % 7) AS subgroup,
            $origin AS declared_origin,
            CASE WHEN starts_with($name, 'outside') THEN $generator || '-v' || (i % 3) ELSE $generator END
                AS declared_generator,
            '{"url":"https://example.org/' || i || '"}' AS meta,
            CASE $origin WHEN 'human' THEN 0 WHEN 'model' THEN coalesce($generation, 1) END AS generation,
            CASE WHEN $origin = 'human' THEN 0 ELSE $generation END AS generation_max,
            CASE WHEN $origin = 'human' OR $generation IS NOT NULL THEN 1.0 END AS human_ancestry,
            (i // 30000)::INTEGER AS shard
        FROM range($size) t(i) ORDER BY doc_id
        """,
        {
            "name": name,
            "corpus_id": corpus_id,
            "origin": origin,
            "generator": generator,
            "generation": generation,
            "size": size,
        },
    )
    if generation is not None:
        con.execute(
            "INSERT INTO lineage_edge VALUES (?, ?, 'generated_by', ?, now())",
            [f"corpus:{name}@1", f"model:{generator}", ACTIVITY],
        )


def _tags(con: duckdb.DuckDBPyConnection) -> None:
    """A tag for every document; a twentieth of the declared-human ones look like a model's."""
    for table in ("tag_history_row", "tag_current"):
        con.execute(
            f"""
            INSERT INTO {table} SELECT doc_id,
                CASE WHEN p > 0.95 THEN 'model' WHEN declared_origin = 'model' THEN 'model'
                    WHEN p < 0.7 THEN 'human' ELSE 'unknown' END,
                p, CASE WHEN declared_origin = 'model' THEN 'recorded' ELSE 'inferred' END, 'bench@1', ?, now()
            FROM (SELECT *, hash(doc_id) / 18446744073709551616.0 AS p FROM document)
            """,
            [ACTIVITY],
        )
    con.execute(
        "UPDATE document SET tag_origin = t.origin, tag_p_model = t.p_model FROM tag_current t "
        "WHERE t.doc_id = document.doc_id"
    )
    con.execute(
        """
        INSERT INTO evidence_row
        SELECT doc_id, 'detector', 'stylometry', '1', hash(doc_id) / 18446744073709551616.0,
            8 * (hash(doc_id) / 18446744073709551616.0 - 0.5), NULL, ?, now() FROM document
        """,
        [ACTIVITY],
    )


def _derivations(con: duckdb.DuckDBPyConnection, documents: int) -> None:
    """Every outside text rewrites a human one, or, one in three, a rewritten one; some have a near-duplicate."""
    con.execute(
        """
        INSERT INTO cell SELECT row_number() OVER (), corpus_id, declared_generator, declared_origin, count(*)
        FROM document GROUP BY ALL ORDER BY ALL
        """
    )
    n = 15 * (documents // 100) // 3
    human = 55 * (documents // 100) // 20
    con.execute(
        """
        CREATE TEMP TABLE wanted AS
        SELECT md5('outside-' || c || i)::UUID AS child_doc,
            CASE WHEN i % 3 = 0 AND i > 0 THEN md5('outside-' || c || (i // 3))::UUID
                ELSE md5('human-' || lpad((i % 20)::VARCHAR, 2, '0') || (i % $human))::UUID END AS parent_doc
        FROM range(3) t(c), range($n) u(i)
        """,
        {"n": n, "human": human},
    )
    con.execute(
        """
        CREATE TEMP TABLE placed AS
        SELECT d.doc_id, c.cell FROM document d
        JOIN (SELECT unnest([child_doc, parent_doc]) AS doc_id FROM wanted GROUP BY 1) USING (doc_id)
        JOIN cell c ON c.corpus_id = d.corpus_id AND c.generator IS NOT DISTINCT FROM d.declared_generator
            AND c.origin IS NOT DISTINCT FROM d.declared_origin
        """
    )
    con.execute(
        """
        INSERT INTO document_edge BY NAME
        SELECT w.child_doc, c.cell AS child_cell, w.parent_doc, p.cell AS parent_cell, 'derived_from' AS relation,
            ?::UUID AS activity_id, now()::TIMESTAMP AS recorded_at
        FROM wanted w JOIN placed c ON c.doc_id = w.child_doc JOIN placed p ON p.doc_id = w.parent_doc
        """,
        [ACTIVITY],
    )
    con.execute(
        """
        INSERT INTO lineage_edge SELECT 'doc:' || md5('web-0' || i)::UUID, 'doc:' || md5('human-00' || i)::UUID,
            'near_duplicate_of', ?, now() FROM range(?) t(i)
        """,
        [ACTIVITY, min(documents // 20, 10 * (documents // 100) // 4, human)],
    )


def _mixes(con: duckdb.DuckDBPyConnection, documents: int) -> None:
    """Generation g of a run trains on five parts of what g - 1 wrote, four of human text and one of rewritten text."""
    size = documents // 100
    for run in range(RUNS):
        for g in range(GENERATIONS):
            name = f"run{run}-g{g:02d}"
            recent = "human-01" if g == 0 else f"run{run}-gen{g - 1:02d}"
            parts = [(recent, size * 5 // 10), ("human-02", size * 4 // 10), ("outside-1", size // 10)]
            for share, (corpus, count) in enumerate(parts):
                con.execute(
                    """
                    INSERT INTO mix_document BY NAME
                    SELECT $name AS mix, 1 AS version, row_number() OVER () - 1 AS position, doc_id, 1.0 AS weight,
                        $share AS share, cell.cell
                    FROM document d JOIN corpus c USING (corpus_id) JOIN cell ON cell.corpus_id = d.corpus_id
                        AND cell.generator IS NOT DISTINCT FROM d.declared_generator
                        AND cell.origin IS NOT DISTINCT FROM d.declared_origin
                    WHERE c.corpus = $corpus LIMIT $count
                    """,
                    {"name": name, "share": share, "corpus": corpus, "count": count},
                )
            con.execute(
                "INSERT INTO mix BY NAME SELECT ? AS mix, 1 AS version, '{}' AS policy, 1 AS seed, '' AS lock_sha256, "
                "(SELECT count(*) FROM mix_document WHERE mix = ?) AS documents, 0 AS tokens, '[]' AS realised, "
                "'[]' AS pool, ? AS activity_id",
                [name, name, ACTIVITY],
            )
            con.execute(
                "INSERT INTO lineage_edge VALUES (?, ?, 'trained_on', ?, now())",
                [f"model:run{run}/g{g:02d}", f"mix:{name}@1", ACTIVITY],
            )


@dataclass(frozen=True)
class Question:
    """One thing people ask, and how long they may wait for the answer."""

    name: str
    limit_seconds: float
    ask: Callable[[Catalog], Any]


def _sql(query: str) -> Callable[[Catalog], Any]:
    return lambda catalog: run_query(catalog, query).rows


def mix_policy(documents: int) -> MixPolicy:
    """A twentieth of the catalog, by origin, tag, language and weight."""
    shares = [
        {"where": "origin = 'human' and p_model < 0.5", "share": 0.7, "by": "language"},
        {"where": "origin = 'model' and generation <= 2", "share": 0.2},
        {"where": "origin = 'unknown'", "share": 0.1, "weight": "1 - p_model"},
    ]
    return parse_policy({"name": "bench", "budget": {"documents": documents // 20}, "share": shares}, "bench")


_GROUPED = "FROM documents GROUP BY ALL"


def questions(catalog: Catalog) -> list[Question]:
    """What is timed. Ids are taken from the middle of the catalog."""
    with catalog.read() as con:
        outside, written = (
            con.execute(
                "SELECT doc_id FROM document JOIN corpus USING (corpus_id) WHERE corpus = ? LIMIT 1 OFFSET 100", [name]
            ).fetchall()[0][0]
            for name in ("outside-1", "run2-gen09")
        )
        documents = con.execute("SELECT count(*) FROM document").fetchall()[0][0]
    return [
        Question(
            "group by origin and generation",
            1.0,
            _sql("SELECT origin, generation, count(*) FROM documents GROUP BY ALL"),
        ),
        Question(
            "group by corpus and language",
            1.0,
            _sql("SELECT corpus, language, avg(n_words) FROM documents GROUP BY ALL"),
        ),
        Question("point lookup by doc_id", 0.05, _sql(f"SELECT * FROM documents WHERE doc_id = '{written}'")),
        Question("ancestors of a rewritten document", 2.0, lambda c: ancestors(c, f"doc:{outside}")),
        Question("ancestors of a document ten generations deep", 2.0, lambda c: ancestors(c, f"doc:{written}")),
        Question("ancestors of the last model", 2.0, lambda c: ancestors(c, "model:run2/g09")),
        Question("descendants of a human corpus", 2.0, lambda c: descendants(c, "corpus:human-02@1")),
        Question("impact of an outside model", 2.0, lambda c: impact(c, "model:outside-1-v0")),
        Question("impact of a human corpus in every mix", 2.0, lambda c: impact(c, "corpus:human-02@1")),
        Question("generation depth of all documents", 5.0, all_depths),
        Question("status", 1.0, overview),
        Question("mix plan of a twentieth of it", 10.0, lambda c: plan_mix(c, mix_policy(documents))),
    ]


def ask(folder: Path, number: int, repeats: int) -> dict[str, Any]:
    """Time one question in this process: best of `repeats`, wall and CPU, and the process's peak memory."""
    catalog = Catalog.open(folder)
    question = questions(catalog)[number]
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        question.ask(catalog)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {
        "question": question.name,
        "limit_seconds": question.limit_seconds,
        "seconds": round(min(walls), 4),
        "median_seconds": round(statistics.median(walls), 4),
        "cpu_seconds": round(min(cpus), 4),
        "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 3),
    }


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "duckdb": duckdb.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }


def main() -> None:
    """Generate, ask each question in a process of its own, write bench/results/catalog.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--question", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.question is not None:
        print(json.dumps(ask(args.folder, args.question, args.repeats)))
        return
    folder = args.folder or Path(tempfile.mkdtemp(prefix="catalog-bench-"))
    facts = machine()
    if not (folder / ".provenance").exists():
        start = time.perf_counter()
        generate(folder, args.documents)
        facts["generated_seconds"] = round(time.perf_counter() - start, 1)
    catalog = Catalog.open(folder)
    answers = []
    for number in range(len(questions(catalog))):
        # A process of its own: its peak memory is the question's own, and nothing is warm but the disk cache.
        done = subprocess.run(
            [sys.executable, __file__, f"--folder={folder}", f"--question={number}", f"--repeats={args.repeats}"],
            check=True,
            capture_output=True,
            text=True,
        )
        answers.append(json.loads(done.stdout))
        print(f"{answers[-1]['question']:46s} {answers[-1]['seconds']:8.3f} s  cpu {answers[-1]['cpu_seconds']:7.3f}  "
              f"limit {answers[-1]['limit_seconds']:6.2f}  {answers[-1]['peak_rss_gb']:.2f} GB", flush=True,
        )  # fmt: skip
    with catalog.read() as con:
        counts = con.execute(
            "SELECT (SELECT count(*) FROM document), (SELECT count(*) FROM corpus), (SELECT count(*) FROM mix), "
            "(SELECT count(*) FROM mix_document), (SELECT count(*) FROM document_edge), "
            "(SELECT count(*) FROM lineage_edge)"
        ).fetchall()[0]
    names = ("documents", "corpora", "mixes", "mix_documents", "document_edges", "other_edges")
    result = {
        "machine": facts,
        "catalog": {
            **dict(zip(names, counts, strict=True)),
            "file_gb": round(catalog.database.stat().st_size / 1e9, 2),
        },
        "answers": answers,
        "within_limits": all(a["seconds"] <= a["limit_seconds"] for a in answers),
        "peak_rss_gb": max(a["peak_rss_gb"] for a in answers),
    }
    out = Path(__file__).parent / "results" / "catalog.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    if not args.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

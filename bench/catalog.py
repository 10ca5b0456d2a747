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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from provenance.catalog.store import Catalog

RUNS, GENERATIONS = 4, 10
ACTIVITY = "00000000-0000-4000-8000-000000000001"


def generate(root: Path, documents: int) -> Catalog:
    """Write the catalog. Every value follows from its row number, so two runs give the same rows."""
    catalog = Catalog.init(root)
    con = duckdb.connect(str(catalog.database), config={"threads": 2, "memory_limit": "3GB"})
    con.execute("SET preserve_insertion_order = false")
    con.execute(
        "INSERT INTO activity VALUES (?, 'generate', '{}', 'bench', 'bench', 1, now(), now(), 'done', '[]', '[]', NULL)",
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
    """Every outside text rewrites a human one, a third of those again, and one document in twenty has a near-duplicate."""
    n = 15 * (documents // 100) // 3
    human = 55 * (documents // 100) // 20
    for c in range(3):
        con.execute(
            """
            INSERT INTO lineage_edge SELECT
                'doc:' || md5('outside-' || $c || i)::UUID,
                CASE WHEN i % 3 = 0 AND i > 0 THEN 'doc:' || md5('outside-' || $c || (i // 3))::UUID
                    ELSE 'doc:' || md5('human-' || lpad((i % 20)::VARCHAR, 2, '0') || (i % $human))::UUID END,
                'derived_from', $activity, now() FROM range($n) t(i)
            """,
            {"c": c, "n": n, "human": human, "activity": ACTIVITY},
        )
    con.execute(
        """
        INSERT INTO lineage_edge SELECT 'doc:' || md5('web-0' || i)::UUID, 'doc:' || md5('human-00' || i)::UUID,
            'near_duplicate_of', ?, now() FROM range(?) t(i)
        """,
        [ACTIVITY, min(documents // 20, 10 * (documents // 100) // 4, human)],
    )


def _mixes(con: duckdb.DuckDBPyConnection, documents: int) -> None:
    """Generation g of a run trains on nine parts of what generation g - 1 wrote and one part human text."""
    size = documents // 100
    for run in range(RUNS):
        for g in range(GENERATIONS):
            name = f"run{run}-g{g:02d}"
            recent = "human-01" if g == 0 else f"run{run}-gen{g - 1:02d}"
            con.execute(
                """
                INSERT INTO mix_document
                SELECT $name, 1, row_number() OVER () - 1, doc_id, 1.0, share FROM (
                    (SELECT doc_id, 0 AS share FROM document JOIN corpus USING (corpus_id)
                     WHERE corpus = $recent LIMIT $many)
                    UNION ALL
                    (SELECT doc_id, 1 FROM document JOIN corpus USING (corpus_id) WHERE corpus = 'human-02' LIMIT $few))
                """,
                {"name": name, "recent": recent, "many": size * 9 // 10, "few": size // 10},
            )
            con.execute(
                "INSERT INTO mix BY NAME SELECT ? AS mix, 1 AS version, '{}' AS policy, 1 AS seed, '' AS lock_sha256, "
                "(SELECT count(*) FROM mix_document WHERE mix = ?) AS documents, 0 AS tokens, '[]' AS realised, "
                "? AS activity_id",
                [name, name, ACTIVITY],
            )
            con.execute(
                "INSERT INTO lineage_edge VALUES (?, ?, 'trained_on', ?, now())",
                [f"model:run{run}/g{g:02d}", f"mix:{name}@1", ACTIVITY],
            )
    con.execute(
        """
        INSERT INTO mix_part
        SELECT m.mix, m.version, d.corpus_id, d.declared_generator, count(*), sum(m.weight)
        FROM mix_document m JOIN document d USING (doc_id) GROUP BY ALL
        """
    )
    con.execute(
        """
        INSERT INTO lineage_edge SELECT 'mix:' || mix || '@1', 'corpus:' || corpus || '@1', 'derived_from', ?, now()
        FROM mix_part JOIN corpus USING (corpus_id) GROUP BY ALL
        """,
        [ACTIVITY],
    )


def main() -> None:
    """Generate, ask, write bench/results/catalog.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="catalog-bench-"))
    start = time.perf_counter()
    catalog = generate(folder, args.documents)
    print(f"generated in {time.perf_counter() - start:.0f} s, {catalog.database.stat().st_size / 1e9:.2f} GB")


if __name__ == "__main__":
    main()

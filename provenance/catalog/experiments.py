"""Experiments in the catalog: rows for plans, runs, generations, models and metrics. Knows no world and no loop."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from provenance.catalog.connect import lossless_arrow
from provenance.errors import NotFoundError
from provenance.png import encode

if TYPE_CHECKING:
    import duckdb

    from provenance.catalog.store import Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRow:
    """One generation of one run."""

    run_id: str
    generation: int
    model_id: str | None
    kind: str
    depth: int
    """Model generations between this model and human text, at the least."""
    trained_on: Mapping[str, int]
    """Documents or samples per node: `corpus:NAME@VERSION`, or the cohort's source."""
    samples: int
    seconds: float
    training_sha256: str
    samples_sha256: str
    model_sha256: str
    realised: Sequence[Mapping[str, int]]
    picture: NDArray[np.uint8] | None = None
    """What an image model made, as one grey image (height, width)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One number of one generation."""

    metric: str
    subgroup: str
    value: float | None
    low: float | None
    high: float | None
    stderr: float | None
    expected: float | None
    higher_is_better: bool | None
    unit: str


def begin_experiment(
    con: "duckdb.DuckDBPyConnection", name: str, world: str, config: Mapping[str, Any], fingerprint: str, activity: UUID
) -> None:
    """Insert the plan, or put a grown one (more seeds, generations, policies) in the place of an older."""
    con.execute(
        "INSERT INTO experiment VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET config = excluded.config, activity_id = excluded.activity_id",
        [name, world, _json(config), fingerprint, datetime.now(UTC), activity],
    )


def begin_run(
    con: "duckdb.DuckDBPyConnection",
    run_id: str,
    *,
    experiment: str,
    policy: str,
    policy_json: Mapping[str, Any],
    seed: int,
    device: str,
) -> None:
    """Insert a run unless it is there."""
    con.execute(
        "INSERT OR IGNORE INTO experiment_run VALUES (?, ?, ?, ?, ?, 'running', ?, NULL, ?)",
        [run_id, experiment, policy, _json(policy_json), seed, datetime.now(UTC), device],
    )


def end_run(con: "duckdb.DuckDBPyConnection", run_id: str) -> None:
    """Mark a run as done, once."""
    con.execute(
        "UPDATE experiment_run SET status = 'done', ended_at = ? WHERE run_id = ? AND status <> 'done'",
        [datetime.now(UTC), run_id],
    )


def recorded_generations(catalog: "Catalog", run_id: str) -> dict[int, str | None]:
    """Generations of a run that are in the catalog, and the corpus each one wrote."""
    with catalog.read() as con:
        rows = con.execute(
            "SELECT generation, sampled_corpus FROM generation_row WHERE run_id = ?", [run_id]
        ).fetchall()
    return dict(rows)


def model_corpus(catalog: "Catalog", model_id: str) -> str | None:
    """The corpus a recorded model wrote, if any: how a shared generation 0 is found again."""
    with catalog.read() as con:
        rows = con.execute(
            "SELECT sampled_corpus FROM generation_row WHERE model_id = ? AND sampled_corpus IS NOT NULL LIMIT 1",
            [model_id],
        ).fetchall()
    return rows[0][0] if rows else None


def model_prefix(catalog: "Catalog", experiment: str) -> str:
    """What its models' ids begin with: its name, or another where a removed experiment of that name left models."""
    with catalog.read() as con:
        own = con.execute(
            "SELECT model_id FROM generation_row JOIN experiment_run USING (run_id) "
            "WHERE experiment = ? AND model_id IS NOT NULL LIMIT 1",
            [experiment],
        ).fetchone()
        if own:
            return str(own[0]).rsplit("/", 2)[0]
        taken = {row[0] for row in con.execute("SELECT DISTINCT split_part(model_id, '/', 1) FROM model").fetchall()}
        taken |= {row[0] for row in con.execute("SELECT experiment FROM experiment").fetchall()} - {experiment}
    names = (experiment if n == 1 else f"{experiment}.again{n}" for n in count(1))
    return next(name for name in names if name not in taken)


def insert_generation(
    con: "duckdb.DuckDBPyConnection", row: GenerationRow, metrics: Sequence[MetricRow], *, sampled_corpus: str | None
) -> None:
    """Insert one generation with its model and its numbers. Part of the caller's transaction."""
    if row.model_id is not None:
        con.execute(
            "INSERT OR IGNORE INTO model VALUES (?, ?, NULL, ?, ?, ?, ?)",
            [row.model_id, row.kind, row.model_sha256, _json(row.trained_on), row.depth, row.run_id],
        )
    con.execute(
        "INSERT INTO generation_row VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            row.run_id, row.generation, row.model_id, _json(row.trained_on), sampled_corpus, row.samples, row.seconds,
            row.training_sha256, row.samples_sha256, row.model_sha256, _json(row.realised),
        ],
    )  # fmt: skip
    if row.picture is not None:
        height, width = row.picture.shape
        con.execute(
            "INSERT INTO picture VALUES (?, ?, ?, ?, ?)",
            [row.run_id, row.generation, width, height, encode(row.picture)],
        )
    if metrics:
        # One statement: executemany costs more than the rest of the transaction.
        places = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"] * len(metrics))
        con.execute(
            f"INSERT INTO metric_row VALUES {places}",  # noqa: S608
            [
                value
                for m in metrics
                for value in (
                    row.run_id, row.generation, m.metric, m.subgroup, m.value, m.low, m.high, m.stderr, m.expected,
                    m.higher_is_better, m.unit,
                )
            ],
        )  # fmt: skip


def experiment_config(catalog: "Catalog", name: str) -> dict[str, Any]:
    """The plan an experiment was started with. Raises NotFoundError with a suggestion."""
    with catalog.read() as con:
        rows = con.execute("SELECT config FROM experiment WHERE experiment = ?", [name]).fetchall()
        known = [row[0] for row in con.execute("SELECT experiment FROM experiment").fetchall()]
    if not rows:
        raise NotFoundError.of("experiment", name, known)
    config: dict[str, Any] = orjson.loads(rows[0][0])
    return config


LIST_COLUMNS = ["experiment", "world", "runs", "done", "generations", "seconds", "created_at"]


def list_experiments(catalog: "Catalog") -> list[tuple[Any, ...]]:
    """One row per experiment: runs, runs done, generations recorded, seconds spent."""
    with catalog.read() as con:
        return con.execute(
            """
            SELECT e.experiment, e.world,
                (SELECT count(*) FROM experiment_run r WHERE r.experiment = e.experiment),
                (SELECT count(*) FROM experiment_run r WHERE r.experiment = e.experiment AND r.status = 'done'),
                count(g.generation), coalesce(sum(g.seconds), 0), e.created_at
            FROM experiment e
            LEFT JOIN experiment_run r ON r.experiment = e.experiment
            LEFT JOIN generation_row g ON g.run_id = r.run_id
            GROUP BY e.experiment, e.world, e.created_at ORDER BY e.created_at
            """
        ).fetchall()


def members(catalog: "Catalog", name: str) -> list[str]:
    """The experiment called `name`, or those its sweep made. Raises NotFoundError with a suggestion."""
    with catalog.read() as con:
        rows = con.execute("SELECT experiment, config ->> 'family' FROM experiment ORDER BY created_at").fetchall()
    found = [row[0] for row in rows if name in row]
    if not found:
        raise NotFoundError.of("experiment", name, {value for row in rows for value in row if value})
    return found


def experiment_sha256(con: "duckdb.DuckDBPyConnection", name: str) -> str:
    """One hash over everything an experiment has in the catalog: its plan, runs, generations, models and numbers."""
    runs = "(SELECT run_id FROM experiment_run WHERE experiment = $name)"
    rows = con.execute(
        f"""
        SELECT to_json([experiment, world, fingerprint])::VARCHAR FROM experiment WHERE experiment = $name
        UNION ALL SELECT to_json(r)::VARCHAR FROM experiment_run r WHERE experiment = $name
        UNION ALL SELECT to_json(g)::VARCHAR FROM generation_row g WHERE run_id IN {runs}
        UNION ALL SELECT to_json(m)::VARCHAR FROM model m WHERE run_id IN {runs}
        UNION ALL SELECT to_json(v)::VARCHAR FROM metric_row v WHERE run_id IN {runs}
        UNION ALL SELECT to_json([run_id, generation::VARCHAR, sha256(png)])::VARCHAR FROM picture
            WHERE run_id IN {runs}
        ORDER BY 1
        """,  # noqa: S608
        {"name": name},
    ).fetchall()
    digest = hashlib.sha256()
    for (row,) in rows:
        digest.update(row.encode() + b"\n")
    return digest.hexdigest()


def remove_experiment(con: "duckdb.DuckDBPyConnection", name: str) -> None:
    """Forget an experiment's plan, runs and numbers. Its corpora and models are history and stay."""
    runs = "SELECT run_id FROM experiment_run WHERE experiment = ?"
    con.execute(f"DELETE FROM metric_row WHERE run_id IN ({runs})", [name])  # noqa: S608
    con.execute(f"DELETE FROM picture WHERE run_id IN ({runs})", [name])  # noqa: S608
    con.execute(f"DELETE FROM generation_row WHERE run_id IN ({runs})", [name])  # noqa: S608
    con.execute("DELETE FROM experiment_run WHERE experiment = ?", [name])
    con.execute("DELETE FROM experiment WHERE experiment = ?", [name])


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def real_rows(catalog: "Catalog", *, corpus_id: int | None = None, mix: tuple[str, int] | None = None) -> pa.Table:
    """What is known of a corpus's documents in doc_id order, or of a mix's in its own: what `[real] where` may use.

    `split_key` is equal for texts that a held-out split must not tear apart: near-duplicates, else equal texts.
    """
    chosen = (
        "SELECT doc_id, row_number() OVER (ORDER BY doc_id) AS place FROM document WHERE corpus_id = ?"
        if corpus_id is not None
        else "SELECT doc_id, position AS place FROM mix_document WHERE mix = ? AND version = ?"
    )
    with catalog.read() as con, lossless_arrow(con):
        con.execute("SET python_enable_replacements = false")
        return con.sql(
            f"""
            WITH cluster AS (SELECT doc_id, min(cluster_id) AS cluster_id FROM near_duplicate GROUP BY doc_id)
            SELECT d.doc_id, d.key, d.source, d.subgroup, d.language, d.created_at, d.n_chars, d.n_words,
                d.declared_origin, coalesce(t.origin, d.declared_origin, 'unknown') AS origin, t.p_model,
                coalesce(t.basis, 'none') AS basis,
                coalesce(d.generation, CASE WHEN coalesce(t.origin, d.declared_origin) = 'model' THEN 1 ELSE 0 END)
                    AS generation,
                coalesce(d.human_ancestry,
                    CASE WHEN coalesce(t.origin, d.declared_origin) = 'model' THEN 0.0 ELSE 1.0 END) AS human_ancestry,
                coalesce(sha256(cluster_id::VARCHAR), lower(hex(d.text_sha256))) AS split_key
            FROM ({chosen}) m
            JOIN document d USING (doc_id)
            LEFT JOIN tag_current t USING (doc_id)
            LEFT JOIN cluster USING (doc_id)
            QUALIFY row_number() OVER (PARTITION BY m.place ORDER BY d.corpus_id DESC) = 1
            ORDER BY m.place
            """,  # noqa: S608
            params=[corpus_id] if corpus_id is not None else list(mix or ()),
        ).to_arrow_table()

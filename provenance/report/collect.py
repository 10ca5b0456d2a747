"""The numbers of a report, each with the SQL that gave it. Knows the public views; nothing of HTML.

Everything here is asked through the same read-only door a user has, so every chart can be asked again.
"""

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

import provenance
from provenance.catalog.figures import figure_of
from provenance.catalog.query import run_query
from provenance.errors import NotFoundError
from provenance.report.parts import (
    Chart,
    Experiment,
    PublishedPoint,
    Report,
    SamplePicture,
    SampleText,
    Series,
    Table,
)
from provenance.report.phase import phase_of
from provenance.report.subgroups import subgroup_charts

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog

PICTURES = 6
"""Generations whose pictures are shown."""
SAMPLE_CHARS = 420

# An experiment writes a corpus a generation: one line for all of them, or nobody would find their own.
_WRITTEN = """with written as (
    select distinct split_part(sampled_corpus, '@', 1) as corpus, 'experiment ' || experiment as experiment
    from generations join runs using (run_id) where sampled_corpus is not null)
"""

CORPORA_SQL = f"""{_WRITTEN}select corpus || '@' || version as corpus, documents, bytes,
    declared_origin as declared, license, held_out
from corpora anti join written using (corpus) order by all"""  # noqa: S608

ORIGIN_SQL = f"""{_WRITTEN}select coalesce(experiment, corpus) as corpus, origin, generation, count(*) as documents
from documents left join written using (corpus) group by all order by all"""  # noqa: S608

BASIS_SQL = f"""{_WRITTEN}select coalesce(experiment, corpus) as corpus, origin, basis, count(*) as documents,
    round(avg(p_model), 3) as mean_p_model
from tags left join written using (corpus) group by all order by all"""  # noqa: S608

CONFLICT_SQL = """select corpus, count(*) as documents,
    round(100.0 * count(*) / any_value(of), 1) as percent_of_corpus, any_value(declared_by) as declared_by
from conflicts join (select corpus, count(*) as of from documents group by corpus)
using (corpus) group by corpus order by documents desc"""

CONFLICT_SAMPLE_SQL = """select corpus, key, round(p_model, 3) as p_model, left(text, 300) as text
from conflicts join texts using (doc_id) order by p_model desc, key limit 6"""

MIX_SQL = """select mix, version, documents, tokens, seed, lock_sha256 from mixes order by mix, version"""

METRIC_SQL = """select policy, generation, avg(value) as mean, min(coalesce(low, value)) as low,
    max(coalesce(high, value)) as high, avg(expected) as expected, count(*) as seeds
from metrics join runs using (run_id)
where experiment = $experiment and metric = $metric and subgroup = ''
group by all having count(value) = count(*) order by policy, generation"""

FINAL_SQL = """select policy, metric, generation,
    round(avg(value), 4) as mean, round(min(value), 4) as low, round(max(value), 4) as high, count(*) as seeds
from metrics join runs using (run_id)
where experiment = $experiment and subgroup = ''
    and generation = (select max(generation) from metrics join runs using (run_id) where experiment = $experiment)
group by all having count(value) = count(*) order by metric, policy"""

FIGURE_SQL = """select experiment, policy, generation, avg(value) as mean, avg(expected) as expected
from metrics join runs using (run_id) join experiments using (experiment)
where coalesce(experiments.config->>'family', experiment) = $family and metric = $metric and subgroup = ''
group by all order by all"""

PICTURE_SQL = """select policy, generation, width, png from pictures join runs using (run_id)
where experiment = $experiment and seed = (select min(seed) from runs where experiment = $experiment)
order by policy, generation"""

SAMPLE_SQL = """select r.policy, r.seed, g.generation, g.sampled_corpus
from generations g join runs r using (run_id)
where r.experiment = $experiment and g.sampled_corpus is not null
    and r.seed = (select min(seed) from runs where experiment = $experiment)
order by r.policy, g.generation"""


def collect(
    catalog: "Catalog", *, experiments: Sequence[str] | None = None, title: str = "Provenance report"
) -> Report:
    """Gather every number of the report. Raises NotFoundError for an unknown experiment or sweep."""
    known = run_query(
        catalog,
        "select experiment, config->>'family', len(json_keys(config->'point')) > 0, config "
        "from experiments order by created_at",
    ).rows
    for name in experiments or []:
        if not any(name in row[:2] for row in known):
            raise NotFoundError.of("experiment", name, {value for row in known for value in row[:2] if value})
    asked = set(experiments or ())
    chosen = [row for row in known if not asked or row[0] in asked or row[1] in asked]
    families = {family or experiment: orjson.loads(config) for experiment, family, _, config in reversed(chosen)}
    families = dict(reversed(families.items()))
    tables = [
        _table(
            catalog,
            "Corpora",
            "What was added, and what its source declares; without those that experiments wrote.",
            CORPORA_SQL,
        ),
        _table(
            catalog, "Documents by origin", "Generation counts the models between a text and human text.", ORIGIN_SQL
        ),
        _table(
            catalog,
            "Tags by basis",
            "Recorded, attested, reviewed and declared are never overwritten by inferred.",
            BASIS_SQL,
        ),
        _table(
            catalog,
            "Declared human, more likely a model's by the evidence",
            "Documents whose source says human while evidence says model.",
            CONFLICT_SQL,
        ),
        _table(
            catalog,
            "The strongest conflicts",
            "Read them: a detector's word is a reason to look, not a verdict.",
            CONFLICT_SAMPLE_SQL,
        ),
        _table(catalog, "Mixes", "Each can be rebuilt byte for byte from its lock.", MIX_SQL),
    ]
    return Report(
        title=title,
        made_at=datetime.now(UTC),
        version=provenance.__version__,
        tables=[table for table in tables if table.rows],
        # A sweep makes many small experiments; its figure shows them all.
        experiments=[_experiment(catalog, name) for name, _, swept, _ in chosen if not swept or name in asked],
        figures=[chart for family in families if (chart := _figure(catalog, family)) is not None],
        phases=[
            phase for family, config in families.items() if (phase := phase_of(catalog, family, config)) is not None
        ],
    )


def _table(catalog: "Catalog", title: str, note: str, sql: str, **params: str) -> Table:
    result = run_query(catalog, sql, params)
    return Table(title=title, note=note, columns=result.columns, rows=result.rows, sql=_bound(sql, params))


def _bound(sql: str, params: dict[str, str]) -> str:
    """The query with its parameters written in, as a reader would type it."""
    for name, value in params.items():
        sql = sql.replace(f"${name}", "'" + value.replace("'", "''") + "'")
    return sql


def _experiment(catalog: "Catalog", name: str) -> Experiment:
    runs = run_query(
        catalog,
        "select world, policy, seed, device from runs where experiment = $experiment order by policy, seed",
        {"experiment": name},
    ).rows
    if not runs:
        world = run_query(catalog, "select world from experiments where experiment = $e", {"e": name}).rows[0][0]
        runs = [(world, "", 0, "")]
    metrics = run_query(
        catalog,
        """select metric, any_value(unit), any_value(higher_is_better), max(generation), min(metric_order) from (
            select m.*, row_number() over () as metric_order from metrics m join runs using (run_id)
            where experiment = $experiment and subgroup = '')
        group by metric having count(distinct generation) > 1 order by 5""",
        {"experiment": name},
    ).rows
    return Experiment(
        name=name,
        world=runs[0][0],
        policies=sorted({row[1] for row in runs if row[1]}),
        seeds=len({row[2] for row in runs}),
        generations=max((row[3] for row in metrics), default=0),
        device=", ".join(sorted({row[3] for row in runs if row[3]})),
        charts=[_chart(catalog, name, metric, unit, better) for metric, unit, better, _, _ in metrics],
        subgroups=subgroup_charts(catalog, name),
        final=_table(
            catalog,
            "Last generation",
            "Mean over seeds, with the smallest and the largest.",
            FINAL_SQL,
            experiment=name,
        ),
        samples=_samples(catalog, name),
        pictures=_pictures(catalog, name),
    )


def _chart(catalog: "Catalog", experiment: str, metric: str, unit: str, higher_is_better: bool | None) -> Chart:
    params = {"experiment": experiment, "metric": metric}
    rows = run_query(catalog, METRIC_SQL, params).rows
    series = []
    for policy in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == policy]
        series.append(
            Series(
                name=policy,
                x=[float(row[1]) for row in mine],
                y=[row[2] for row in mine],
                low=[row[3] for row in mine],
                high=[row[4] for row in mine],
                expected=[row[5] for row in mine],
            )
        )
    seeds = max((row[6] for row in rows), default=0)
    better = {True: "higher is better", False: "lower is better", None: ""}[higher_is_better]
    band = f"band: smallest to largest of {seeds} seeds" if seeds > 1 else "one seed"
    return Chart(
        title=metric.replace("_", " "),
        x_label="generation",
        y_label=unit or metric.replace("_", " "),
        note="; ".join(part for part in (better, band) if part),
        series=series,
        sql=_bound(METRIC_SQL, params),
    )


def _figure(catalog: "Catalog", family: str) -> Chart | None:
    """The figure an experiment file describes; None where it describes none or nothing was measured."""
    found = figure_of(catalog, family)
    if found is None or not found["series"]:
        return None
    series = []
    for line in found["series"]:
        points = [p for p in line["points"] if isinstance(p["x"], int | float)]
        series.append(
            Series(
                name=line["name"],
                x=[float(p["x"]) for p in points],
                y=[p["y"] for p in points],
                low=[p["y"] if p["low"] is None else p["low"] for p in points],
                high=[p["y"] if p["high"] is None else p["high"] for p in points],
                expected=[p["expected"] for p in points],
            )
        )
    return Chart(
        title=f"{family}: {found['metric'].replace('_', ' ')}",
        x_label=found["x"],
        y_label=found["unit"] or found["metric"].replace("_", " "),
        note=found["description"],
        series=series,
        sql=_bound(FIGURE_SQL, {"family": family, "metric": found["metric"]}),
        log_x=found["log_x"],
        log_y=found["log_y"],
        published=[PublishedPoint(x=p["x"], y=p["y"], spread=p["spread"]) for p in found["published"]],
        source=found["source"],
    )


def _final(catalog: "Catalog", experiment: str) -> Table:
    """A row per metric, a column per policy: the mean over seeds, with the smallest and the largest in brackets."""
    long = _table(
        catalog, "Last generation", "Mean over seeds (smallest to largest).", FINAL_SQL, experiment=experiment
    )
    policies = sorted({row[0] for row in long.rows})
    cells = {(row[1], row[0]): row for row in long.rows}
    rows = []
    for metric in dict.fromkeys(row[1] for row in long.rows):
        row: list[str] = [metric.replace("_", " ")]
        for policy in policies:
            found = cells.get((metric, policy))
            row.append("" if found is None else f"{found[3]:.4g} ({found[4]:.4g} to {found[5]:.4g})")
        rows.append(tuple(row))
    return Table(title=long.title, note=long.note, columns=["metric", *policies], rows=rows, sql=long.sql)


def _pictures(catalog: "Catalog", experiment: str) -> dict[str, list[SamplePicture]]:
    """What each policy's models made, first seed: up to PICTURES generations, the first and the last among them."""
    rows = run_query(catalog, PICTURE_SQL, {"experiment": experiment}).rows
    found: dict[str, list[SamplePicture]] = {}
    for policy in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == policy]
        last = len(mine) - 1
        for i in sorted({round(k * last / max(PICTURES - 1, 1)) for k in range(PICTURES)}):
            _, generation, width, png = mine[i]
            found.setdefault(policy, []).append(
                SamplePicture(generation=generation, width=width, png_base64=b64encode(png).decode())
            )
    return found


def _samples(catalog: "Catalog", experiment: str) -> dict[str, list[SampleText]]:
    """The document with the smallest id of the first, a middle and the last generation of each policy's first seed."""
    rows = run_query(catalog, SAMPLE_SQL, {"experiment": experiment}).rows
    found: dict[str, list[SampleText]] = {}
    for policy in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == policy]
        picked = {0, len(mine) // 2, len(mine) - 1}
        for i in sorted(picked):
            corpus, _, version = mine[i][3].removeprefix("corpus:").partition("@")
            texts = run_query(
                catalog,
                "select doc_id, text from texts join all_documents using (doc_id) "
                "where corpus = $corpus and version = $version::INTEGER order by key limit 1",
                {"corpus": corpus, "version": version or "1"},
            ).rows
            for doc_id, text in texts:
                cut = text if len(text) <= SAMPLE_CHARS else text[:SAMPLE_CHARS].rsplit(" ", 1)[0] + " …"
                found.setdefault(policy, []).append(SampleText(generation=mine[i][2], text=cut, doc_id=str(doc_id)))
    return found

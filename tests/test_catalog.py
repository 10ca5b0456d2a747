"""The catalog: migrations, waiting for the lock, transactions, the ledger, and what the public SQL door refuses."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from provenance.cli import cli

from provenance.catalog import connect, mixes
from provenance.catalog.connect import connected
from provenance.catalog.corpora import get_corpus
from provenance.catalog.doctor import examine
from provenance.catalog.experiments import real_rows
from provenance.catalog.migrate import migrate, migrations, schema_version
from provenance.catalog.query import list_views, run_query
from provenance.catalog.store import Catalog
from provenance.catalog.verify import corpus_leaves
from provenance.corpus.ingest import add_corpus
from provenance.corpus.prepare import Fields
from provenance.errors import CatalogError, CatalogLockedError, NotFoundError, QueryError
from provenance.types import Origin

PUBLIC_VIEWS = {
    "corpora": "corpus version created_at documents bytes source_uri license declared_origin declared_generator "
    "content_root activity_id",
    "documents": "doc_id corpus version key source text_sha256 n_chars n_words created_at language subgroup "
    "declared_origin declared_generator meta generation generation_max human_ancestry",
    "texts": "doc_id text",
    "evidence": "doc_id kind name version score log_lr details activity_id at",
    "tags": "doc_id corpus key origin p_model basis rule activity_id at",
    "conflicts": "doc_id corpus key declared_origin origin p_model strongest_evidence",
    "near_duplicates": "doc_id other_id jaccard cluster_id kept reason",
    "lineage": "child parent relation activity_id at",
    "models": "model_id kind base weights_sha256 trained_on generation run_id",
    "mixes": "mix version policy seed lock_sha256 documents tokens realised activity_id",
    "mix_documents": "mix version position doc_id weight share",
    "experiments": "experiment",
    "runs": "experiment run_id policy seed world config status started_at ended_at device",
    "generations": "run_id generation model_id trained_on sampled_corpus samples seconds state",
    "metrics": "run_id generation metric subgroup value low high higher_is_better unit",
    "activities": "activity_id command params code_version host started_at ended_at status inputs outputs",
}


def test_the_public_views_have_the_columns_the_contract_promises(catalog: Catalog) -> None:
    have = {view.name: {name for name, _ in view.columns} for view in list_views(catalog)}
    missing = {v: sorted(set(columns.split()) - have.get(v, set())) for v, columns in PUBLIC_VIEWS.items()}
    assert {v: columns for v, columns in missing.items() if columns} == {}


def test_migrating_step_by_step_gives_the_schema_of_a_new_catalog(tmp_path: Path, catalog: Catalog) -> None:
    with connected(tmp_path / "old.duckdb", read_only=False) as con:
        for step in migrations():
            assert [s.version for s in migrate(con, up_to=step.version)] == [step.version]
        assert migrate(con) == []
        columns = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
        stepwise = con.execute(columns).fetchall()
    with catalog.read() as new:
        assert new.execute(columns).fetchall() == stepwise


def test_an_older_catalog_is_migrated_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / ".provenance").mkdir()
    with connected(tmp_path / ".provenance" / "catalog.duckdb", read_only=False) as con:
        migrate(con, up_to=1)
    with Catalog.open(tmp_path).read() as opened:
        assert schema_version(opened) == migrations()[-1].version


def test_a_catalog_from_a_newer_program_is_refused_unchanged(run: Callable[..., Result], catalog: Catalog) -> None:
    with connected(catalog.database, read_only=False) as con:
        con.execute("INSERT INTO schema_migration VALUES (9999, 'from the future')")
    before = catalog.database.read_bytes()
    result = run("status")
    assert result.exit_code == 3
    assert "schema version 9999" in result.stderr
    assert "hint: upgrade" in result.stderr
    assert catalog.database.read_bytes() == before


def test_a_damaged_catalog_file_is_one_error(run: Callable[..., Result], catalog: Catalog) -> None:
    catalog.database.write_bytes(b"not a database at all" * 500)
    result = run("status")
    assert result.exit_code == 3
    assert result.stderr.startswith("error: the catalog")


def test_a_catalog_is_found_from_a_folder_below_it(tmp_path: Path) -> None:
    made = Catalog.init(tmp_path)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert Catalog.find(below).root == made.root
    with pytest.raises(NotFoundError, match="no catalog"):
        Catalog.open(tmp_path / "elsewhere")


def test_a_failed_transaction_leaves_nothing(catalog: Catalog) -> None:
    def write_one_and_fail() -> None:
        with catalog.write() as con:
            con.execute("INSERT INTO lineage_edge VALUES ('a', 'b', 'derived_from', uuid(), now())")
            con.execute("INSERT INTO no_such_table VALUES (1)")

    with pytest.raises(CatalogError):
        write_one_and_fail()
    assert run_query(catalog, "select count(*) from lineage").rows == [(0,)]


HOLD = """
import sys, time
from provenance.catalog.connect import connected
with connected(__import__('pathlib').Path(sys.argv[1]), read_only=False):
    print('held', flush=True)
    time.sleep(float(sys.argv[2]))
"""


@contextmanager
def hold(catalog: Catalog, seconds: float) -> Iterator[int]:
    """Another process that keeps the catalog for a while; gives its pid."""
    command = [sys.executable, "-c", HOLD, str(catalog.database), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process.pid
        process.kill()


def test_a_second_process_waits_for_the_first(catalog: Catalog) -> None:
    with hold(catalog, 0.5), catalog.read() as con:
        assert con.execute("SELECT 1").fetchall() == [(1,)]


def test_a_process_that_waits_too_long_is_told_who_holds_the_catalog(catalog: Catalog) -> None:
    impatient = Catalog(catalog.root, wait_seconds=0.2)
    with hold(catalog, 30) as pid:
        with pytest.raises(CatalogLockedError, match=rf"process {pid}") as caught, impatient.read():
            pass
        assert "wait for that process" in caught.value.hint


def test_nothing_of_one_block_is_seen_in_the_next(catalog: Catalog) -> None:
    """Blocks share a running DuckDB, so what a block sets up must end with it."""
    with catalog.read() as con:
        con.execute("CREATE TEMP TABLE mine AS SELECT 1")
        con.execute("SET TimeZone = 'Asia/Tokyo'")
        con.execute("BEGIN")
    run_query(catalog, "select 1")  # locks its settings and shuts out the file system
    with catalog.write() as con:
        assert con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'mine'").fetchone() == (0,)
        assert con.execute("SELECT current_setting('TimeZone')").fetchone() == ("UTC",)
        con.execute("SET python_enable_replacements = false")
        assert con.execute("SELECT count(*) FROM glob(?)", [str(catalog.database)]).fetchone() == (1,)


def test_a_file_that_cannot_be_given_back_is_not_kept(catalog: Catalog) -> None:
    with catalog.read() as con:
        con.execute("USE memory")
        con.execute("DETACH catalog")  # what the end of the block is about to do
    with catalog.write() as con:
        con.execute("INSERT INTO lineage_edge VALUES ('a', 'b', 'derived_from', uuid(), now())")
    assert run_query(catalog, "select count(*) from lineage").rows == [(1,)]


def test_threads_of_one_process_take_turns(catalog: Catalog) -> None:
    def write(n: int) -> None:
        with catalog.write() as con:
            con.execute("INSERT INTO lineage_edge VALUES (?, 'p', 'derived_from', uuid(), now())", [f"c{n}"])
            time.sleep(0.01)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run_query(catalog, "select count(*) from lineage").rows == [(8,)]


def test_the_ledger_records_what_ran_and_how_it_ended(catalog: Catalog) -> None:
    with catalog.activity("good", {"n": 1}) as activity:
        activity.inputs.append("corpus:a@1")
        with activity.commit():
            activity.outputs.append("mix:m@1")
    with pytest.raises(ValueError, match="no luck"), catalog.activity("bad", {}):
        raise ValueError("no luck")
    rows = run_query(
        catalog,
        "select command, status, params->>'n', inputs::VARCHAR, outputs::VARCHAR, error, ended_at >= started_at, "
        "code_version <> '' from activities order by started_at",
    ).rows
    assert rows == [
        ("good", "done", "1", '["corpus:a@1"]', '["mix:m@1"]', None, True, True),
        ("bad", "failed", None, "[]", "[]", "ValueError: no luck", True, True),
    ]


@pytest.fixture
def filled(catalog: Catalog, write_jsonl: Any) -> Catalog:
    add_corpus(
        catalog,
        "c",
        [str(write_jsonl("a.jsonl", [{"text": "one"}, {"text": "two words"}]))],
        Fields(),
        origin=Origin.HUMAN,
    )
    return catalog


def test_parameters_are_bound_not_pasted(filled: Catalog) -> None:
    sql = "select count(*) from documents where corpus = $name"
    assert run_query(filled, sql, {"name": "c"}).rows == [(2,)]
    assert run_query(filled, sql, {"name": "' or true --"}).rows == [(0,)]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO lineage_edge VALUES ('a','b','c',uuid(),now())",
        "DELETE FROM document",
        "DROP VIEW documents",
        "CREATE TABLE x (i INTEGER)",
        "COPY documents TO 'out.csv'",
        "COPY (FROM documents) TO 'out.parquet'",
        "ATTACH 'other.db'",
        "INSTALL httpfs",
        "LOAD json",
        "SET threads = 1",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "EXPORT DATABASE 'folder'",
        "SELECT * FROM read_csv('{secret}')",
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM glob('/etc/*')",
        "WITH gone AS (DELETE FROM document RETURNING *) SELECT * FROM gone",
        "SELECT 1; SELECT 2",
        "",
        "SELECT FROM WHERE",
        "SELECT no_such_column FROM documents",
    ],
)
def test_sql_that_writes_or_reads_outside_the_catalog_is_refused(
    filled: Catalog, run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("password\nhunter2\n")
    monkeypatch.chdir(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    result = run("sql", sql.format(secret=secret))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "hunter2" not in result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert run_query(filled, "select count(*) from documents").rows == [(2,)]


def test_a_wrong_column_is_answered_with_the_right_ones(filled: Catalog) -> None:
    with pytest.raises(QueryError) as caught:
        run_query(filled, "select txt from texts")
    assert '"text"' in caught.value.hint


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "quiet", "table"])
def test_every_output_format_carries_the_rows(filled: Catalog, run: Callable[..., Result], form: str) -> None:
    out = run("sql", "select key, n_words from documents order by key", "--format", form).stdout
    if form == "json":
        assert json.loads(out) == {
            "schema": "provenance.sql/1",
            "columns": ["key", "n_words"],
            "rows": [{"key": "a.jsonl:1", "n_words": 1}, {"key": "a.jsonl:2", "n_words": 2}],
        }
    elif form == "ndjson":
        assert [json.loads(line)["n_words"] for line in out.splitlines()] == [1, 2]
    elif form == "csv":
        assert out == "key,n_words\na.jsonl:1,1\na.jsonl:2,2\n"
    elif form == "quiet":
        assert out == "a.jsonl:1\na.jsonl:2\n"
    else:
        assert "a.jsonl:2" in out


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "quiet", "table"])
def test_an_integer_of_any_size_is_printed_whole(filled: Catalog, run: Callable[..., Result], form: str) -> None:
    big = 2**64
    sql = f"select {big}::hugeint as n, [-{big}::hugeint] as l, {{'a': {big}::hugeint}} as s, "
    sql += f"map {{{big}::hugeint: 7}} as m"
    out = run("sql", sql, "--format", form).stdout
    if form in {"json", "ndjson"}:
        row = json.loads(out)["rows"][0] if form == "json" else json.loads(out)
        assert row == {"n": big, "l": [-big], "s": {"a": big}, "m": {str(big): 7}}
    elif form == "csv":
        assert out == f'n,l,s,m\n{big},[-{big}],"{{""a"":{big}}}","{{""{big}"":7}}"\n'
    else:
        assert str(big) in out


def test_init_makes_the_catalog_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "elsewhere" / "new"

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(cli, words, env={"PROVENANCE_CATALOG": str(root)})

    assert f"hint: run: PROVENANCE_CATALOG={root} provenance init" in invoke("status").stderr
    assert invoke("init").stdout == f"created catalog {root}\n"
    assert invoke("status").exit_code == 0
    assert invoke("init").stdout == f"catalog already at {root}\n"
    assert not (tmp_path / ".provenance").exists()
    assert invoke("init", "here").stdout == f"created catalog {tmp_path / 'here' / '.provenance'}\n"


def test_a_read_only_catalog_says_so_and_still_gives_reports_and_exports(
    filled: Catalog, run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach = connect._attach

    # Tests may run as root, who may write everything, so the answer of the system is put in.
    class Refusing:
        def execute(self, statement: str) -> None:
            raise duckdb.IOException('IO Error: Cannot open file "catalog.duckdb": Permission denied')

    def refuse_writers(engine: Any, path: Path, *, read_only: bool, wait_seconds: float) -> None:
        attach(engine if read_only else Refusing(), path, read_only=read_only, wait_seconds=wait_seconds)  # type: ignore[arg-type]

    monkeypatch.setattr(connect, "_attach", refuse_writers)
    refused = run("snapshot", "create", "now")
    assert refused.exit_code == 3
    assert "is read-only: IO Error" in refused.stderr
    assert "hint: what only reads still works" in refused.stderr
    written = run("report", "build", "-o", tmp_path / "report.html")
    assert written.exit_code == 0, written.output
    assert (tmp_path / "report.html").stat().st_size > 1000
    (name,) = {row[0] for row in run_query(filled, "select corpus from corpora limit 1").rows}
    assert run("corpus", "export", name, tmp_path / "out.parquet").exit_code == 0
    assert (tmp_path / "out.parquet").stat().st_size > 100
    monkeypatch.undo()
    assert "report build" not in run("log").stdout


def test_the_log_shortens_long_lists_for_people_alone(catalog: Catalog, run: Callable[..., Result]) -> None:
    names = [f"corpus:c{i}@1" for i in range(120)]
    with catalog.activity("experiment run", {}) as activity:
        activity.outputs.extend(names)
    assert "corpus:c0@1 corpus:c1@1 corpus:c2@1 and 117 more" in run("log").stdout
    (row,) = json.loads(run("log", "--json").stdout)["rows"]
    assert (row["inputs"], row["outputs"]) == ("", " ".join(names))


def test_columns_of_one_name_all_reach_json(filled: Catalog, run: Callable[..., Result]) -> None:
    found = json.loads(run("sql", "select 1 as a, 2 as a, 3 as a_1, 4 as a", "--json").stdout)
    assert found["rows"] == [{"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}]


def test_a_query_comes_from_standard_input(filled: Catalog, run: Callable[..., Result]) -> None:
    assert run("sql", "-", "--format", "csv", stdin="select count(*) as n from texts").stdout == "n\n2\n"


def test_status_of_an_empty_and_of_a_filled_catalog(
    catalog: Catalog, run: Callable[..., Result], write_jsonl: Any
) -> None:
    assert json.loads(run("status", "--json").stdout)["documents"] == 0
    add_corpus(catalog, "c", [str(write_jsonl("a.jsonl", [{"text": "one"}]))], Fields(), origin=Origin.HUMAN)
    assert json.loads(run("status", "--json").stdout)["documents_by_origin"] == {"human": 1}


def test_asking_for_ids_as_bytes_leaves_the_types_of_later_reads_alone(filled: Catalog) -> None:
    def types() -> list[pa.DataType]:
        with filled.read() as con:
            return con.sql("SELECT doc_id, meta FROM document LIMIT 1").to_arrow_table().schema.types

    before = types()
    info = get_corpus(filled, "c")
    ids = mixes.read_pool(filled, [info], ["meta"]).table["doc_id"]
    nothing = mixes.MixInfo(
        mix="m", version=1, policy={}, seed=0, lock_sha256="", documents=0, tokens=0, realised=[], pool=[]
    )
    asking: list[Callable[[], pa.Table]] = [
        lambda: mixes.read_pool(filled, [info], ["meta"]).table,
        lambda: mixes.locate(filled, [info], ids),
        lambda: mixes.mix_rows(filled, nothing),
        lambda: real_rows(filled, corpus_id=info.corpus_id),
        lambda: corpus_leaves(filled, info),
    ]
    for ask in asking:
        assert ask().schema.field("doc_id").type == pa.uuid()
        assert types() == before


def test_doctor_leaves_the_files_of_a_command_that_starts_meanwhile(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    (catalog.folder("staging", "left-behind") / "shard").touch()
    read = catalog.read
    with ExitStack() as running:

        @contextmanager
        def read_and_start() -> Iterator[Any]:
            with read() as con:
                yield con
            monkeypatch.undo()
            activity = running.enter_context(catalog.activity("corpus add", {}))
            staged.append(running.enter_context(catalog.staging(str(activity.activity_id))))

        staged: list[Path] = []
        monkeypatch.setattr(catalog, "read", read_and_start)
        found = examine(catalog, clean=True)
        assert found.leftovers == [catalog.root / "staging" / "left-behind"]
        assert not found.leftovers[0].exists()
        assert staged[0].is_dir()


def test_doctor_names_a_missing_shard(filled: Catalog, run: Callable[..., Result]) -> None:
    shard = next((filled.root / "corpora").rglob("*.parquet"))
    shard.unlink()
    assert json.loads(run("doctor", "--json").stdout)["missing"] == [str(shard)]
    result = run("doctor")
    assert result.exit_code == 1
    assert "missing" in result.stderr

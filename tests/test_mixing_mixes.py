"""Planning, locking, building and comparing mixes on real files, and what happens when the catalog drifts."""

import hashlib
import json
import random
import shutil
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rfc8785

from provenance import tables
from provenance.catalog.mixes import POOL_COLUMNS, get_mix
from provenance.catalog.store import Catalog
from provenance.catalog.tags import write_tags
from provenance.corpus.ingest import add_corpus
from provenance.corpus.prepare import Fields
from provenance.errors import CheckFailedError, ConfigError, DataError, NotFoundError, QueryError
from provenance.mixing.build import build_mix, find_drift
from provenance.mixing.compare import diff_mixes
from provenance.mixing.lock import ROW_LAYOUT, Lock, document_names, locked_rows, make_lock, parse_lock, read_lock
from provenance.mixing.plan import plan_mix
from provenance.mixing.policy import parse_policy
from provenance.types import Origin

HUMAN = [
    {"id": f"h{i:03d}", "text": f"human text {i} " * (1 + i % 5), "g": "ab"[i % 2], "date": f"20{10 + i % 10}"}
    for i in range(60)
]
MODEL = [{"id": f"m{i:03d}", "text": f"model text {i}", "who": f"v{i % 3}"} for i in range(60)]


def fill(catalog: Catalog, folder, human=HUMAN, model=MODEL, parts: int = 1) -> Catalog:
    """Two corpora, each in `parts` files."""
    for name, records, origin in (("h", human, Origin.HUMAN), ("m", model, Origin.MODEL)):
        paths = []
        for part in range(parts):
            path = folder / f"{name}-{part}.jsonl"
            path.write_text("".join(json.dumps(r) + "\n" for r in records[part::parts]))
            paths.append(str(path))
        fields = Fields(key="id", subgroup="g", date="date", generator="who")
        add_corpus(catalog, name, paths, fields, origin=origin)
    return catalog


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixes")
    fill(Catalog.init(folder), folder)
    return folder


@pytest.fixture
def catalog(template, tmp_path):
    shutil.copytree(template, tmp_path / "copy")
    return Catalog.open(tmp_path / "copy")


def policy(*shares, name="p", seed=7, **more):
    return parse_policy({"name": name, "seed": seed, "share": list(shares), **more}, "test")


HALF = policy(
    {"where": "origin = 'human'", "share": 0.5}, {"where": "origin = 'model'", "share": 0.5}, budget={"documents": 20}
)


def drawn(lock: Lock) -> list[str]:
    return sorted(name for line in lock.lines for group in line.groups for name in group.documents)


def test_a_plan_shows_requested_and_drawn_per_line_and_subgroup(catalog):
    plan = plan_mix(catalog, policy(
        {"where": "origin = 'human'", "share": 0.75, "by": "subgroup", "quotas": {"a": 0.2, "b": 0.8}},
        {"where": "origin = 'model'", "share": 0.25}, budget={"documents": 40},
    ))  # fmt: skip
    assert [(line.share, line.group, line.requested, line.drawn, line.by_subgroup) for line in plan.lines] == [
        (1, "a", 6, 6, {"a": 6}),
        (1, "b", 24, 24, {"b": 24}),
        (2, None, 10, 10, {}),
    ]
    assert plan.documents == 40
    with catalog.read() as con:
        assert con.execute("SELECT count(*) FROM mix").fetchall() == [(0,)]


def test_equal_parts_by_a_column_need_no_quotas(catalog):
    plan = plan_mix(
        catalog,
        policy({"where": "origin = 'model'", "share": 1.0, "by": "declared_generator"}, budget={"documents": 10}),
    )
    assert [(line.group, line.drawn) for line in plan.lines] == [("v0", 4), ("v1", 3), ("v2", 3)]
    plan = plan_mix(catalog, policy({"where": "origin = 'model'", "take": 10, "by": "declared_generator"}))
    assert [(line.group, line.drawn) for line in plan.lines] == [("v0", 4), ("v1", 3), ("v2", 3)]


def test_a_token_budget_counts_tokens_and_stays_within_a_document(catalog):
    plan = plan_mix(catalog, policy({"where": "origin = 'human'", "share": 1.0}, budget={"tokens": 300}))
    assert plan.unit == "tokens"
    assert 300 - 20 < plan.lines[0].drawn <= 300
    assert plan.tokens == plan.lines[0].drawn


def test_order_takes_from_the_top(catalog):
    plan = plan_mix(catalog, policy({"where": "corpus = 'h'", "take": 6, "order": "created_at desc"}))
    assert set(plan.pool["created_at"].take(plan.drawn.rows).cast("string").to_pylist()) == {
        "2019-01-01 00:00:00.000000"
    }


def test_epochs_repeat_documents_and_the_budget_counts_them(catalog):
    lock = make_lock(
        plan_mix(catalog, policy({"where": "corpus = 'h'", "share": 1.0, "epochs": 3}, budget={"documents": 30}))
    )
    rows = locked_rows(lock).table
    assert rows.num_rows == 30
    assert set(lock.lines[0].groups[0].repeats.values()) == {3}
    assert len(set(rows["doc_id"].to_pylist())) == 10


def test_upsampling_repeats_what_there_is(catalog):
    lock = make_lock(plan_mix(catalog, policy(
        {"where": "key = 'h000'", "share": 1.0}, budget={"documents": 5, "on_shortfall": "upsample"})))  # fmt: skip
    assert lock.lines[0].groups[0].repeats == {lock.lines[0].groups[0].documents[0]: 5}


def test_uses_counts_the_mixes_a_document_is_in(catalog):
    first = make_lock(plan_mix(catalog, HALF))
    build_mix(catalog, first)
    fresh = make_lock(plan_mix(catalog, policy({"where": "uses = 0", "take": "all"}, name="fresh")))
    assert set(drawn(first)).isdisjoint(drawn(fresh))
    assert len(drawn(fresh)) == 100


def test_weights_of_take_all_reach_the_lock(catalog):
    lock = make_lock(plan_mix(catalog, policy({"where": "corpus = 'h'", "take": "all", "weight": "1.0 / n_words"})))
    weights = lock.lines[0].groups[0].weights
    assert weights is not None
    assert sorted(set(weights)) == pytest.approx([1 / n for n in (15, 12, 9, 6, 3)])


def test_held_out_text_never_enters_a_mix(catalog, tmp_path):
    for name, records, held_out in (
        ("eval", [HUMAN[0], HUMAN[1]], True),
        ("more", [{"id": "x", "text": HUMAN[1]["text"]}], False),
    ):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in records))
        add_corpus(catalog, name, [str(path)], Fields(key="id"), origin=Origin.HUMAN, held_out=held_out)
    with catalog.read() as con:
        ids = dict(con.execute("SELECT corpus || key, doc_id FROM documents").fetchall())
    with catalog.activity("test", {}) as activity, activity.commit() as con:
        from provenance.catalog.lineage import add_edges
        from provenance.types import LineageEdge, Relation

        add_edges(
            con,
            [LineageEdge(child=f"doc:{ids['mm007']}", parent=f"doc:{ids['evalh000']}", relation=Relation.DERIVED_FROM)],
            activity_id=activity.activity_id, at=activity.started_at,
        )  # fmt: skip
        con.execute("INSERT INTO document_pair VALUES (?, ?, 0.9, 0.8, NULL)", sorted([ids["hh009"], ids["evalh001"]]))
    plan = plan_mix(catalog, policy({"take": "all"}))
    keys = set(plan.pool["key"].to_pylist()) if "key" in plan.pool.column_names else set()
    names = {str(doc) for doc in plan.pool["doc_id"].to_pylist()}
    reached = {ids[name] for name in ("hh000", "hh001", "hh009", "morex", "mm007", "evalh000", "evalh001")}
    assert names.isdisjoint(map(str, reached)), keys
    assert plan.documents == 60 + 60 + 1 - 5
    assert plan.held_out == {"derived": 1, "near-duplicate": 1, "same text": 3}
    with pytest.raises(ConfigError, match="corpus eval@1 is held out"):
        plan_mix(catalog, policy({"take": "all"}, **{"from": ["h", "eval"]}))


def test_a_plan_says_where_near_duplicates_of_held_out_text_were_never_looked_for(catalog, tmp_path, run_on):
    path = tmp_path / "eval.jsonl"
    path.write_text(json.dumps(HUMAN[0]) + "\n")
    add_corpus(catalog, "eval", [str(path)], Fields(key="id"), held_out=True)
    assert plan_mix(catalog, HALF).never_compared == {"eval": ["h", "m"]}
    (tmp_path / "p.toml").write_text('name = "p"\n[[share]]\ntake = "all"\n')
    said = "of held-out eval were not looked for in h, m; run: provenance corpus dedup h m --against eval"
    assert said in run_on(catalog, "mix", "plan", tmp_path / "p.toml").stderr
    assert run_on(catalog, "corpus", "dedup", "h", "--against", "eval").exit_code == 0
    assert plan_mix(catalog, HALF).never_compared == {"eval": ["m"]}


def test_a_lock_is_canonical_and_names_no_time_and_no_path(catalog, tmp_path):
    lock = make_lock(plan_mix(catalog, HALF))
    data = lock.canonical()
    assert data == rfc8785.dumps(json.loads(data))
    assert parse_lock(data, "x") == lock
    assert str(tmp_path).encode() not in data
    assert b"20:" not in data.replace(b'"', b"")
    assert all(group.documents == sorted(group.documents) for line in lock.lines for group in line.groups)


def test_the_same_mix_comes_out_of_another_catalog_byte_for_byte(catalog, tmp_path):
    """Other file order, other number of files, other order of adding, other number of workers."""
    lock = make_lock(plan_mix(catalog, HALF))
    shuffled = [random.Random(1).sample(records, len(records)) for records in (HUMAN, MODEL)]
    (tmp_path / "b").mkdir()
    other = fill(Catalog.init(tmp_path / "b"), tmp_path / "b", *shuffled, parts=3)
    assert make_lock(plan_mix(other, HALF)).canonical() == lock.canonical()
    written = [
        build_mix(place, lock, output=tmp_path / f"{i}.parquet", locked=True, workers=workers).written
        for i, (place, workers) in enumerate([(catalog, 1), (catalog, 4), (other, 2)])
    ]
    assert len({w.sha256 for w in written}) == 1
    assert (tmp_path / "0.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
    table = pq.read_table(tmp_path / "0.parquet")
    texts = {r["id"]: r["text"] for r in [*HUMAN, *MODEL]}
    assert [texts[key] for key in table["key"].to_pylist()] == table["text"].to_pylist()
    assert table["key"].to_pylist() != sorted(table["key"].to_pylist())
    assert get_mix(catalog, "p").documents == 20
    assert get_mix(catalog, "p").version == 1


def test_a_mix_in_slices_is_the_mix_in_one_piece(catalog, tmp_path, monkeypatch):
    lock = make_lock(plan_mix(catalog, policy({"take": "all"})))
    whole = build_mix(catalog, lock, output=tmp_path / "whole.jsonl").written
    monkeypatch.setattr("provenance.mixing.build.SLICE_BYTES", 700)
    assert build_mix(catalog, lock, output=tmp_path / "sliced.jsonl", workers=3).written.sha256 == whole.sha256


def test_another_seed_draws_others_in_another_order(catalog):
    one, two = (make_lock(plan_mix(catalog, HALF.model_copy(update={"seed": seed}))) for seed in (1, 2))
    assert drawn(one) != drawn(two)
    diff = diff_mixes(catalog, one, two)
    assert set(diff.by_reason()) == {
        ("entered", "matches, but others were drawn"),
        ("left", "matches, but others were drawn"),
    }
    assert diff.settings == ["seed: 1 and 2"]
    assert diff.common == len(set(drawn(one)) & set(drawn(two)))
    assert diff_mixes(catalog, one, one).changes == []


def test_a_diff_says_when_a_predicate_or_the_pool_is_why(catalog):
    short = policy({"where": "n_words < 7", "take": "all"}, **{"from": ["h"]})
    every = policy({"take": "all"})
    found = diff_mixes(catalog, *(make_lock(plan_mix(catalog, p)) for p in (every, short))).by_reason()
    assert found == {("left", "matches no share there"): 36, ("left", "not in that mix's pool"): 60}


@pytest.mark.parametrize("change", ["a byte", "a document"])
def test_a_lock_whose_corpus_changed_is_refused_and_says_what_drifted(catalog, tmp_path, change):
    lock = make_lock(plan_mix(catalog, HALF))
    in_mix = set(drawn(lock))
    with catalog.read() as con:
        key = next(
            k
            for k, d in con.execute("SELECT key, doc_id FROM documents WHERE corpus = 'h'").fetchall()
            if d.hex in in_mix
        )
    human = [r | {"text": r["text"] + "."} if r["id"] == key else r for r in HUMAN]
    if change == "a document":
        human = [r for r in HUMAN if r["id"] != key]
    (tmp_path / "b").mkdir()
    other = fill(Catalog.init(tmp_path / "b"), tmp_path / "b", human)
    with pytest.raises(CheckFailedError, match=r"corpus h: the lock has content root .*; documents: the lock has doc:"):
        build_mix(other, lock, output=tmp_path / "x.parquet", locked=True)
    assert not (tmp_path / "x.parquet").exists()
    again = build_mix(other, lock, output=tmp_path / "x.parquet")
    assert again.lock != lock
    assert [d.what for d in again.drift] == ["corpus h", "documents"]
    assert again.written.rows == 20


def retag(catalog, sql, origin):
    """Let a reviewer say of the documents that `sql` gives that they are of `origin`."""
    with catalog.read() as con:
        ids = [row[0].bytes for row in con.execute(f"SELECT doc_id FROM documents WHERE {sql}").fetchall()]
    n = len(ids)
    columns = {"origin": [origin] * n, "p_model": [None] * n, "basis": ["asserted"] * n, "rule": ["r"] * n}
    with catalog.activity("tag set", {}) as activity, activity.commit() as con:
        write_tags(con, pa.table({"doc_id": tables.uuids(ids), **columns}), activity)


def test_without_locked_a_mix_is_drawn_anew_when_tags_changed_and_with_it_the_locked_bytes_are_built(
    catalog, tmp_path, run_on
):
    lock = make_lock(plan_mix(catalog, HALF))
    path = tmp_path / "p.lock.json"
    path.write_bytes(lock.canonical())
    first = build_mix(catalog, lock, output=tmp_path / "first.parquet", locked=True)
    assert first.unfit == {}
    untouched = build_mix(catalog, lock)
    assert (untouched.lock, untouched.entered, untouched.left) == (lock, 0, 0)
    human = {name for group in lock.lines[0].groups for name in group.documents}
    lost = sorted(human)[:4]
    retag(catalog, f"replace(doc_id::VARCHAR, '-', '') IN {tuple(lost)}", "model")
    again = build_mix(catalog, lock, output=tmp_path / "again.parquet", locked=True)
    assert again.unfit == {"no longer match their share": 4}
    assert (again.lock, again.written.sha256) == (lock, first.written.sha256)
    dry = run_on(catalog, "mix", "build", path, "--dry-run").stderr
    said = run_on(catalog, "mix", "build", path, "--locked").stderr
    assert path.read_bytes() == lock.canonical()
    assert "4 of 20 documents no longer match their share" in said
    told = run_on(catalog, "mix", "build", path).stderr
    redrawn = read_lock(path)
    entered, left = set(drawn(redrawn)) - set(drawn(lock)), set(drawn(lock)) - set(drawn(redrawn))
    assert set(lost) <= left | {name for group in redrawn.lines[1].groups for name in group.documents}
    changed = f"{len(entered)} documents entered, {len(left)} left"
    assert f"drew anew and updated {path}: {changed}" in told.replace("\n", " ")
    assert f"would draw anew and update {path}: {changed}" in dry.replace("\n", " ")
    assert make_lock(plan_mix(catalog, HALF)) == redrawn


@pytest.mark.parametrize("locked", [False, True])
def test_the_names_in_a_lock_that_stays_as_it_is_are_gathered_once(catalog, monkeypatch, locked):
    from provenance.mixing import build

    asked = []
    monkeypatch.setattr(build, "document_names", lambda lock: asked.append(lock) or document_names(lock))
    twice = policy({"where": "corpus = 'h'", "share": 1.0, "epochs": 2}, budget={"documents": 20})
    built = build_mix(catalog, make_lock(plan_mix(catalog, twice)), locked=locked)
    assert (built.documents, built.named, built.entered, built.left) == (20, 10, 0, 0)
    assert len(asked) == 1


def test_a_mix_whose_policy_finds_nothing_any_more_is_built_with_locked_alone(catalog):
    lock = make_lock(plan_mix(catalog, HALF))
    retag(catalog, "true", "model")
    with pytest.raises(ConfigError, match="asks for 10 documents and only 0 match") as caught:
        build_mix(catalog, lock)
    assert "--locked" in caught.value.hint
    assert build_mix(catalog, lock, locked=True).unfit == {"no longer match their share": 10}


def test_a_corpus_that_was_added_and_is_not_drawn_from_leaves_the_lock_as_it_is(catalog, tmp_path):
    rule = policy({"where": "corpus = 'h'", "take": "all"})
    lock = make_lock(plan_mix(catalog, rule))
    (tmp_path / "more.jsonl").write_text('{"text": "more"}\n')
    add_corpus(catalog, "more", [str(tmp_path / "more.jsonl")], Fields())
    assert make_lock(plan_mix(catalog, rule)) != lock
    assert build_mix(catalog, lock).lock == lock


def test_locked_text_that_held_out_text_reaches_by_now_is_said(catalog, tmp_path):
    lock = make_lock(plan_mix(catalog, policy({"where": "corpus = 'h'", "take": "all"})))
    (tmp_path / "eval.jsonl").write_text(json.dumps({"text": HUMAN[0]["text"]}) + "\n")
    add_corpus(catalog, "eval", [str(tmp_path / "eval.jsonl")], Fields(), held_out=True)
    built = build_mix(catalog, lock, locked=True)
    assert (built.documents, built.unfit) == (60, {"are reached by held-out text": 1})


def test_a_missing_corpus_is_drift(catalog, tmp_path):
    lock = make_lock(plan_mix(catalog, HALF))
    (tmp_path / "b").mkdir()
    empty = Catalog.init(tmp_path / "b")
    assert [d.found for d in find_drift(empty, lock)[1]][:2] == ["no such corpus", "no such corpus"]


def test_another_parquet_writer_is_drift_for_parquet_alone(catalog, tmp_path):
    lock = make_lock(plan_mix(catalog, HALF)).model_copy(update={"writer": "parquet-cpp-arrow version 1.0.0"})
    with pytest.raises(CheckFailedError, match="the lock has parquet-cpp-arrow version 1"):
        build_mix(catalog, lock, output=tmp_path / "x.parquet", locked=True)
    assert build_mix(catalog, lock, output=tmp_path / "x.jsonl", locked=True).written.rows == 20


def test_rows_laid_out_otherwise_are_drift_wherever_texts_are_written(catalog, tmp_path, run_on):
    lock = make_lock(plan_mix(catalog, HALF))
    said = json.loads(lock.canonical())
    assert said.pop("layout") == ROW_LAYOUT
    path, rule = tmp_path / "old.lock.json", tmp_path / "p.toml"
    path.write_bytes(rfc8785.dumps(said))
    old = read_lock(path)
    assert old.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for name in ("x.jsonl", "x.parquet"):
        with pytest.raises(CheckFailedError, match=f"rows: the lock has layout 1, .* writes layout {ROW_LAYOUT}$"):
            build_mix(catalog, old, output=tmp_path / name, locked=True)
    assert build_mix(catalog, old, locked=True).lock == old
    recorded = build_mix(catalog, old)
    assert (recorded.lock, recorded.drift) == (old, [])
    assert build_mix(catalog, old, output=tmp_path / "x.jsonl").lock == lock
    rule.write_text(
        'name = "p"\nseed = 7\n[budget]\ndocuments = 20\n[[share]]\nwhere = "origin = \'human\'"\nshare = 0.5\n'
        "[[share]]\nwhere = \"origin = 'model'\"\nshare = 0.5\n"
    )
    checked = run_on(catalog, "mix", "lock", rule, "-o", path, "--check")
    assert checked.exit_code == 0
    assert old.sha256 in checked.stdout
    assert run_on(catalog, "mix", "lock", rule, "-o", path).exit_code == 0
    assert read_lock(path) == lock


def test_a_text_that_changed_on_disk_stops_the_build(catalog, tmp_path):
    lock = make_lock(plan_mix(catalog, policy({"where": "corpus = 'h'", "take": "all"})))
    path = next((catalog.root / "corpora" / "h").rglob("*.parquet"))
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, table.schema.field("text"), pa.array(["x"] * table.num_rows)), path)
    with pytest.raises(DataError, match="is not the one its hash was taken of"):
        build_mix(catalog, lock, output=tmp_path / "x.parquet", locked=True)
    assert list(tmp_path.glob("*x.parquet*")) == []


@pytest.mark.parametrize(
    ("share", "error", "message"),
    [
        ({"where": "nope = 1", "take": "all"}, QueryError, "unknown column 'nope'"),
        (
            {"where": "(SELECT true FROM read_csv('/etc/passwd'))", "take": "all"},
            QueryError,
            "more than one|reads|not a SQL",
        ),
        ({"where": "true; DELETE FROM pool", "take": "all"}, QueryError, "not a SQL expression|more than one"),
        ({"where": "random() < 0.5", "take": "all"}, QueryError, "changes from run to run"),
        ({"where": "origin = 'nobody'", "take": "all"}, ConfigError, "draws nothing"),
        ({"where": "true", "take": 1000}, ConfigError, "asks for 1000"),
        ({"where": "true", "take": "all", "by": "nope"}, ConfigError, "no column of the pool"),
        ({"where": "true", "take": "all", "by": "language"}, ConfigError, "no row it matches has a 'language'"),
    ],
)
def test_bad_shares_are_refused_before_anything_is_written(catalog, share, error, message):
    with pytest.raises(error, match=message):
        plan_mix(catalog, policy(share))


def test_the_hint_for_a_wrong_group_column_lists_every_column_that_would_do(catalog):
    with pytest.raises(ConfigError, match="by = 'nope' is no column") as caught:
        plan_mix(catalog, policy({"take": "all", "by": "nope"}))
    listed = caught.value.hint.removeprefix("columns: ").split(", ")
    assert listed == list(POOL_COLUMNS)
    assert plan_mix(catalog, policy({"take": "all", "by": "source"})).documents == 120


def test_a_shortfall_says_how_many_documents_held_out_text_took_away(catalog, tmp_path):
    (tmp_path / "eval.jsonl").write_text("".join(json.dumps({"text": r["text"]}) + "\n" for r in HUMAN[:5]))
    add_corpus(catalog, "eval", [str(tmp_path / "eval.jsonl")], Fields(), held_out=True)
    with pytest.raises(ConfigError) as caught:
        plan_mix(catalog, policy({"where": "corpus = 'h'", "take": 60}))
    assert caught.value.message.endswith(
        "asks for 60 documents and only 55 match; 5 documents of the pool are left out because held-out text "
        "reaches them"
    )


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"share": [{"take": "all", "quotas": {"a": 1.0}}]}, "'quotas' needs 'by'"),
        ({"share": [{"take": "all", "by": "g", "quotas": {"a": 0.4, "b": 0.5}}]}, "sum to 1"),
        ({"share": [{"take": "all", "epochs": 0}]}, "epochs"),
    ],
)
def test_bad_quotas_name_their_values(tables, message):
    with pytest.raises(ConfigError, match=message):
        parse_policy({"name": "p", **tables}, "test")


def test_an_empty_catalog_has_nothing_to_mix(tmp_path):
    (tmp_path / "b").mkdir()
    with pytest.raises(ConfigError, match="no corpora to draw from"):
        plan_mix(Catalog.init(tmp_path / "b"), HALF)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"{", DataError, "not JSON at byte"),
        (b"[]", DataError, "not a mix lock"),
        (b'{"schema":"provenance.mix-lock/1","extra":1}', ConfigError, "unknown key 'extra'|missing key"),
    ],
)
def test_a_file_that_is_no_lock_is_refused(tmp_path, data, error, message):
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(error, match=message):
        read_lock(tmp_path / "x.json")
    with pytest.raises(NotFoundError, match="no such file"):
        read_lock(tmp_path / "y.json")


def test_a_lock_that_lists_another_number_of_documents_is_refused(catalog):
    lock = make_lock(plan_mix(catalog, HALF)).model_copy(update={"documents": 21})
    with pytest.raises(DataError, match="says 21 documents and lists 20"):
        parse_lock(lock.canonical(), "x")


def test_a_share_has_its_number_in_the_policy_file_wherever_it_is_named(catalog, tmp_path, run_on):
    rule = policy(
        {"where": "origin = 'human'", "share": 0.5, "by": "subgroup"}, {"where": "origin = 'model'", "share": 0.5},
        budget={"documents": 20},
    )  # fmt: skip
    plan = plan_mix(catalog, rule)
    wanted = {(1, "a"): 5, (1, "b"): 5, (2, None): 10}
    assert {(line.share, line.group): line.drawn for line in plan.lines} == wanted
    built = build_mix(catalog, make_lock(plan), output=tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    assert Counter(zip(written["share"].to_pylist(), written["value"].to_pylist(), strict=True)) == wanted
    with catalog.read() as con:
        joined = con.execute(
            "SELECT d.share, d.value, any_value((r.said ->> 'drawn')::INTEGER), count(*) FROM mix_documents d "
            "JOIN (SELECT mix, version, unnest(realised::JSON[]) AS said FROM mixes) r ON r.mix = d.mix "
            "AND r.version = d.version AND (r.said ->> 'share')::INTEGER = d.share "
            "AND (r.said ->> 'group') IS NOT DISTINCT FROM d.value GROUP BY ALL"
        ).fetchall()
    assert {(share, value): (said, n) for share, value, said, n in joined} == {k: (n, n) for k, n in wanted.items()}
    shown = run_on(catalog, "mix", "show", built.mix.ref).stdout
    assert "line 1 (a): " in shown
    assert "line 1 (b): " in shown
    assert "line 2: " in shown
    more = rule.model_copy(update={"budget": rule.budget.model_copy(update={"documents": 130})})
    with pytest.raises(ConfigError, match=r"share 1 of .*'a'.* asks for 33 documents and only 30 match"):
        plan_mix(catalog, more)


def test_the_commands_plan_lock_build_list_show_and_compare(catalog, tmp_path, monkeypatch):
    from click.testing import CliRunner
    from provenance.cli import cli

    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.toml").write_text(
        'name = "p"\nseed = 7\n[budget]\ndocuments = 20\n[[share]]\nwhere = "origin = \'human\'"\nshare = 1.0\n'
    )

    def run(*words):
        return CliRunner(catch_exceptions=False).invoke(
            cli, [str(w) for w in words], env={"PROVENANCE_CATALOG": str(catalog.root), "COLUMNS": "200"}
        )

    assert json.loads(run("mix", "plan", "p.toml", "--json").stdout)["rows"][0]["drawn"] == 20
    assert run("mix", "lock", "p.toml", "--check").exit_code == 1
    assert "would write" in run("mix", "lock", "p.toml", "--dry-run").stdout
    assert not (tmp_path / "p.lock.json").exists()
    assert run("mix", "lock", "p.toml").exit_code == 0
    assert run("mix", "lock", "p.toml", "--check").exit_code == 0
    built = json.loads(run("mix", "build", "p.lock.json", "--locked", "-o", "out.parquet", "--json").stdout)
    assert built["mix"] == "p@1"
    assert built["sha256"] == hashlib.sha256((tmp_path / "out.parquet").read_bytes()).hexdigest()
    assert run("mix", "ls", "--format", "quiet").stdout == "p@1\n"
    assert "20 of 20 requested" in run("mix", "show", "p").stdout
    assert "the same documents" in run("mix", "diff", "p", "p.lock.json").stderr
    assert run("mix", "show", "q").exit_code == 2
    assert run("mix", "build", "p.lock.json", "-o", "out.xyz").exit_code == 2
    assert "left_out" not in run("mix", "plan", "p.toml").stdout

"""`verify` on a catalog that holds, and on many that were tampered with: each is found and named."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from uuid import UUID

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from provenance import tables
from provenance.catalog import chain
from provenance.catalog.doctor import examine
from provenance.catalog.evidence import add_calibration
from provenance.catalog.snapshots import create_snapshot
from provenance.catalog.store import Catalog
from provenance.catalog.tags import write_tags
from provenance.corpus.ingest import add_corpus
from provenance.corpus.prepare import Fields
from provenance.dedup.stage import dedup_corpora
from provenance.errors import CheckFailedError, DataError
from provenance.ids import document_id_bytes, sha256_text
from provenance.lineage import signing
from provenance.lineage.audit import KEYS, SIGNATURES, prove, sign_snapshot, verify
from provenance.lineage.imports import import_edges
from provenance.lineage.proof import InclusionProof, check_proof
from provenance.mixing.build import build_mix
from provenance.mixing.lock import make_lock
from provenance.mixing.plan import plan_mix
from provenance.mixing.policy import parse_policy
from provenance.recursion.config import experiments_of
from provenance.recursion.in_catalog import plan_experiment, run_in_catalog
from provenance.types import Origin

POLICY = {"name": "half", "seed": 3, "budget": {"documents": 4}, "share": [
    {"where": "origin = 'human'", "share": 0.5}, {"where": "origin = 'model'", "share": 0.5}]}  # fmt: skip

EXPERIMENT = {"name": "drift", "world": "categorical", "generations": 2, "policies": ["replace"],
    "budget": {"documents": 20}, "real": {"samples": 20}, "model": {"replicas": 2, "states": 3}}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory, run_on) -> Path:
    """A catalog with everything in it that `verify` looks at."""
    folder = tmp_path_factory.mktemp("whole")
    catalog = Catalog.init(folder)
    for name, origin, generator in (("h", Origin.HUMAN, None), ("m", Origin.MODEL, "gpt")):
        path = folder / f"{name}.jsonl"
        # A zero-width space: the row of evidence that it was stripped is evidence to tamper with.
        path.write_text("".join(json.dumps({"id": str(i), "text": f"{name}\u200b text {i}"}) + "\n" for i in range(8)))
        add_corpus(catalog, name, [str(path)], Fields(key="id"), origin=origin, generator=generator)
    with catalog.read() as con:
        human, model = (
            con.execute("SELECT list(doc_id ORDER BY key) FROM documents WHERE corpus = ?", [name]).fetchall()[0][0]
            for name in ("h", "m")
        )
    with catalog.activity("tag run", {}) as activity, activity.commit() as con:
        n = len(human)
        tags = pa.table({
            "doc_id": tables.uuids([doc.bytes for doc in human]), "origin": ["human"] * n, "p_model": [0.25] * n,
            "basis": ["inferred"] * n, "rule": ["r"] * n,
        })  # fmt: skip
        write_tags(con, tags, activity)
    edges = folder / "edges.csv"
    edges.write_text(
        f"child,parent,relation\ndoc:{model[0]},doc:{human[0]},derived_from\ncorpus:m@1,external:api,derived_from\n"
    )
    import_edges(catalog, edges)
    lock = make_lock(plan_mix(catalog, parse_policy(POLICY, "test")))
    build_mix(catalog, lock)
    create_snapshot(catalog, "s1")
    signing.make_key(folder / "key")
    sign_snapshot(catalog, "s1", folder / "key")
    words = "the miller carried his flour home through the rain and the wind"
    (folder / "twins.jsonl").write_text(
        "".join(json.dumps({"text": f"{words}{end}"}) + "\n" for end in ("", " slowly"))
    )
    add_corpus(catalog, "twins", [str(folder / "twins.jsonl")], Fields())
    assert dedup_corpora(catalog, ["twins"]).clusters == 1
    local = {"corpus": "m", "detector": "ngram", "detector_version": "1", "human_ref": "h@1",
             "human_scores": [0.25, 0.5], "labelled_ref": None, "fitted": "null"}  # fmt: skip
    with catalog.activity("tag calibrate", {}) as activity, activity.commit() as con:
        add_calibration(con, local, activity.activity_id)
    labels = [{"text": f"{label} {n} " * 40, "label": label} for label in ("human", "model") for n in range(2)]
    (folder / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labels))
    add_corpus(catalog, "labels", [str(folder / "labels.jsonl")], Fields(origin="label"))
    assert run_on(catalog, "detector", "train", "labels", "--detector", "registry").exit_code == 0
    plan = plan_experiment(catalog, experiments_of(EXPERIMENT, "test")[0])
    for _ in run_in_catalog(catalog, plan):
        pass
    return folder


@pytest.fixture
def catalog(whole, tmp_path) -> Catalog:
    shutil.copytree(whole, tmp_path / "copy")
    return Catalog.open(tmp_path / "copy")


def change(catalog: Catalog, sql: str) -> None:
    """Change the catalog behind the program's back."""
    con = duckdb.connect(str(catalog.database))
    con.execute(sql)
    con.close()


def shard(catalog: Catalog, corpus: str) -> Path:
    return next((catalog.root / "corpora" / corpus).rglob("*.parquet"))


def rewrite(path: Path, text: str) -> bytes:
    """Put another text in place of a shard's first; gives that document's id."""
    table = pq.read_table(path)
    texts = table["text"].to_pylist()
    texts[0] = text
    pq.write_table(table.set_column(1, table.schema.field("text"), pa.array(texts)), path, use_dictionary=False)
    return table["doc_id"][0].as_py().bytes


def test_an_untouched_catalog_holds_and_says_so(catalog, run_on):
    assert list(verify(catalog)) == []
    for ref in ("h", "corpus:m@1", "mix:half", "snapshot:s1"):
        assert list(verify(catalog, ref)) == []
    result = run_on(catalog, "verify")
    assert result.exit_code == 0
    assert "everything matches" in result.stderr
    assert json.loads(run_on(catalog, "verify", "--json").stdout)["rows"] == []


@pytest.mark.parametrize("ends_last", [0, 1])
def test_two_processes_that_share_an_experiment_leave_what_the_last_to_end_saw(catalog, ends_last):
    (shared,) = experiments_of({**EXPERIMENT, "name": "shared", "policies": ["replace", "accumulate"]}, "test")
    names = [run.name for run in plan_experiment(catalog, shared).runs]
    commands = [run_in_catalog(catalog, plan_experiment(catalog, shared, only=[name])) for name in names[:2]]
    for one in commands:
        next(one)
    for one in (commands[1 - ends_last], commands[ends_last]):
        assert len(list(one)) == 2
    assert list(verify(catalog)) == []
    change(catalog, "UPDATE experiment_run SET seed = 7 WHERE experiment = 'shared'")
    assert [(found.check, found.where) for found in verify(catalog)] == [("experiment", "exp:shared")]


def test_an_experiment_that_was_killed_and_resumed_is_still_checked_after_doctor(catalog):
    with catalog.write() as con:
        # As a killed process leaves its row; its number cannot be that of any process.
        con.execute(
            "INSERT INTO activity SELECT * REPLACE (uuid() AS activity_id, 'running' AS status, 2147483647 AS pid, "
            "started_at - INTERVAL 1 MINUTE AS started_at, NULL AS ended_at) "
            "FROM activity WHERE params ->> 'experiment' = 'drift'"
        )
    assert examine(catalog, clean=True).interrupted == ["experiment run (process 2147483647)"]
    assert list(verify(catalog)) == []
    change(catalog, "UPDATE metric_row SET value = 0")
    assert [found.where for found in verify(catalog)] == ["exp:drift"]


def flip_a_byte(catalog):
    path = shard(catalog, "h")
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)


def swap_a_text(catalog):
    rewrite(shard(catalog, "h"), "something else")


def swap_a_text_and_its_file_hash(catalog):
    path = shard(catalog, "h")
    rewrite(path, "something else")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    change(catalog, f"UPDATE shard SET sha256 = '{digest}' WHERE path LIKE 'corpora/h/%'")


def swap_a_text_and_every_hash_of_it(catalog):
    path = shard(catalog, "h")
    doc = UUID(bytes=rewrite(path, "something else"))
    digest, text = hashlib.sha256(path.read_bytes()).hexdigest(), sha256_text("something else").hex()
    change(catalog, f"UPDATE shard SET sha256 = '{digest}' WHERE path LIKE 'corpora/h/%'")
    change(catalog, f"UPDATE document SET text_sha256 = unhex('{text}') WHERE doc_id = '{doc}'")


def flip_a_weight(catalog):
    path = catalog.root / "detectors" / "registry" / "weights.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def add_a_reading(catalog):
    (catalog.root / "detectors" / "registry" / "reference.npz").write_bytes(b"")


def delete_a_shard(catalog):
    shard(catalog, "h").unlink()


def append_to_a_shard(catalog):
    path = shard(catalog, "h")
    table = pq.read_table(path)
    extra = pa.table({"doc_id": tables.uuids([b"\xff" * 16]), "text": ["smuggled"]}, schema=table.schema)
    pq.write_table(pa.concat_tables([table, extra]), path, use_dictionary=False)


DOC = "(SELECT doc_id FROM document WHERE key = '3' AND corpus_id = 1)"
HERE = "WHERE key = '3' AND corpus_id = 1"
ELSE = "(SELECT doc_id FROM document WHERE doc_id NOT IN (SELECT doc_id FROM mix_document) LIMIT 1)"
REWRITTEN = """
UPDATE tag_history_row SET p_model = 0.9; UPDATE tag_current SET p_model = 0.9;
UPDATE document SET tag_p_model = 0.9 WHERE corpus_id = 1
"""
CUT = """
DELETE FROM ledger_entry WHERE seq > 4;
DELETE FROM activity WHERE activity_id NOT IN (SELECT activity_id FROM ledger_entry)
"""
ADDED = """
INSERT INTO lineage_edge
SELECT 'corpus:h@1', 'model:gpt', 'generated_by', activity_id, recorded_at FROM lineage_edge
"""

# What was done, the check that must find it, and what it must name.
TAMPERING = [
    ("a byte of a shard", flip_a_byte, "shard", "shard-00000.parquet of h@1"),
    ("a text", swap_a_text, "shard", "row group 0 .*the text of doc:"),
    ("a text and its file's hash", swap_a_text_and_its_file_hash, "seal", "corpora/h/"),
    ("a text and all hashes of it", swap_a_text_and_every_hash_of_it, "corpus", "not the hash of its corpus, key and"),
    ("a shard deleted", delete_a_shard, "shard", "is missing"),
    ("a text smuggled in", append_to_a_shard, "shard", "doc:ffffffff-ffff-ffff-ffff-ffffffffffff is not in the"),
    ("a document deleted", f"DELETE FROM document {HERE}", "corpus", "7 documents, was added with 8"),
    ("a declaration", f"UPDATE document SET declared_origin = 'mixed' {HERE}", "seal", "doc:.* was changed"),
    ("a generation", f"UPDATE document SET generation = 5 {HERE}", "depth", "generation 5 to 0; its lineage says 0"),
    ("a current tag", f"UPDATE tag_current SET origin = 'model' WHERE doc_id = {DOC}", "tag", "not the newest of its"),
    ("a listed origin", f"UPDATE document SET tag_origin = 'model' {HERE}", "tag", "not that of its tag"),
    ("a tag's history", REWRITTEN, "seal", "tag_history_row of activity"),
    ("a score", f"UPDATE evidence_row SET score = 9 WHERE doc_id = {DOC}", "seal", "hygiene:.* of doc:.* was changed"),
    ("evidence deleted", f"DELETE FROM evidence_row WHERE doc_id = {DOC}", "seal", "8 rows were sealed, 7 are there"),
    ("edges deleted", "DELETE FROM document_edge", "seal", "all its 1 rows are missing"),
    ("an edge added", ADDED, "seal", "corpus:h@1 generated_by model:gpt was changed or added"),
    ("an edge of nobody", "INSERT INTO lineage_edge VALUES ('a', 'b', 'c', uuid(), now())", "seal", "no such activity"),
    ("a content root", "UPDATE corpus SET content_root = 'x' WHERE corpus = 'h'", "corpus", "do not have its content"),
    (
        "a parameter",
        "UPDATE activity SET params = '{}' WHERE command = 'corpus add'",
        "chain",
        r"entry 1 \(corpus add\)",
    ),
    ("an entry deleted", "DELETE FROM ledger_entry WHERE seq = 2", "chain", "ledger entry 2: is missing"),
    ("the ledger cut short", CUT, "chain", "the ledger ends at 4"),
    ("two entries swapped", "UPDATE ledger_entry SET seq = 7 - seq WHERE seq IN (3, 4)", "chain", "does not link to"),
    ("a mix's document", f"UPDATE mix_document SET doc_id = {ELSE} WHERE position = 2", "mix", "position 2: doc_id is"),
    (
        "a mix's weight",
        "UPDATE mix_document SET weight = 5 WHERE position = 1",
        "mix",
        "position 1: weight is 5.0, its",
    ),
    ("a near-duplicate taken away", "DELETE FROM document_pair", "seal", "document_pair of .*all its 1 rows"),
    ("a near-duplicate made less near", "UPDATE document_pair SET jaccard = 0.1", "seal", "doc:.* and doc:.* was cha"),
    ("a decision turned round", "UPDATE near_duplicate SET kept = NOT kept", "seal", "doc:.* changed or added"),
    (
        "a corpus shown no more",
        "UPDATE corpus SET latest = false WHERE corpus = 'h'",
        "corpus",
        "h@1: is the newest ve",
    ),
    (
        "a corpus hidden",
        "UPDATE corpus SET latest = false, removed_at = now() WHERE corpus = 'h'",
        "corpus",
        "h@1: is hi",
    ),
    ("a cell of the graph", "UPDATE cell SET generator = 'x' WHERE corpus_id = 2", "cell", "corpus m@1: its cells"),
    ("a view", "CREATE OR REPLACE VIEW documents AS FROM all_documents LIMIT 1", "view", "view documents: has another"),
    ("a macro", "CREATE OR REPLACE MACRO generation_of(id) AS 0", "view", "macro generation_of: has another"),
    ("a number of an experiment", "UPDATE metric_row SET value = 0", "experiment", "exp:drift: its runs, generations"),
    ("a calibration", "UPDATE calibration SET human_scores = [0.1, 0.5]", "seal", "ngram for m was changed"),
    (
        "when a corpus was added",
        "UPDATE corpus SET created_at = '2020-01-01' WHERE corpus = 'm'",
        "seal",
        "m@1 was cha",
    ),
    ("where signatures are", "UPDATE dedup_segment SET path = 'x'", "seal", "dedup_segment of activity .*: x was cha"),
    ("a detector's weights", flip_a_weight, "detector", "detector registry: weights.npz was changed"),
    ("a file given to a detector", add_a_reading, "detector", "detector registry: reference.npz was added"),
    (
        "a detector deleted",
        lambda c: shutil.rmtree(c.root / "detectors"),
        "detector",
        "registry: weights.npz is missing",
    ),
    (
        "the head of the ledger",
        lambda c: (c.root / "ledger.head").write_bytes(b"\xff"),
        "chain",
        "ledger.head: does not",
    ),
    ("a signature removed", lambda c: next((c.root / SIGNATURES).iterdir()).unlink(), "signature", "s1: is missing"),
    ("a snapshot's corpora", "UPDATE snapshot SET corpora = '[]'", "snapshot", "its root is not the hash"),
]


@pytest.mark.parametrize(
    ("tamper", "check", "message"), [case[1:] for case in TAMPERING], ids=[c[0] for c in TAMPERING]
)
def test_tampering_is_found_and_named(catalog, tamper, check, message):
    if callable(tamper):
        tamper(catalog)
    else:
        change(catalog, tamper)
    found = list(verify(catalog))
    assert any(finding.check == check and re.search(message, str(finding)) for finding in found), found


def test_what_is_older_than_its_seal_is_said_to_be_not_covered_and_is_no_finding(tmp_path, monkeypatch, run_on):
    sealed_now, seal_now = dict(chain.SEALED), chain.seal

    def seal_then(con, activity_id):
        seal_now(con, activity_id)
        con.execute("DELETE FROM seal WHERE table_name = ?", [chain.COVERS])

    catalog = Catalog.init(tmp_path)
    (tmp_path / "old.jsonl").write_text('{"text": "an old text"}\n')
    monkeypatch.setattr(chain, "SEALED", dict(list(sealed_now.items())[: chain.SEALED_FIRST]))
    monkeypatch.setattr(chain, "seal", seal_then)
    add_corpus(catalog, "old", [str(tmp_path / "old.jsonl")], Fields())
    catalog.folder("detectors", "stack")
    monkeypatch.undo()
    assert list(verify(catalog)) == []
    said = run_on(catalog, "verify").stderr
    assert "not covered: corpus_created_at: 1 rows are older than its seal" in said
    assert "not covered: no training noted the hashes of the files of detector stack" in said
    assert "everything matches" in said
    (tmp_path / "new.jsonl").write_text('{"text": "a new text"}\n')
    add_corpus(catalog, "new", [str(tmp_path / "new.jsonl")], Fields())
    change(catalog, "UPDATE corpus SET created_at = '2020-01-01'")
    assert ["new@1" in str(found) for found in verify(catalog)] == [True]
    # A seal that was made cannot be taken away to look older.
    change(catalog, "DELETE FROM seal WHERE table_name IN ('corpus_created_at', '*')")
    assert [found.check for found in verify(catalog)] == ["chain"]


def test_a_changed_lock_is_named_by_its_first_byte(catalog):
    path = next((catalog.root / "mixes").glob("*.json"))
    data = bytearray(path.read_bytes())
    at = data.index(b'"seed":3') + 7
    data[at : at + 1] = b" 3"
    path.write_bytes(data)
    assert [str(f) for f in verify(catalog, "mix:half")] == [
        f"mix half@1: {path.name}: not in canonical form from byte {at} on: it was changed after it was written"
    ]


def test_a_forged_signature_is_named(catalog, whole, tmp_path):
    path = catalog.root / SIGNATURES / "s1.dsse.json"
    honest = path.read_bytes()
    # Another key than the one that signed.
    theirs = signing.make_key(tmp_path / "other")
    (found,) = verify(catalog, "snapshot:s1", public_key=tmp_path / "other.pub")
    mine = signing.key_id(signing.read_public_key(whole / "key.pub"))
    assert (found.check, found.what) == ("signature", f"s1.dsse.json: signed by {mine[:16]}, not by key {theirs[:16]}")
    # An honest signature over another root.
    path.write_bytes(honest)
    change(catalog, f"UPDATE snapshot SET root = '{'0' * 64}'")
    assert {f.check for f in verify(catalog, "snapshot:s1")} == {"snapshot", "signature"}
    # A statement changed after it was signed.
    forged = json.loads(honest)
    forged["payload"] = forged["payload"][:-8] + "AAAAAAA="
    path.write_bytes(json.dumps(forged).encode())
    assert "signature" in {f.check for f in verify(catalog, "snapshot:s1")}


def test_a_second_signature_stands_beside_the_first_and_a_key_signs_once(catalog, whole, tmp_path, run_on):
    signing.make_key(tmp_path / "other")
    for key in (tmp_path / "other", whole / "key", tmp_path / "other"):
        sign_snapshot(catalog, "s1", key)
    for key in (whole / "key.pub", tmp_path / "other.pub"):
        assert list(verify(catalog, "snapshot:s1", public_key=key)) == []
    assert len(json.loads((catalog.root / SIGNATURES / "s1.dsse.json").read_bytes())["signatures"]) == 2
    signing.make_key(tmp_path / "third")
    result = run_on(catalog, "verify", "snapshot:s1", "--public-key", tmp_path / "third.pub")
    assert "which key" in result.stderr
    assert "backup" not in result.stderr


def test_what_was_tampered_with_is_not_signed(catalog, whole):
    change(catalog, "UPDATE snapshot SET corpora = '[]'")
    with pytest.raises(CheckFailedError, match="not signed"):
        sign_snapshot(catalog, "s1", whole / "key")


def test_the_command_exits_1_and_names_the_first_finding(catalog, run_on):
    change(catalog, "UPDATE activity SET params = '{}' WHERE command = 'corpus add'")
    result = run_on(catalog, "verify")
    assert result.exit_code == 1
    assert (
        "error: 1 thing does not match; first: ledger entry 1 (corpus add)" in result.stderr
        or "things do not match" in result.stderr
    )
    assert "hint: nothing was changed" in result.stderr


def document_of(catalog: Catalog, corpus: str) -> UUID:
    with catalog.read() as con:
        return con.execute("SELECT doc_id FROM documents WHERE corpus = ? AND key = '5'", [corpus]).fetchall()[0][0]


def test_a_proof_holds_without_the_catalog_and_for_its_text_alone(catalog, whole, tmp_path, run_on):
    doc = document_of(catalog, "h")
    proof = prove(catalog, doc)
    (tmp_path / "proof.json").write_bytes(proof.to_json())
    shutil.copy(catalog.root / SIGNATURES / "s1.dsse.json", tmp_path)
    elsewhere = Catalog.init(tmp_path / "elsewhere")
    args = (
        "verify",
        tmp_path / "proof.json",
        "--signature",
        tmp_path / "s1.dsse.json",
        "--public-key",
        whole / "key.pub",
    )
    result = run_on(elsewhere, *args)
    assert result.exit_code == 0
    assert f"doc:{doc} is document" in result.stdout
    check_proof(proof, text="h text 5")
    with pytest.raises(CheckFailedError, match="the proof is about"):
        check_proof(proof, text="h text 6")
    other = document_id_bytes("h", "6", bytes.fromhex(proof.text_sha256))
    for wrong in (
        {"doc_id": UUID(bytes=other)},
        {"index": (proof.index + 1) % 8},
        {"content_root": "rfc6962-sha256:" + "0" * 64},
        {"path": proof.path[:-1]},
        {"size": 3},
    ):
        with pytest.raises(CheckFailedError):
            check_proof(proof.model_copy(update=wrong))
    with pytest.raises(DataError, match="something other than hashes"):
        check_proof(proof.model_copy(update={"path": ["xyz"]}))


def test_a_proof_of_another_size_than_the_signed_one_is_refused_and_a_key_is_not_ignored(tmp_path, run_on):
    catalog = Catalog.init(tmp_path / "five")
    (tmp_path / "five.jsonl").write_text("".join(json.dumps({"text": f"text {i}"}) + "\n" for i in range(5)))
    add_corpus(catalog, "five", [str(tmp_path / "five.jsonl")], Fields())
    create_snapshot(catalog, "s")
    signing.make_key(tmp_path / "key")
    sign_snapshot(catalog, "s", tmp_path / "key")
    with catalog.read() as con:
        first = con.execute("SELECT min(doc_id) FROM documents").fetchall()[0][0]
    proof = prove(catalog, first)
    # The path of the first of five documents is as long as that of the first of six.
    altered = proof.model_copy(update={"size": 6})
    check_proof(altered)
    signed = ("--signature", catalog.root / SIGNATURES / "s.dsse.json", "--public-key", tmp_path / "key.pub")
    for made, code, said in ((proof, 0, ""), (altered, 1, "has 6 documents, snapshot:s says 5")):
        (tmp_path / "p.json").write_bytes(made.to_json())
        result = run_on(catalog, "verify", tmp_path / "p.json", *signed)
        assert (result.exit_code, said in result.stderr) == (code, True)
    result = run_on(catalog, "verify", tmp_path / "p.json", "--public-key", tmp_path / "key.pub")
    assert result.exit_code == 2
    assert "--public-key needs --signature" in result.stderr


def test_junk_is_one_error(tmp_path, catalog, run_on):
    (tmp_path / "junk.json").write_text('{"schema": "provenance.inclusion-proof/1", "extra": 1}')
    result = run_on(catalog, "verify", tmp_path / "junk.json")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert run_on(catalog, "verify", "mix:none").exit_code == 2
    assert run_on(catalog, "lineage", "prove", "doc:00000000").exit_code == 2
    with pytest.raises(DataError, match="not a signed statement"):
        signing.check(b"{}", signing.read_public_key(next((catalog.root / KEYS).glob("*.pub"))), "x")
    assert InclusionProof.model_validate_json(prove(catalog, document_of(catalog, "m")).to_json()).corpus == "m"


def test_a_killed_command_is_no_tampering(catalog):
    running = catalog.activity("corpus add", {})
    running.__enter__().started_at  # noqa: B018
    assert list(verify(catalog)) == []

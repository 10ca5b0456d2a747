"""Lineage and declarations of others: cards, audits, events, edge lists; and the audit that was wrong."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from provenance.catalog.lineage import all_depths, ancestors
from provenance.corpus.ingest import add_corpus
from provenance.corpus.prepare import Fields
from provenance.errors import ConfigError, DataError, NotFoundError
from provenance.lineage.facts import gather
from provenance.lineage.imports import import_edges, import_metadata
from provenance.lineage.openlineage import run_events
from provenance.types import Origin

AUDIT = {
    "Helpful": {
        "Dataset Name": "Helpful", "Model Generated": [], "Human Annotation": "Yes", "Text Sources": ["human"],
        "Derived from Datasets": [], "Licenses": [{"License": "CC BY 4.0"}],
    },
    "Chatty": {
        "Dataset Name": "Chatty", "Model Generated": ["OpenAI GPT-4", "mystery"], "Human Annotation": "No",
        "Derived from Datasets": ["ShareGPT"], "Licenses": ["a licence in prose", {"Unknown": 1}],
        "New Field": {"x": 1},
    },
    "Polished": {"Model Generated": ["OpenAI GPT-4"], "Human Annotation": "Partly"},
}  # fmt: skip
CARD = """---
language_creators:
- found
- machine-generated
- divined
source_datasets:
- extended|wikipedia
- original
license: mit
size_categories: [n<1K]
something_new: 3
---
# A card
"""


@pytest.fixture
def chat(catalog, write_jsonl):
    path = write_jsonl("chat.jsonl", [{"id": str(i), "text": f"a line of chat {i}"} for i in range(3)])
    add_corpus(catalog, "chat", [str(path)], Fields(key="id"), origin=Origin.HUMAN)
    return catalog


def evidence(catalog):
    with catalog.read() as con:
        return con.execute(
            "SELECT name, score, count(*) FROM evidence WHERE kind = 'declared' GROUP BY ALL ORDER BY ALL"
        ).fetchall()


def write(tmp_path, name, value):
    path = tmp_path / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_a_set_declared_without_model_text_whose_responses_a_model_wrote_is_a_conflict(
    catalog, run, write_jsonl, tmp_path
):
    """The case of a corpus filtered by an audit: 'Model Generated' was empty, and the answers were a model's."""
    human = [
        f"We met at the mill on day {i}, and my brother carried the flour home through the rain." for i in range(20)
    ]
    model = [
        f"Certainly! Here is an answer to question {i}. As an AI language model, I do not have personal opinions."
        for i in range(4)
    ]
    rows = [{"id": f"q{i}", "text": text} for i, text in enumerate(human)] + [
        {"id": f"r{i}", "text": text} for i, text in enumerate(model)
    ]
    # The audit says human, so the corpus was added as human.
    assert (
        run(
            "corpus", "add", "helpful", write_jsonl("helpful.jsonl", rows), "--key-field", "id", "--origin", "human"
        ).exit_code
        == 0
    )
    audit = write(tmp_path, "audit.json", AUDIT)
    result = run("metadata", "import", audit, "--corpus", "helpful", "--entry", "Helpful")
    assert "declared human: evidence on 24 documents" in result.stdout
    assert run("tag", "run", "helpful", "--detector", "boilerplate").exit_code == 0
    found = json.loads(run("tag", "conflicts", "--json").stdout)["rows"]
    assert {row["key"] for row in found} == {"r0", "r1", "r2", "r3"}
    assert run("sql", "--format", "csv", "select count(*) n from conflicts").stdout == "n\n4\n"
    # The declaration still stands beside what was measured.
    assert run("sql", "--format", "csv", "select distinct declared_origin o from conflicts").stdout == "o\nhuman\n"


def test_an_audit_alone_is_a_declaration_that_can_be_wrong(catalog, run, write_jsonl, tmp_path):
    """Added without a word on who wrote it; only the audit says people did."""
    rows = [
        {"id": "h", "text": "We met at the mill and my brother carried the flour home through the rain."},
        {"id": "m", "text": "Certainly! As an AI language model, I do not have personal opinions on mills."},
    ]
    run("corpus", "add", "helpful", write_jsonl("helpful.jsonl", rows), "--key-field", "id")
    audit = write(tmp_path, "audit.json", AUDIT)
    run("metadata", "import", audit, "--corpus", "helpful", "--entry", "Helpful")
    run("tag", "run", "helpful", "--detector", "boilerplate")
    (found,) = json.loads(run("tag", "conflicts", "--json").stdout)["rows"]
    assert (found["key"], found["declared_origin"], found["declared_by"]) == ("m", "human", "dpi")
    assert run("sql", "--format", "csv", "select key, declared_by from conflicts").stdout == "key,declared_by\nm,dpi\n"
    # It is worth a person's time as much as any other contradiction, and its audit may change its mind.
    queue = json.loads(run("review", "queue", "helpful", "--json").stdout)["rows"]
    assert queue[0]["key"] == "m"
    assert queue[0]["worth"] > 1
    audit.write_text(json.dumps({"Helpful": {"Model Generated": ["gpt"], "Human Annotation": "No"}}))
    run("metadata", "import", audit, "--corpus", "helpful")
    assert json.loads(run("tag", "conflicts", "--json").stdout)["rows"] == []


def test_an_audit_becomes_evidence_and_edges_and_counts_what_it_did_not_understand(chat, tmp_path):
    audit = write(tmp_path, "audit.json", AUDIT)
    done = import_metadata(chat, audit, corpus="chat", entry="Chatty")
    assert (done.edges, done.declared, done.documents) == (3, "model", 3)
    assert done.unknown == {"Licenses: a licence in prose": 1, "Licenses: {'Unknown': 1}": 1}
    assert evidence(chat) == [("dpi", 1.0, 3)]
    assert {r.node for r in ancestors(chat, "chat")} == {
        "corpus:chat@1",
        "external:ShareGPT",
        "model:OpenAI GPT-4",
        "model:mystery",
    } - {"corpus:chat@1"}
    again = import_metadata(chat, audit, corpus="chat", entry="Chatty")
    assert (again.edges, again.documents) == (0, 0)
    polished = import_metadata(chat, audit, corpus="chat", entry="Polished", dry_run=True)
    assert (polished.declared, polished.unknown) == ("model", {"Human Annotation: Partly": 1})
    assert evidence(chat) == [("dpi", 1.0, 3)]


def test_a_card_becomes_evidence_and_edges(chat, tmp_path):
    done = import_metadata(chat, write(tmp_path, "README.md", CARD), corpus="chat")
    assert (done.edges, done.declared, done.unknown) == (1, "mixed", {"language_creators: divined": 1})
    assert evidence(chat) == [("hf_card", 0.0, 3)]
    assert [r.node for r in ancestors(chat, "chat")] == ["external:wikipedia"]


def test_events_link_outputs_to_inputs(chat, tmp_path):
    def dataset(name):
        return {"namespace": "s3://bucket", "name": name}

    events = [
        {
            "eventType": kind,
            "run": {"runId": "1"},
            "job": {"name": "j"},
            "inputs": [dataset("raw/logs")],
            "outputs": outputs,
        }
        for kind, outputs in (("START", []), ("COMPLETE", [dataset("chat")]))
    ]
    path = write(tmp_path, "events.jsonl", "\n".join(json.dumps(event) for event in events))
    assert import_metadata(chat, path).edges == 1
    assert [r.node for r in ancestors(chat, "chat")] == ["external:s3://bucket/raw/logs"]


def test_events_of_models_say_who_wrote_and_who_was_trained(chat, tmp_path):
    def event(inputs, outputs):
        sides = {"inputs": inputs, "outputs": outputs}
        named = {side: [{"namespace": "n", "name": name} for name in names] for side, names in sides.items()}
        return {"eventType": "COMPLETE", "run": {"runId": "1"}, "job": {"name": "j"}, **named}

    path = write(tmp_path, "events.json", [event(["model:m"], ["chat"]), event(["crawl"], ["model:m"])])
    assert import_metadata(chat, path, new_models=True).edges == 2
    assert [(r.node, r.relation) for r in ancestors(chat, "chat")] == [
        ("model:m", "generated_by"),
        ("external:n/crawl", "trained_on"),
    ]


def test_an_event_adds_nothing_where_the_catalog_knows_better(catalog, write_jsonl, tmp_path):
    rows = [{"id": str(i), "text": f"line {i}", "by": f"m{i % 2}"} for i in range(4)]
    path = write_jsonl("said.jsonl", rows)
    add_corpus(catalog, "said", [str(path)], Fields(key="id", generator="by"), origin=Origin.MODEL)
    before = all_depths(catalog)
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(e) + "\n" for e in run_events(gather(catalog, "said"))))
    done = import_metadata(catalog, tmp_path / "own.jsonl")
    assert (done.read, done.edges, done.depths_changed) == (2, 0, 0)
    assert all_depths(catalog) == before


def test_edges_come_from_csv_and_parquet_and_a_dry_run_changes_nothing(chat, tmp_path, run):
    rows = {"child": ["corpus:chat@1"], "parent": ["external:irc"], "relation": ["derived_from"]}
    pq.write_table(pa.table(rows), tmp_path / "edges.parquet")
    write(tmp_path, "edges.csv", "child,parent,relation\ncorpus:chat@1,external:irc,derived_from\n")
    assert import_edges(chat, tmp_path / "edges.csv", dry_run=True).edges == 1
    assert ancestors(chat, "chat") == []
    assert "would add 1 of 1 edges" in run("lineage", "import", tmp_path / "edges.csv", "--dry-run").stdout
    assert import_edges(chat, tmp_path / "edges.parquet").edges == 1
    assert import_metadata(chat, tmp_path / "edges.csv").edges == 0


def test_the_ledger_names_the_command_that_imported(chat, tmp_path, run):
    edges = write(tmp_path, "edges.csv", "child,parent,relation\ncorpus:chat@1,external:irc,derived_from\n")
    for command in ("lineage", "metadata"):
        assert run(command, "import", edges).exit_code == 0
    log = run("sql", "--format", "csv", "select command from activities order by started_at").stdout
    assert log == "command\ncorpus add\nlineage import\nmetadata import\n"


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("e.csv", "child,parent,relation,weight\na,b,derived_from,1\n", DataError, "unknown column 'weight'"),
        ("e.csv", "child,parent\na,b\n", DataError, "columns child, parent"),
        (
            "e.csv",
            "child,parent,relation\ncorpus:chat@1,external:x,inspired_by\n",
            DataError,
            "row 1 has relation 'inspired_by'",
        ),
        (
            "e.csv",
            "child,parent,relation\ncorpus:chat@1,external:x,member_of\n",
            DataError,
            "row 1 has relation 'member_of'",
        ),
        ("e.csv", "child,parent,relation\ncorpus:chat@1,,derived_from\n", DataError, "row 1 has an empty end"),
        ("e.csv", "child,parent,relation\ncorpus:chat@1,corpus:web@1,derived_from\n", DataError, "unknown node"),
        ("e.csv", "child,parent,relation\ncorpus:chat@1,model:x,generated_by\n", DataError, "unknown node"),
        ("e.csv", "", DataError, "cannot be read"),
        ("e.parquet", "not parquet", DataError, "cannot be read"),
        ("card.md", "no front matter", DataError, "no YAML front matter"),
        ("card.md", "---\n: : :\n  - x\n---\n", DataError, "not YAML|no fields"),
        ("card.md", "---\n- a\n---\n", DataError, "holds no fields"),
        ("audit.json", {"Nothing": {"x": 1}}, DataError, "neither run events nor an audit"),
        ("audit.json", AUDIT, ConfigError, "describes 3 sets"),
        ("audit.json", "{", DataError, "not JSON"),
        (
            "events.json",
            {"eventType": "COMPLETE", "run": {}, "job": {}, "inputs": [{}], "outputs": []},
            DataError,
            "has no name",
        ),
    ],
)
def test_bad_files_are_refused_and_change_nothing(chat, tmp_path, name, content, error, message):
    with pytest.raises(error, match=message):
        import_metadata(chat, write(tmp_path, name, content), corpus="chat")
    assert ancestors(chat, "chat") == []
    assert evidence(chat) == []


def test_edges_that_are_numbers_are_refused(chat, tmp_path):
    pq.write_table(pa.table({"child": [1], "parent": [2], "relation": ["derived_from"]}), tmp_path / "e.parquet")
    with pytest.raises(DataError, match="column 'child' holds int64, not text"):
        import_edges(chat, tmp_path / "e.parquet")


def test_what_a_card_is_about_must_be_said(chat, tmp_path, run):
    with pytest.raises(ConfigError, match="describes a set as a whole"):
        import_metadata(chat, write(tmp_path, "README.md", CARD))
    with pytest.raises(NotFoundError, match="set in that file"):
        import_metadata(chat, write(tmp_path, "a.json", AUDIT), corpus="chat", entry="Chaty")
    result = run("metadata", "import", tmp_path / "README.md", "--corpus", "nope")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (2, "error: no corpus named 'nope'")

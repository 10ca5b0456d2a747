"""What leaves in a standard's format, read by that standard's own library."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from provenance import tables
from provenance.catalog.store import Catalog
from provenance.catalog.tags import write_tags
from provenance.corpus.ingest import add_corpus
from provenance.corpus.outward import export_corpus
from provenance.corpus.prepare import Fields
from provenance.errors import CheckFailedError, ConfigError, DataError
from provenance.lineage.cards import eu_summary, hf_card
from provenance.lineage.croissant import croissant
from provenance.lineage.facts import gather, iptc_of, vocabulary
from provenance.lineage.openlineage import run_events
from provenance.lineage.prov import prov_json
from provenance.lineage.validators import validate
from provenance.mixing.build import build_mix
from provenance.mixing.lock import make_lock
from provenance.mixing.plan import plan_mix
from provenance.mixing.policy import parse_policy
from provenance.types import Basis, Origin

# rdflib's and pandas', about how mlcroissant calls them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A catalog with a corpus of three origins and a mix of it, and the mix's Parquet file."""
    folder = tmp_path_factory.mktemp("standards")
    catalog = Catalog.init(folder)
    rows = [
        {"id": f"{origin}{i}", "text": f"{origin} text {i}", "who": origin, "lang": "en", "date": f"20{10 + i}-05-01",
         "by": "gpt" if origin == "model" else None}
        for origin in ("human", "model", "unknown") for i in range(4)
    ]  # fmt: skip
    (folder / "web.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = Fields(key="id", origin="who", language="lang", date="date", generator="by",
                    origin_map={o: Origin(o) for o in ("human", "model", "unknown")})  # fmt: skip
    add_corpus(
        catalog, "web", [str(folder / "web.jsonl")], fields, license="CC0-1.0", source_uri="https://example.org/web"
    )
    lock = make_lock(plan_mix(catalog, parse_policy({"name": "all", "share": [{"take": "all"}]}, "test")))
    build_mix(catalog, lock, output=folder / "all.parquet")
    export_corpus(catalog, "web", folder / "web.parquet")
    return catalog, folder


def test_croissant_is_valid_and_yields_every_row_with_its_origin(place, tmp_path):
    import mlcroissant

    catalog, folder = place
    for ref, data in (("mix:all", "all.parquet"), ("web", "web.parquet")):
        path = folder / f"{data}.json"
        path.write_text(json.dumps(croissant(gather(catalog, ref, data=folder / data))))
        assert validate(path) == "Croissant"
        dataset = mlcroissant.Dataset(jsonld=path)
        records = list(dataset.records(record_set="documents"))
        assert len(records) == 12
        origins = [record["documents/origin"].decode() for record in records]
        assert sorted(set(origins)) == ["human", "model", "unknown"]
        assert {r["documents/text"].decode().split()[0]: o for r, o in zip(records, origins, strict=True)} == {
            "human": "human", "model": "model", "unknown": "unknown"}  # fmt: skip
    described = json.loads((folder / "all.parquet.json").read_text())
    assert described["sc:digitalSourceType"] == {"@id": "iptc:compositeSynthetic"}
    assert described["prov:wasDerivedFrom"] == [{"@id": "urn:provenance:corpus:web@1"}]
    text = next(f for f in described["recordSet"][0]["field"] if f["name"] == "text")
    assert text["annotation"]["equivalentProperty"] == "https://schema.org/digitalSourceType"


def test_croissant_without_a_file_and_with_a_wrong_hash_fails(place, tmp_path):
    import mlcroissant

    catalog, folder = place
    with pytest.raises(ConfigError, match="describes a data file"):
        croissant(gather(catalog, "web"))
    with pytest.raises(DataError, match="no Parquet file"):
        gather(catalog, "web", data=folder / "web.jsonl")
    described = croissant(gather(catalog, "web", data=folder / "web.parquet"))
    described["distribution"][0]["sha256"] = "0" * 64
    (folder / "wrong.json").write_text(json.dumps(described))
    with pytest.raises(mlcroissant.GenerationError, match="Download"):
        list(mlcroissant.Dataset(jsonld=folder / "wrong.json").records(record_set="documents"))


def test_a_file_with_other_rows_or_texts_is_not_described_as_the_data_of_a_corpus(place, tmp_path):
    catalog, folder = place
    table = pq.read_table(folder / "web.parquet")
    texts = table["text"].to_pylist()
    changed = table.set_column(1, "text", pa.array(["another", *texts[1:]]))
    for name, other, said in (
        ("short", table.slice(1), "0 of its rows are not in it, 1 documents are missing"),
        ("twice", pa.concat_tables([table, table.slice(0, 2)]), "2 of its rows are not in it, 0 documents are"),
        ("changed", changed, "1 of its rows are not in it, 1 documents are missing"),
        ("bare", table.drop_columns(["doc_id"]), "no column doc_id, so not the data of corpus:web@1"),
    ):
        pq.write_table(other, tmp_path / f"{name}.parquet")
        with pytest.raises(DataError, match=said):
            gather(catalog, "web", data=tmp_path / f"{name}.parquet")


def test_prov_json_is_read_by_prov_and_says_what_came_from_what(place, tmp_path):
    from prov.model import ProvDerivation, ProvDocument, ProvEntity

    catalog, _ = place
    path = tmp_path / "p.json"
    path.write_text(json.dumps(prov_json(gather(catalog, "mix:all"))))
    assert validate(path) == "PROV-JSON"
    document = ProvDocument.deserialize(content=path.read_text(), format="json")
    labels = {entity.label for entity in document.get_records(ProvEntity)}
    assert labels == {"mix:all@1", "corpus:web@1", "model:gpt"}
    assert len(list(document.get_records(ProvDerivation))) == 2
    assert ProvDocument.deserialize(content=document.serialize(format="json"), format="json") == document


def test_run_events_are_accepted_and_carry_the_origin(place, tmp_path):
    catalog, _ = place
    events = run_events(gather(catalog, "mix:all"))
    path = tmp_path / "o.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert validate(path) == "OpenLineage"
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]
    facet = events[1]["outputs"][0]["facets"]["corpusProvenance_origin"]
    assert facet["origins"] == {"human": 4, "model": 4, "unknown": 4}
    assert facet["generations"] == {"0": 4, "1": 4, "unknown": 4}
    assert [dataset["name"] for dataset in events[1]["inputs"]] == ["corpus:web@1"]


def test_a_card_is_read_by_the_hub_library(place, tmp_path):
    from huggingface_hub import DatasetCard

    catalog, _ = place
    path = tmp_path / "README.md"
    path.write_text(hf_card(gather(catalog, "mix:all")))
    assert validate(path) == "Hugging Face dataset card"
    data = DatasetCard.load(path).data
    assert data.language_creators == ["found", "machine-generated"]
    assert (data.license, data.language, data.size_categories) == ("CC0-1.0", ["en"], ["n<1K"])
    assert "| model | 4 |" in path.read_text()


def test_our_own_descriptions_come_back_in(place, tmp_path, catalog, write_jsonl):
    """A card and events that left one catalog say the same in another."""
    from provenance.catalog.lineage import ancestors
    from provenance.lineage.imports import import_metadata

    source, folder = place
    add_corpus(catalog, "web", [str(folder / "web.jsonl")], Fields(key="id"))
    (tmp_path / "README.md").write_text(hf_card(gather(source, "web")))
    assert import_metadata(catalog, tmp_path / "README.md", corpus="web").declared == "mixed"
    events = run_events(gather(source, "web"))
    for event in events:
        event["inputs"] = [{"namespace": "hub", "name": "crawl"}]
    (tmp_path / "o.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    import_metadata(catalog, tmp_path / "o.jsonl")
    assert [r.node for r in ancestors(catalog, "web")] == ["external:hub/crawl"]


def test_the_eu_summary_is_marked_as_a_draft_and_counts_synthetic_text(place):
    catalog, _ = place
    text = eu_summary(gather(catalog, "mix:all"))
    assert text.startswith("# Public summary of training content: DRAFT")
    assert "4 of 12 documents (33.3%) hold text written by a model." in text
    assert "For 4 documents it is not known who wrote them." in text
    assert "not legal advice" in text
    assert "2010-05-01 to 2013-05-01" in text


def test_descriptions_say_what_is_only_declared_and_how_many_declarations_are_contradicted(catalog, tmp_path):
    (tmp_path / "web.jsonl").write_text("".join(json.dumps({"text": f"text {i}"}) + "\n" for i in range(4)))
    add_corpus(catalog, "web", [str(tmp_path / "web.jsonl")], Fields(), origin=Origin.HUMAN)
    export_corpus(catalog, "web", tmp_path / "web.parquet")

    def said():
        facts = gather(catalog, "web", data=tmp_path / "web.parquet")
        return hf_card(facts), eu_summary(facts), croissant(facts)["description"]

    card, summary, description = said()
    assert "| declared by the source, not verified | 4 |" in card
    assert "How this is known: 4 declared by the source, not verified." in summary
    assert "How it is known: 4 declared by the source, not verified." in description
    with catalog.activity("tag run", {}) as activity, activity.commit() as con:
        ids = [row[0].bytes for row in con.execute("SELECT doc_id FROM documents ORDER BY doc_id").fetchall()][:3]
        tags = pa.table({
            "doc_id": tables.uuids(ids), "origin": ["human", "model", "human"], "p_model": [0.1, 0.9, 0.8],
            "basis": ["reviewed", "inferred", "declared"], "rule": ["r"] * 3,
        })  # fmt: skip
        write_tags(con, tags, activity)
    for text in said():
        assert "Documents declared as human that the evidence takes for a model's: 2." in text
    assert "| inferred by a detector | 1 |\n| reviewed by a person | 1 |" in said()[0]
    assert "2 declared by the source, not verified, 1 inferred by a detector, 1 reviewed by a person." in said()[1]


def test_a_licence_of_one_part_is_not_given_out_as_that_of_the_whole(catalog, tmp_path):
    for name, licence in (("free", "CC0-1.0"), ("found", None)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": f"a {name} text"}) + "\n")
        add_corpus(catalog, name, [str(tmp_path / f"{name}.jsonl")], Fields(), license=licence)
    build_mix(catalog, make_lock(plan_mix(catalog, parse_policy({"name": "all", "share": [{"take": "all"}]}, "test"))))
    facts = gather(catalog, "mix:all")
    assert facts.licenses == {"CC0-1.0": 1, "unknown": 1}
    assert "license:\n- CC0-1.0\n- unknown\n" in hf_card(facts)
    assert "Licences: CC0-1.0 (1 documents), not recorded for 1 documents [to be filled in]" in eu_summary(facts)


def test_the_vocabulary_covers_every_origin_and_basis():
    terms = vocabulary()
    assert set(terms["origins"]) == {origin.value for origin in Origin}
    assert set(terms["bases"]) == {basis.value for basis in Basis}
    assert terms["origins"]["unknown"]["iptc"] is None
    assert iptc_of({"human": 3}) == "digitalCreation"
    assert iptc_of({"human": 3, "unknown": 1}) == iptc_of({}) == "composite"
    assert iptc_of({"human": 3, "mixed": 1}) == "compositeSynthetic"


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("x.json", "{}", DataError, "not a format known here"),
        ("x.json", "{", DataError, "neither JSON nor JSON lines"),
        ("x.json", '{"prefix": {}, "entity": {"cp:x": 3}}', CheckFailedError, "x.json"),
        (
            "x.json",
            '{"prefix": {"a": "http://a/"}, "activity": {"a:x": {"prov:startTime": "not a time"}}}',
            CheckFailedError,
            "not a time",
        ),
        ("x.md", "# Public summary of training content: DRAFT\n", DataError, "has no validator"),
        ("x.json", '{"eventType": "COMPLETE", "run": {"runId": "no uuid"}}', CheckFailedError, "event 1"),
        ("x.json", '{"@context": {}, "@type": "sc:Dataset"}', CheckFailedError, "x.json"),
        ("x.md", "---\n- a\n---\n", CheckFailedError, "x.md"),
        ("x.md", "# A page\nwith no metadata\n", CheckFailedError, "no front matter"),
    ],
)
def test_a_file_that_is_not_valid_is_named(tmp_path, name, content, error, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(error, match=message):
        validate(tmp_path / name)


def test_a_facet_without_its_schema_is_not_valid(place, tmp_path):
    catalog, _ = place
    events = run_events(gather(catalog, "mix:all"))
    del events[1]["outputs"][0]["facets"]["corpusProvenance_origin"]["_schemaURL"]
    (tmp_path / "o.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    with pytest.raises(
        CheckFailedError, match="event 2: ValueError: facet 'corpusProvenance_origin' has no _schemaURL"
    ):
        validate(tmp_path / "o.jsonl")


def test_the_commands_export_and_validate(place, tmp_path):
    from click.testing import CliRunner
    from provenance.cli import cli

    catalog, folder = place

    def run(*words):
        return CliRunner(catch_exceptions=False).invoke(
            cli, [str(word) for word in words], env={"PROVENANCE_CATALOG": str(catalog.root)}
        )

    for standard, name in (
        ("prov", "p.json"),
        ("openlineage", "o.jsonl"),
        ("hf-card", "README.md"),
        ("eu-summary", "eu.md"),
    ):
        assert run("metadata", "export", standard, "mix:all", "-o", tmp_path / name).exit_code == 0
    assert "is valid PROV-JSON" in run("metadata", "validate", tmp_path / "p.json").stdout
    assert run("metadata", "export", "croissant", "web").exit_code == 2
    printed = run("metadata", "export", "croissant", "web", "--data", folder / "web.parquet").stdout
    assert json.loads(printed)["@type"] == "sc:Dataset"

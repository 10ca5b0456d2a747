"""Ancestors, descendants, impact and depth, against answers worked out by hand and by plain recursion in Python."""

import json
import random
import shutil
from datetime import UTC, datetime
from functools import cache
from uuid import UUID

import pytest

from provenance.catalog.corpora import get_corpus
from provenance.catalog.lineage import (
    add_edges,
    all_depths,
    ancestors,
    descendants,
    describe_node,
    impact,
    path,
    resolve_node,
)
from provenance.catalog.mixes import insert_mix
from provenance.catalog.store import Catalog
from provenance.corpus.ingest import add_corpus
from provenance.corpus.prepare import Fields
from provenance.corpus.record import Recorded, record_corpus
from provenance.errors import DataError, NotFoundError, UsageError
from provenance.types import LineageEdge, Origin, Relation

HAS = {"derived": Relation.DERIVED_FROM, "made": Relation.GENERATED_BY, "trained": Relation.TRAINED_ON}


def add(
    catalog: Catalog, write_jsonl, name: str, texts: list[str], origin: Origin | None, generator=None
) -> list[UUID]:
    """A corpus of these texts; its document ids in the order of the texts."""
    path = write_jsonl(f"{name}.jsonl", [{"id": f"{i:03d}", "text": text} for i, text in enumerate(texts)])
    add_corpus(catalog, name, [str(path)], Fields(key="id"), origin=origin, generator=generator)
    with catalog.read() as con:
        return [
            row[0]
            for row in con.execute("SELECT doc_id FROM documents WHERE corpus = ? ORDER BY key", [name]).fetchall()
        ]


def link(catalog: Catalog, *edges: tuple[str, str, str], new_models: bool = True) -> int:
    """Add edges written as (child, relation, parent)."""
    listed = [LineageEdge(child=c, parent=p, relation=HAS.get(r) or Relation(r)) for c, r, p in edges]
    with catalog.activity("test", {}) as activity, activity.commit() as con:
        return add_edges(con, listed, activity_id=activity.activity_id, at=datetime.now(UTC), new_models=new_models)


def mix(catalog: Catalog, name: str, corpora: list[str], weights: dict[UUID, float]) -> None:
    """Record a mix of these documents."""
    import pyarrow as pa

    from provenance import tables

    pool = [{"corpus": c, "version": 1, "content_root": ""} for c in corpora]
    with catalog.activity("test", {}) as activity, activity.commit() as con:
        of = dict(con.execute("SELECT doc_id, corpus FROM documents").fetchall())
        rows = pa.table({
            "position": list(range(len(weights))), "doc_id": tables.uuids([d.bytes for d in weights]),
            "corpus": [of[d] for d in weights], "weight": list(weights.values()), "share": [0] * len(weights),
        })  # fmt: skip
        insert_mix(con, name=name, policy={}, seed=0, lock_sha256="", tokens=0, realised=[], pool=pool, rows=rows,
                   activity_id=activity.activity_id)  # fmt: skip


def trained(model_id: str, generation: int):
    """The row an experiment writes about a model of its own."""

    def also(con, corpus) -> None:
        con.execute("INSERT INTO model VALUES (?, 'ngram', NULL, '', '{}', ?, NULL)", [model_id, generation - 1])

    return also


def nodes(found) -> list[str]:
    return [relative.node for relative in found]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Human text, a model trained on a mix of it, what that model wrote, a model trained on that, what that wrote."""
    folder = tmp_path_factory.mktemp("loop")
    catalog = Catalog.init(folder)

    def write_jsonl(name, records):
        path = folder / name
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return path

    human = add(catalog, write_jsonl, "books", ["a sentence", "another one", "a third"], Origin.HUMAN)
    outside = add(catalog, write_jsonl, "chat", ["as a model I say", "certainly"], Origin.MODEL, "gpt")
    mix(catalog, "m0", ["books", "chat"], {human[0]: 1.0, human[1]: 2.0, outside[0]: 1.0})
    link(catalog, ("model:g0", "trained", "mix:m0@1"))
    for generation, (low, high) in enumerate([(1, 1), (2, 2)]):
        with catalog.activity("test", {}) as activity:
            recorded = Recorded(
                keys=["1", "2"],
                texts=[f"one {generation}", f"two {generation}"],
                generator=f"g{generation}",
                generation=low,
                generation_max=high,
                human_ancestry=0.75,
            )
            record_corpus(catalog, activity, f"gen{generation}", recorded, also=trained(f"g{generation}", low))
        if generation == 0:
            link(catalog, ("model:g1", "trained", "corpus:gen0@1"))
    return catalog.root, human, outside


@pytest.fixture
def loop(built, catalog):
    """A copy of that catalog in the place of the empty one; its human and outside documents."""
    root, human, outside = built
    shutil.rmtree(catalog.root)
    shutil.copytree(root, catalog.root)
    return human, outside


def test_ancestors_of_a_document_lead_back_to_human_text(catalog, loop):
    with catalog.read() as con:
        doc = con.execute("SELECT doc_id FROM documents WHERE corpus = 'gen1' LIMIT 1").fetchall()[0][0]
    found = ancestors(catalog, f"doc:{doc}")
    assert [(r.node, r.distance, r.relation) for r in found] == [
        ("model:g1", 1, "generated_by"),
        ("corpus:gen0@1", 2, "trained_on"),
        ("model:g0", 3, "generated_by"),
        ("mix:m0@1", 4, "trained_on"),
        ("corpus:books@1", 5, "consists_of"),
        ("corpus:chat@1", 5, "consists_of"),
        ("model:gpt", 6, "generated_by"),
    ]
    assert {r.node: r.documents for r in found}["corpus:books@1"] == 2


def test_withdrawing_an_outside_model_taints_everything_after_it(catalog, loop):
    found = impact(catalog, "model:gpt")
    assert found.documents == {"chat@1": 2, "gen0@1": 2, "gen1@1": 2}
    assert found.mixes == ["mix:m0@1"]
    assert found.models == ["model:g0", "model:g1", "model:gpt"]


def test_withdrawing_a_document_that_no_mix_holds_taints_nothing(catalog, loop):
    human, _ = loop
    assert impact(catalog, f"doc:{human[2]}").mixes == []
    assert impact(catalog, f"doc:{human[2]}").documents == {"books@1": 1}
    assert impact(catalog, f"doc:{human[1]}").mixes == ["mix:m0@1"]


def test_a_derived_document_taints_the_mix_that_holds_it_and_not_its_siblings(catalog, write_jsonl):
    human = add(catalog, write_jsonl, "books", ["a", "b"], Origin.HUMAN)
    rewritten = add(catalog, write_jsonl, "rewritten", ["A!", "B!", "C!"], Origin.MIXED)
    link(catalog, (f"doc:{rewritten[0]}", "derived", f"doc:{human[0]}"))
    mix(catalog, "with", ["rewritten"], {rewritten[0]: 1.0})
    mix(catalog, "without", ["rewritten"], {rewritten[1]: 1.0})
    found = impact(catalog, f"doc:{human[0]}")
    assert found.mixes == ["mix:with@1"]
    assert found.documents == {"books@1": 1, "rewritten@1": 1}
    assert nodes(descendants(catalog, "corpus:books")) == [f"doc:{rewritten[0]}", "corpus:rewritten@1", "mix:with@1"]


def test_a_path_names_each_step_and_an_unrelated_node_has_none(catalog, loop):
    assert path(catalog, "corpus:gen1", "model:gpt") == [
        ("generated_by", "model:g1"),
        ("trained_on", "corpus:gen0@1"),
        ("generated_by", "model:g0"),
        ("trained_on", "mix:m0@1"),
        ("consists_of", "corpus:chat@1"),
        ("generated_by", "model:gpt"),
    ]
    assert path(catalog, "corpus:books", "model:gpt") == []


def test_human_ancestry_is_the_mix_weighted_mean(catalog, loop):
    # m0 weighs human text 3 and a model's text of unrecorded training 1; the rest of the loop inherits that.
    found = sorted(((d.low, d.high, d.human, d.documents) for d in all_depths(catalog)), key=str)
    # books, gen0, chat, gen1
    assert found == [(0, 0, 1.0, 3), (1, None, 0.75, 2), (1, None, None, 2), (2, None, 0.75, 2)]
    assert describe_node(catalog, "mix:m0").human_ancestry == pytest.approx(0.75)
    assert describe_node(catalog, "mix:m0").generation == 0


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        (("corpus:nowhere@1", "derived", "corpus:books@1"), "unknown node in the edges: corpus:nowhere@1"),
        (("doc:00000000-0000-0000-0000-000000000000", "derived", "corpus:books@1"), "unknown node"),
        (("doc:nonsense", "derived", "corpus:books@1"), "unknown node"),
        (("corpus:books@1", "made", "model:never-seen"), "unknown node"),
        (("corpus:books@1", "derived", "mix:none@1"), "unknown node"),
        (("corpus:books@1", "derived", "books"), "unknown node"),
        (("corpus:books@1", "derived", "external:"), "unknown node"),
        (("corpus:books@1", "derived", "corpus:books@1"), "cannot be derived_from itself"),
    ],
)
def test_edges_to_nothing_are_refused_and_change_nothing(catalog, loop, edge, message):
    before = len(ancestors(catalog, "corpus:books"))
    with pytest.raises(DataError, match=message):
        link(catalog, ("model:g0", "derived", "external:base"), edge, new_models=False)
    assert len(ancestors(catalog, "corpus:books")) == before
    assert "external:base" not in nodes(ancestors(catalog, "model:g0"))


@pytest.mark.parametrize(
    "edge",
    [
        ("model:gpt", "trained", "corpus:gen1@1"),
        ("corpus:books@1", "made", "model:g1"),
        ("mix:m0@1", "derived", "corpus:gen0@1"),
        ("model:g0", "derived", "model:g1"),
    ],
)
def test_an_edge_that_closes_a_cycle_is_refused(catalog, loop, edge):
    with pytest.raises(DataError, match="closes a cycle"):
        link(catalog, edge)
    assert ancestors(catalog, "corpus:books") == []


def test_a_document_of_a_mix_cannot_come_from_the_model_trained_on_it(catalog, loop):
    human, _ = loop
    with pytest.raises(DataError, match="closes a cycle"):
        link(catalog, (f"doc:{human[0]}", "made", "model:g0"))
    assert link(catalog, (f"doc:{human[2]}", "made", "model:g0")) == 1


def test_two_documents_of_one_corpus_may_derive_from_each_other_one_way(catalog, loop):
    human, _ = loop
    assert link(catalog, (f"doc:{human[0]}", "derived", f"doc:{human[1]}")) == 1
    assert link(catalog, (f"doc:{human[0]}", "derived", f"doc:{human[1]}")) == 0
    with pytest.raises(DataError, match="closes a cycle"):
        link(catalog, (f"doc:{human[1]}", "derived", f"doc:{human[0]}"))
    assert link(catalog, (f"doc:{human[1]}", "near_duplicate_of", f"doc:{human[0]}")) == 1


def test_references_are_completed_or_refused(catalog, loop):
    human, _ = loop
    assert resolve_node(catalog, "books") == resolve_node(catalog, "corpus:books@1") == "corpus:books@1"
    assert resolve_node(catalog, f"doc:{str(human[0])[:8]}") == f"doc:{human[0]}"
    assert resolve_node(catalog, "mix:m0") == "mix:m0@1"
    with pytest.raises(NotFoundError, match="no model node named 'model:g9'"):
        resolve_node(catalog, "model:g9")
    with pytest.raises(UsageError, match="names no kind of node"):
        resolve_node(catalog, "paper:x")


def test_an_empty_catalog_has_no_depths_and_no_nodes(catalog):
    assert all_depths(catalog) == []
    with pytest.raises(NotFoundError):
        ancestors(catalog, "model:x")


@pytest.mark.parametrize("seed", range(2))
def test_random_graphs_agree_with_plain_recursion(catalog, write_jsonl, seed):
    """Depth and ancestors of every document, over derivations, models, corpora and weighted mixes."""
    rng = random.Random(seed)
    origins = {"h": Origin.HUMAN, "u": None, "g": Origin.MODEL}
    docs: dict[str, list[UUID]] = {}
    for name, origin in origins.items():
        texts = [f"{name} text {i}" for i in range(5)]
        docs[name] = add(catalog, write_jsonl, name, texts, origin, "gm" if name == "g" else None)
    node_of = {doc: name for name, listed in docs.items() for doc in listed}
    # Order fixes the direction of every edge, so there are no cycles: g's documents may derive from h's and u's.
    order = [*docs["h"], *docs["u"], *docs["g"]]
    weights = {doc: rng.choice([0.5, 1.0, 2.0]) for doc in rng.sample([*docs["h"], *docs["u"]], 5)}
    mix(catalog, "x", ["h", "u"], weights)
    edges = [("model:gm", "trained", "mix:x@1"), ("model:other", "trained", "corpus:h@1")]
    own: dict[UUID, list[tuple[str, UUID | str]]] = {}
    for i, doc in enumerate(order):
        for j in range(i):
            # A document of the mix may not come from what was trained on the mix.
            if rng.random() < 0.12 and not (node_of[doc] != "g" and node_of[order[j]] == "g"):
                own.setdefault(doc, []).append(("derived", order[j]))
    # Of the mix and of what the other model learned from, no document may come from that model.
    free = [doc for doc in docs["u"] if doc not in weights]
    for doc in [*rng.sample(docs["g"], 2), *free]:
        own.setdefault(doc, []).append(("made", "model:other"))
    edges += [(f"doc:{d}", r, p if isinstance(p, str) else f"doc:{p}") for d, listed in own.items() for r, p in listed]
    link(catalog, *edges)

    def mean(parts):
        low = min(p[0] or 0 for _, p in parts)
        high = None if any(p[1] is None for _, p in parts) else max(p[1] for _, p in parts)
        known = [w * p[2] for w, p in parts if p[2] is not None]
        return low, high, sum(known) / sum(w for w, _ in parts) if known else None

    @cache
    def model_depth(name):
        if name == "model:gm":
            return mean([(w, depth(doc)) for doc, w in weights.items()])
        return mean([(1.0, depth(doc)) for doc in docs["h"]])

    @cache
    def depth(doc):
        corpus = node_of[doc]
        by_model = corpus == "g" or any(relation == "made" for relation, _ in own.get(doc, []))
        parts = [] if doc not in own else [
            (1.0, step(depth(p) if isinstance(p, UUID) else model_depth(p), by_model)) for _, p in own[doc]
        ]  # fmt: skip
        if corpus == "g":
            parts.append((1.0, step(model_depth("model:gm"), True)))
        if parts:
            return mean(parts)
        return (0, 0, 1.0) if corpus == "h" else (None, None, None)

    def step(d, crosses):
        return (d[0] or 0) + crosses, None if d[1] is None else d[1] + crosses, d[2]

    @cache
    def up(node) -> frozenset[str]:
        found = set()
        if isinstance(node, UUID):
            for _, p in own.get(node, []):
                found |= {p if isinstance(p, str) else f"doc:{p}"} | up(p)
            if node_of[node] == "g":
                found |= {"model:gm"} | up("model:gm")
        elif node == "model:gm":
            found |= {"mix:x@1", "corpus:h@1", "corpus:u@1"} if len({node_of[d] for d in weights}) == 2 else set()
        elif node == "model:other":
            found |= {"corpus:h@1"}
        return frozenset(found)

    from provenance.catalog.depth import graph_depths

    with catalog.read() as con, graph_depths(con):
        computed = {
            row[0]: row[1:]
            for row in con.execute(
                """
                SELECT d.doc_id, coalesce(o.low, p.low), CASE WHEN o.node IS NULL THEN p.high ELSE o.high END,
                    CASE WHEN o.node IS NULL THEN p.human ELSE o.human END
                FROM document d JOIN cell c ON c.corpus_id = d.corpus_id JOIN graph_depth p ON p.node = cell_key(c.cell)
                LEFT JOIN graph_depth o ON o.node = d.doc_id
                """
            ).fetchall()
        }
    for doc in order:
        low, high, human = depth(doc)
        assert computed[doc][:2] == (low, high), (doc, own.get(doc))
        assert computed[doc][2] == (None if human is None else pytest.approx(human))
    for doc in [*own][:4]:
        # Past a mix, which documents of a corpus were reached is not followed; before it, every node is exact.
        expected, seen = up(doc), set(nodes(ancestors(catalog, f"doc:{doc}")))
        assert expected <= seen
        assert {n for n in seen - expected if n.startswith("doc:")} == set()


def test_depth_columns_follow_an_import_and_recorded_ones_stay(catalog, loop, write_jsonl, tmp_path):
    from provenance.lineage.imports import import_edges

    human, outside = loop
    (tmp_path / "edges.csv").write_text(f"child,parent,relation\ndoc:{outside[1]},doc:{human[2]},derived_from\n")
    done = import_edges(catalog, tmp_path / "edges.csv")
    assert (done.edges, done.depths_changed) == (1, 1)
    with catalog.read() as con:
        rows = con.execute(
            "SELECT corpus, generation, generation_max, human_ancestry FROM documents WHERE doc_id = ?", [outside[1]]
        ).fetchall()
    # Half from the human text it rewrites, half from a model of which nothing is known.
    assert rows == [("chat", 1, None, 0.5)]
    assert get_corpus(catalog, "gen1").documents == 2


@pytest.mark.parametrize("whole", [False, True], ids=["documents", "corpora"])
def test_a_models_rewriting_of_a_human_text_is_a_generation_away_from_it(catalog, run, write_jsonl, tmp_path, whole):
    (human,) = add(catalog, write_jsonl, "books", ["as a person wrote it"], Origin.HUMAN)
    rewritten, again = add(catalog, write_jsonl, "rewritten", ["as a model put it", "and once more"], None)
    (tmp_path / "edges.csv").write_text(
        "child,parent,relation\n"
        + (
            "corpus:rewritten@1,corpus:books@1,derived_from\ncorpus:rewritten@1,model:gpt,generated_by\n"
            if whole
            else f"doc:{rewritten},doc:{human},derived_from\ndoc:{rewritten},model:gpt,generated_by\n"
            f"doc:{again},doc:{rewritten},derived_from\ndoc:{again},model:gpt,generated_by\n"
        )
    )
    assert run("lineage", "import", tmp_path / "edges.csv", "--new-models").exit_code == 0
    with catalog.read() as con:
        found = con.execute(
            "SELECT generation, generation_max, human_ancestry FROM documents WHERE corpus = 'rewritten' ORDER BY key"
        ).fetchall()
    # Half from a person's text; nothing is known of what the model learned from.
    assert found == [(1, None, 0.5), (1, None, 0.5) if whole else (1, None, 0.25)]
    assert run("verify").exit_code == 0


def depths(catalog, name):
    with catalog.read() as con:
        return con.execute(
            "SELECT generation, generation_max, human_ancestry FROM documents WHERE corpus = ? ORDER BY key", [name]
        ).fetchall()


@pytest.mark.parametrize("origin", [None, *Origin])
def test_a_corpus_with_a_generator_is_added_as_deep_as_its_lineage_says(catalog, run, write_jsonl, origin):
    add(catalog, write_jsonl, "said", ["one"], origin, "gpt")
    add(catalog, write_jsonl, "unsaid", ["one"], origin)
    assert depths(catalog, "said") == [(0, 0, 1.0) if origin is Origin.HUMAN else (1, None, None)]
    assert run("verify").exit_code == 0


def test_a_generator_of_each_document_counts_for_that_document_alone(catalog, run, write_jsonl):
    rows = [{"text": "a", "by": "gpt"}, {"text": "b", "by": None}, {"text": "c", "by": "gpt", "who": "human"}]
    fields = ["--generator-field", "by", "--origin-field", "who"]
    assert run("corpus", "add", "c", write_jsonl("c.jsonl", rows), *fields).exit_code == 0
    assert depths(catalog, "c") == [(1, None, None), (None, None, None), (0, 0, 1.0)]
    assert run("verify").exit_code == 0


def test_a_generator_whose_training_is_recorded_gives_its_texts_an_upper_bound(catalog, run, write_jsonl):
    add(catalog, write_jsonl, "books", ["a person's"], Origin.HUMAN)
    link(catalog, ("model:g", "trained", "corpus:books@1"))
    add(catalog, write_jsonl, "said", ["a model's"], None, "g")
    assert depths(catalog, "said") == [(1, 1, 1.0)]
    assert run("verify").exit_code == 0


def test_a_document_added_again_with_other_labels_keeps_the_depth_its_edges_give_it(
    catalog, run, write_jsonl, tmp_path
):
    (human,) = add(catalog, write_jsonl, "books", ["a person's"], Origin.HUMAN)
    linked, _ = add(catalog, write_jsonl, "c", ["rewritten", "another"], None)
    (tmp_path / "edges.csv").write_text(f"child,parent,relation\ndoc:{linked},doc:{human},derived_from\n")
    assert run("lineage", "import", tmp_path / "edges.csv").exit_code == 0
    # The graph has grown, the data have not.
    assert run("corpus", "add", "c", tmp_path / "c.jsonl", "--key-field", "id").stdout.startswith("unchanged: c@1")
    assert add(catalog, write_jsonl, "c", ["rewritten", "another"], Origin.MIXED, "gpt")[0] == linked
    assert depths(catalog, "c") == [(0, 0, 1.0), (1, None, None)]
    assert run("verify").exit_code == 0


def test_the_public_macros_answer_in_sql(catalog, loop, run):
    assert "model:gpt" in run("sql", "select node from ancestors('corpus:gen1@1')").stdout
    assert "corpus:gen1@1" in run("sql", "select node from descendants('model:gpt')").stdout
    assert (
        run("sql", "--format", "csv", "select generation_of('mix:m0@1') g, human_ancestry('corpus:books@1') h").stdout
        == "g,h\n0,1.0\n"
    )
    found = run("sql", "--format", "csv", "select relation, count(*) n from lineage group by all order by 1").stdout
    assert found == "relation,n\nderived_from,2\ngenerated_by,2\nmember_of,9\ntrained_on,2\n"


def test_depths_that_an_earlier_rule_left_in_an_old_catalog_are_set_right_when_it_is_opened(
    catalog, run, write_jsonl, tmp_path
):
    add(catalog, write_jsonl, "human", ["a text of somebody's", "a second text"], Origin.HUMAN)
    add(catalog, write_jsonl, "syn", ["a rewriting of it"], None, "gpt-x")
    edges = tmp_path / "edges.csv"
    edges.write_text("child,parent,relation\ncorpus:syn@1,corpus:human@1,derived_from\n")
    assert run("lineage", "import", edges).exit_code == 0
    with catalog.write() as con:
        con.execute("UPDATE document SET generation = 0 WHERE declared_generator = 'gpt-x'")
        con.execute("DROP VIEW pictures")
        con.execute("DROP TABLE picture")
        con.execute("DELETE FROM schema_migration WHERE version > 8")
    opened = Catalog.open(catalog.root)
    with opened.read() as con:
        assert con.execute("SELECT generation FROM documents WHERE corpus = 'syn'").fetchall() == [(1,)]
    assert run("verify").exit_code == 0


def test_ancestors_follow_single_documents_and_not_their_whole_corpus(catalog, run, write_jsonl):
    x, y, w = (add(catalog, write_jsonl, name, [f"{name}{i}" for i in range(4)], Origin.HUMAN) for name in "xyw")
    link(
        catalog,
        (f"doc:{x[1]}", "derived", f"doc:{y[1]}"),
        (f"doc:{y[2]}", "derived", f"doc:{w[0]}"),
        (f"doc:{y[2]}", "derived", "external:z"),
    )
    assert {r.node: r.documents for r in ancestors(catalog, "x")} == {f"doc:{y[1]}": 1, "corpus:y@1": 1}
    assert path(catalog, "x", "external:z") == path(catalog, "x", "w") == []
    assert path(catalog, "x", "y")[-1] == ("derived_from", "corpus:y@1")
    assert {r.node: r.documents for r in ancestors(catalog, "y")} == {
        f"doc:{w[0]}": 1,
        "corpus:w@1": 1,
        "external:z": 0,
    }


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_ancestors_are_the_inverse_of_descendants_and_both_agree_with_a_plain_closure(catalog, write_jsonl, seed):
    rng = random.Random(seed)
    docs = {n: add(catalog, write_jsonl, n, [f"{n}{i}" for i in range(3)], Origin.HUMAN) for n in "abc"}
    docs["g"] = add(catalog, write_jsonl, "g", [f"g{i}" for i in range(3)], None, "gm")
    in_order = [f"doc:{doc}" for n in "abcg" for doc in docs[n]]
    corpus_of = {f"doc:{doc}": f"corpus:{n}@1" for n, listed in docs.items() for doc in listed}
    edges = []
    for i, child in enumerate(in_order):
        edges += [(child, "derived", parent) for parent in in_order[:i] if rng.random() < 0.08]
    edges += [(child, "derived", "external:z") for child in rng.sample(in_order, 2)]
    edges.append((in_order[-1], "derived", "corpus:a@1"))
    mixed = rng.sample([*docs["a"], *docs["b"], *docs["c"]], 4)
    mix(catalog, "m", ["a", "b", "c"], dict.fromkeys(mixed, 1.0))
    edges += [
        ("model:gm", "trained", "mix:m@1"),
        ("model:top", "trained", "corpus:g@1"),
        ("corpus:c@1", "derived", "external:c"),
    ]
    link(catalog, *edges)

    up: dict[str, set[str]] = {}
    for child, _, parent in edges:
        up.setdefault(child, set()).add(parent)
    for doc, corpus in corpus_of.items():
        up.setdefault(corpus, set()).add(doc)
        up.setdefault(doc, set()).update(
            {"external:c"} if corpus == "corpus:c@1" else {"model:gm"} if "g@" in corpus else ()
        )
    up["mix:m@1"] = {f"doc:{doc}" for doc in mixed}

    def closure(node):
        seen, todo = set(), [node]
        while todo:
            new = up.get(todo.pop(), set()) - seen
            seen |= new
            todo += new
        return seen

    named = [*sorted(set(corpus_of.values())), "mix:m@1", "model:gm", "model:top", "external:z", "external:c"]
    below = {node: set(nodes(descendants(catalog, node))) for node in named}
    whole = {
        node: {r.node for r in descendants(catalog, node) if r.node.startswith("corpus:") and r.documents == 3}
        for node in named
    }
    for node in [*named, *in_order]:
        expected, found = closure(node), {r.node: r.documents for r in ancestors(catalog, node)}
        counts: dict[str, int] = {}
        for doc in expected & corpus_of.keys():
            counts[corpus_of[doc]] = counts.get(corpus_of[doc], 0) + 1
        counts.pop(node, None)
        assert {name: n for name, n in found.items() if name.startswith("corpus:")} == counts, node
        assert {name for name in found if not name.startswith(("corpus:", "doc:"))} == {
            name for name in expected if not name.startswith(("corpus:", "doc:"))
        }, node
        assert {name for name in found if name.startswith("doc:")} <= expected
        for other in named:
            if other != node and corpus_of.get(node) != other:
                # A corpus of which all documents descend stands for them.
                listed = node in below[other] or (node in in_order and corpus_of[node] in whole[other])
                assert (other in found) == listed, (node, other)
                assert bool(path(catalog, node, other)) == (other in found), (node, other)


def test_a_removed_corpus_and_its_documents_still_answer_an_audit(catalog, run, write_jsonl):
    books = add(catalog, write_jsonl, "books", ["a", "b"], Origin.HUMAN)
    web = add(catalog, write_jsonl, "web", ["A!", "B!"], None)
    link(catalog, (f"doc:{web[0]}", "derived", f"doc:{books[0]}"), ("model:g", "trained", "corpus:web@1"))
    assert run("corpus", "rm", "web").exit_code == 0
    assert nodes(descendants(catalog, "web")) == nodes(descendants(catalog, "corpus:web@1")) == ["model:g"]
    assert nodes(ancestors(catalog, "web")) == ["corpus:books@1", f"doc:{books[0]}"]
    assert impact(catalog, "web").documents == {"web@1": 2}
    assert impact(catalog, f"doc:{books[0]}").documents == {"books@1": 1, "web@1": 1}
    assert path(catalog, "model:g", f"doc:{books[0]}")[-1] == ("derived_from", f"doc:{books[0]}")
    assert run("lineage", "show", f"doc:{web[0]}").exit_code == run("lineage", "show", "web").exit_code == 0
    listed = {row["corpus"]: row for row in json.loads(run("corpus", "ls", "--all", "--json").stdout)["rows"]}
    assert listed["books@1"]["removed_at"] is None
    assert listed["web@1"]["removed_at"] is not None
    assert "web" not in run("corpus", "ls").stdout
    found = run("sql", "--format", "csv", "select count(*) n, count(removed_at) gone from all_documents").stdout
    assert found == "n,gone\n4,2\n"
    assert json.loads(run("corpus", "show", f"doc:{web[0]}", "--json").stdout)["key"] == "000"
    assert json.loads(run("corpus", "show", "web", "--json").stdout)["removed_at"]
    refused = run("corpus", "export", "web", "out.parquet")
    assert "what stays: provenance corpus show web@1, provenance lineage show corpus:web@1" in refused.stderr

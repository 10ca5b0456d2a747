"""The lineage graph in the catalog: adding edges, and asking what came from what. Knows ids, no texts.

Corpora, mixes and models are nodes; so is each document with an edge of its own. Documents that only share what their
corpus says of them are one node, a cell, so that ten million documents are a graph of a few hundred nodes. The views
and recursive macros are in schemas/migrations/0005_lineage.sql.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from provenance.catalog.corpora import find_document, get_corpus
from provenance.catalog.depth import DepthCount, count_depths, graph_depths
from provenance.catalog.mixes import get_mix
from provenance.errors import DataError, NotFoundError, UsageError
from provenance.types import LineageEdge, Relation

if TYPE_CHECKING:
    import duckdb

    from provenance.catalog.store import Catalog

KINDS = ("doc", "corpus", "mix", "model", "external")
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Relative:
    """An ancestor or descendant of a node."""

    node: str
    distance: int
    """Steps on the shortest way."""
    relation: str
    """The last step of that way, the first one from the node asked for."""
    documents: int
    """Documents it stands for: 1 for a document, those concerned for a corpus, 0 for a mix or model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What is tainted when a node is withdrawn."""

    documents: dict[str, int]
    """Documents per corpus, the node's own included."""
    mixes: list[str]
    models: list[str]
    runs: list[str]
    """Experiment runs with a tainted model or training set."""


def resolve_node(catalog: "Catalog", ref: str) -> str:
    """The full node id of a reference: versions filled in, document prefixes completed. Raises NotFoundError.

    A removed corpus is still a node: what was made of it is asked about most when it had to go.
    """
    kind, colon, name = ref.partition(":")
    if not colon:
        return f"corpus:{get_corpus(catalog, ref, removed=True).ref}"
    if kind == "doc":
        return f"doc:{find_document(catalog, ref)}"
    if kind == "corpus":
        return f"corpus:{get_corpus(catalog, name, removed=True).ref}"
    if kind == "mix":
        return f"mix:{get_mix(catalog, name).ref}"
    if kind not in KINDS:
        raise UsageError(
            f"{ref!r} names no kind of node", hint=f"nodes read {', '.join(f'{k}:…' for k in KINDS)}; or a corpus name"
        )
    with catalog.read() as con:
        known = [row[0] for row in con.execute("SELECT name FROM lineage_node WHERE starts_with(name, ?)", [f"{kind}:"])
                 .fetchall()]  # fmt: skip
    if ref not in known:
        raise NotFoundError.of(f"{kind} node", ref, known)
    return ref


def ancestors(catalog: "Catalog", ref: str) -> list[Relative]:
    """Everything the node came from, nearest first. Raises NotFoundError."""
    return _closure(catalog, "ancestors", ref)


def descendants(catalog: "Catalog", ref: str) -> list[Relative]:
    """Everything that came from the node, nearest first. Raises NotFoundError."""
    return _closure(catalog, "descendants", ref)


def parents(catalog: "Catalog", ref: str) -> list[tuple[str, str]]:
    """(relation, parent) of each edge the node itself has."""
    node = resolve_node(catalog, ref)
    with catalog.read() as con:
        return con.execute("SELECT relation, parent FROM lineage WHERE child = ? ORDER BY ALL", [node]).fetchall()


def direct_steps(catalog: "Catalog") -> set[tuple[str, str]]:
    """(child, parent) of corpora, mixes and models that are one step apart already, be it for some documents only.

    An event says of a whole corpus what the catalog may know better, document by document.
    """
    with catalog.read() as con:
        return set(
            con.execute(
                "SELECT DISTINCT c.name, p.name FROM lineage_step s "
                "JOIN lineage_node c ON c.node = s.child JOIN lineage_node p ON p.node = s.parent"
            ).fetchall()
        )


def path(catalog: "Catalog", child: str, ancestor: str) -> list[tuple[str, str]]:
    """The shortest way from `child` up to `ancestor` as (relation, node) steps; [] where there is none."""
    start, goal = resolve_node(catalog, child), resolve_node(catalog, ancestor)
    with catalog.read() as con:
        rows = con.execute(
            "SELECT node, name, relation, via, distance, corpus FROM ancestor_steps([?])", [start]
        ).fetchall()
    by_node = {row[0]: row for row in rows}
    # A corpus is reached where one of its documents is.
    reached = min(
        (row for row in rows if goal in {row[1], row[5]} and row[4] > 0), key=lambda row: int(row[4]), default=None
    )
    steps: list[tuple[str, str]] = []
    while reached is not None and reached[3] is not None:
        steps.append((str(reached[2]), str(reached[1]) if steps else goal))
        reached = by_node.get(reached[3])
    return steps[::-1]


def impact(catalog: "Catalog", ref: str) -> Impact:
    """What descends from a node, and with it would have to go: documents, mixes, models and runs."""
    node = resolve_node(catalog, ref)
    with catalog.read() as con:
        con.execute("CREATE OR REPLACE TEMP TABLE impacted AS SELECT * FROM descendant_steps([?])", [node])
        try:
            documents = con.execute(_IMPACTED_DOCUMENTS).fetchall()
            named = con.execute(
                "SELECT DISTINCT name FROM impacted WHERE NOT starts_with(name, 'doc:') ORDER BY name"
            ).fetchall()
            runs = con.execute(
                """
                SELECT DISTINCT run_id FROM generation_row JOIN impacted
                ON name = 'model:' || model_id OR name = 'corpus:' || sampled_corpus ORDER BY run_id
                """
            ).fetchall()
        finally:
            con.execute("DROP TABLE IF EXISTS temp.impacted")
    names = [row[0] for row in named]
    return Impact(
        documents=dict(documents),
        mixes=[name for name in names if name.startswith("mix:")],
        models=[name for name in names if name.startswith("model:")],
        runs=[row[0] for row in runs],
    )


# A corpus that is reached whole stands for all its documents; single documents are counted under the newest version
# that has them, one that is still here if there is any.
_IMPACTED_DOCUMENTS = """
SELECT corpus, sum(n)::BIGINT FROM (
    SELECT substr(name, 8) AS corpus, documents AS n FROM impacted WHERE starts_with(name, 'corpus:')
    UNION ALL
    SELECT ref, count(*) FROM (
        SELECT first(c.corpus || '@' || c.version ORDER BY c.removed_at IS NULL DESC, c.version DESC) AS ref
        FROM impacted i JOIN document d ON d.doc_id = i.node JOIN corpus c USING (corpus_id)
        WHERE starts_with(i.name, 'doc:') GROUP BY i.node)
    GROUP BY ref)
GROUP BY corpus HAVING sum(n) > 0 ORDER BY corpus
"""


def _closure(catalog: "Catalog", macro: str, ref: str) -> list[Relative]:
    node = resolve_node(catalog, ref)
    with catalog.read() as con:
        rows = con.execute(
            f"SELECT node, distance, relation, documents::BIGINT FROM {macro}(?) ORDER BY distance, node",  # noqa: S608
            [node],
        ).fetchall()
    return [Relative(node=row[0], distance=row[1], relation=row[2], documents=row[3]) for row in rows]


def add_edges(
    con: "duckdb.DuckDBPyConnection",
    edges: Iterable[LineageEdge],
    *,
    activity_id: Any,
    at: datetime,
    new_models: bool = False,
) -> int:
    """Write edges inside the caller's transaction; edges already there are left out. Returns how many were new.

    Every end must be known: a document, corpus or mix of this catalog, a model that a document, an edge or an
    experiment names (any model with `new_models`), or `external:…`. Raises DataError on an unknown end and on a cycle.
    """
    rows = sorted({(edge.child, edge.parent, edge.relation.value) for edge in edges})
    if not rows:
        return 0
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(("child", "parent", "relation"))})
    con.register("new_edges", table)
    try:
        _refuse_unknown(con, new_models=new_models)
        named = con.execute(
            """
            INSERT INTO lineage_edge
            SELECT child, parent, relation, ?, ? FROM new_edges
            WHERE NOT starts_with(child, 'doc:') AND NOT starts_with(parent, 'doc:')
                AND (child, parent, relation) NOT IN (SELECT (child, parent, relation) FROM lineage_edge)
            RETURNING child
            """,
            [activity_id, at],
        ).fetchall()
        documents = con.execute(_INSERT_DOCUMENT_EDGES, [activity_id, at]).fetchall()
        _refuse_cycles(con, rows)
    finally:
        con.unregister("new_edges")
    return len(named) + len(documents)


_INSERT_DOCUMENT_EDGES = """
INSERT INTO document_edge
WITH ends AS (
    SELECT DISTINCT try_cast(substr(name, 5) AS UUID) AS doc_id
    FROM (SELECT unnest([child, parent]) AS name FROM new_edges)
    WHERE starts_with(name, 'doc:')),
cells AS (
    SELECT d.doc_id, max(cell) AS cell
    FROM document d JOIN ends USING (doc_id)
    JOIN cell c ON c.corpus_id = d.corpus_id AND c.generator IS NOT DISTINCT FROM d.declared_generator
        AND c.origin IS NOT DISTINCT FROM d.declared_origin
    GROUP BY d.doc_id),
split AS (
    SELECT CASE WHEN NOT starts_with(child, 'doc:') THEN child END AS child,
        CASE WHEN starts_with(child, 'doc:') THEN try_cast(substr(child, 5) AS UUID) END AS child_doc,
        CASE WHEN NOT starts_with(parent, 'doc:') THEN parent END AS parent,
        CASE WHEN starts_with(parent, 'doc:') THEN try_cast(substr(parent, 5) AS UUID) END AS parent_doc, relation
    FROM new_edges WHERE starts_with(child, 'doc:') OR starts_with(parent, 'doc:'))
SELECT s.child, s.child_doc, c.cell, s.parent, s.parent_doc, p.cell, s.relation, ?, ?
FROM split s LEFT JOIN cells c ON c.doc_id = s.child_doc LEFT JOIN cells p ON p.doc_id = s.parent_doc
WHERE NOT EXISTS (
    SELECT 1 FROM document_edge e
    WHERE e.child_doc IS NOT DISTINCT FROM s.child_doc AND e.child IS NOT DISTINCT FROM s.child
        AND e.parent_doc IS NOT DISTINCT FROM s.parent_doc AND e.parent IS NOT DISTINCT FROM s.parent
        AND e.relation = s.relation)
RETURNING relation
"""


def _refuse_unknown(con: "duckdb.DuckDBPyConnection", *, new_models: bool) -> None:
    unknown = con.execute(
        """
        WITH ends AS (SELECT DISTINCT unnest([child, parent]) AS name FROM new_edges)
        SELECT name FROM ends
        WHERE CASE
            WHEN starts_with(name, 'doc:') THEN
                NOT EXISTS (SELECT 1 FROM document WHERE doc_id = try_cast(substr(name, 5) AS UUID))
            WHEN starts_with(name, 'external:') THEN length(name) = 9
            WHEN starts_with(name, 'model:') THEN length(name) = 6 OR NOT (? OR name IN (
                SELECT name FROM lineage_node UNION ALL SELECT 'model:' || model_id FROM model
                -- A model is known once the same batch says what it was trained on.
                UNION ALL SELECT child FROM new_edges WHERE relation IN ('trained_on', 'derived_from')))
            ELSE name NOT IN (SELECT name FROM lineage_node) END
        ORDER BY name
        """,
        [new_models],
    ).fetchall()
    if unknown:
        names = [row[0] for row in unknown]
        models = all(name.startswith("model:") for name in names)
        raise DataError(
            f"{len(names)} unknown node{'s' if len(names) > 1 else ''} in the edges: {', '.join(names[:_SHOWN])}"
            + (" …" if len(names) > _SHOWN else ""),
            hint="to accept models the catalog has not met, add --new-models"
            if models
            else "nodes read doc:UUID, corpus:name@version, mix:name@version, model:name or external:name",
        )


_WALKED_APART = 16
_MEETS_A_CHILD = """
WITH reached AS MATERIALIZED (SELECT DISTINCT name, corpus FROM ancestor_steps($starts)),
below AS (SELECT child FROM new_edges WHERE relation <> 'near_duplicate_of' AND list_contains($starts, parent)),
child AS (
    SELECT child AS name FROM below
    UNION ALL
    SELECT 'corpus:' || corpus || '@' || version
    FROM below JOIN document d ON d.doc_id = node_key(child) JOIN corpus USING (corpus_id)
    WHERE starts_with(child, 'doc:'))
SELECT count(*) > 0 FROM child WHERE name IN (SELECT name FROM reached)
    OR name IN (SELECT child FROM below) AND name IN (SELECT corpus FROM reached)
"""


def _refuse_cycles(con: "duckdb.DuckDBPyConnection", rows: Sequence[tuple[str, str, str]]) -> None:
    """A new edge closes a cycle exactly if its child is an ancestor of its parent."""
    acyclic = [row for row in rows if row[2] != Relation.NEAR_DUPLICATE_OF]
    for child, parent, relation in acyclic:
        if child == parent:
            raise DataError(f"{child} cannot be {relation} itself", hint="nothing was changed")
    parents = sorted({parent for _, parent, _ in acyclic})
    if any(name.startswith("doc:") for row in acyclic for name in row[:2]):
        # A walk up from the parents, document by document; only where it meets a child, or a child's corpus, is the
        # whole graph searched. A few are walked up from one by one: a generation's own chain (mix, model, output)
        # would meet itself otherwise.
        apart = [[parent] for parent in parents] if len(parents) <= _WALKED_APART else [parents]
        suspect = any(con.execute(_MEETS_A_CHILD, {"starts": starts}).fetchall()[0][0] for starts in apart)
    else:
        # With every document put into its cell there may be cycles too many, but none is missing, and a new one
        # passes through the parent of a new edge.
        in_cycle = _components(con, "lineage_step")
        suspect = any(key in in_cycle for parent in parents for key in _keys(con, parent)) if in_cycle else False
    if not suspect:
        return
    component = _components(con, "exact_step")
    for child, parent, relation in acyclic:
        here, there = ({component.get(key) for key in _keys(con, node)} - {None} for node in (child, parent))
        if here & there:
            raise DataError(
                f"{child} {relation} {parent} closes a cycle: {parent} already descends from {child}",
                hint=f"nothing was changed; see: provenance lineage path {parent} {child}",
            )


def _keys(con: "duckdb.DuckDBPyConnection", node: str) -> list[int]:
    """The hashed graph nodes a name stands for: itself, and the cells of a corpus."""
    rows = con.execute(
        "SELECT hash(node_key($node)) UNION ALL SELECT hash(node) FROM lineage_node WHERE name = $node", {"node": node}
    ).fetchall()
    return [row[0] for row in rows]


def _components(con: "duckdb.DuckDBPyConnection", steps: str) -> dict[int, int]:
    """Hashed node to the number of its cycle in a view of steps, for nodes that are in one."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    columns = con.execute(f"SELECT hash(child) AS child, hash(parent) AS parent FROM {steps}").fetchnumpy()  # noqa: S608
    nodes, index = np.unique(np.concatenate([columns["child"], columns["parent"]]), return_inverse=True)
    child, parent = np.split(index, 2)
    graph = coo_array((np.ones(len(child), dtype=np.int8), (child, parent)), shape=(len(nodes), len(nodes)))
    _, label = connected_components(graph, directed=True, connection="strong")
    in_cycle = np.bincount(label)[label] > 1
    return dict(zip(nodes[in_cycle].tolist(), label[in_cycle].tolist(), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDescription:
    """One node and what is around it."""

    node: str
    generation: int | None
    generation_max: int | None
    human_ancestry: float | None
    parents: list[tuple[str, str]]
    """(relation, parent) of its own edges."""
    ancestors: int
    descendants: int


def describe_node(catalog: "Catalog", ref: str) -> NodeDescription:
    """What `lineage show` prints. Raises NotFoundError."""
    node = resolve_node(catalog, ref)
    with catalog.read() as con:
        depth = con.execute(
            """
            SELECT min(generation), CASE WHEN count(*) = count(generation_max) THEN max(generation_max) END,
                sum(weight * human_ancestry) / sum(weight) FROM node_documents(?)
            """,
            [node],
        ).fetchall()[0]
        above, below = (
            con.execute(f"SELECT count(*) FROM {macro}(?)", [node]).fetchall()[0][0]  # noqa: S608
            for macro in ("ancestors", "descendants")
        )
    return NodeDescription(
        node=node, generation=depth[0], generation_max=depth[1], human_ancestry=depth[2],
        parents=parents(catalog, node), ancestors=above, descendants=below,
    )  # fmt: skip


def all_depths(catalog: "Catalog") -> list[DepthCount]:
    """How many documents lie how deep, from the whole graph."""
    with catalog.read() as con, graph_depths(con):
        return count_depths(con)

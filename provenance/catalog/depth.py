"""Generation depth and human ancestry of every node, computed from the graph. Knows edges and declarations, no texts.

Human text is at depth 0; a model's text is one deeper than what the model learned from. `low` is at least so many model
generations, `high` at most (None where some model's training is not recorded), `human` the share of ancestry known to
end in human text: the weighted mean over parents, unknown ancestry counting as none. What a model wrote is its text
whatever else it came from: where one step up is `generated_by`, every step crosses a model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

# Documents with edges of their own, and those edges; a document in several versions of a corpus counts in the newest.
_OWN = """
CREATE OR REPLACE TEMP TABLE graph_own AS
SELECT child_doc AS node, max(child_cell) AS cell, max((relation = 'generated_by')::INTEGER) AS by_model
FROM document_edge WHERE child_doc IS NOT NULL AND relation <> 'near_duplicate_of' GROUP BY child_doc
"""
_CELL = """
CREATE OR REPLACE TEMP TABLE graph_cell AS
SELECT cell, cell_key(cell) AS node, cell.documents, corpus_key(corpus, version) AS corpus_node, corpus,
    (coalesce(origin = 'model', false)
        OR cell_key(cell) IN (SELECT child FROM lineage_step WHERE relation = 'generated_by' AND NOT partial))::INTEGER
        AS by_model
FROM cell JOIN corpus USING (corpus_id)
"""
_EDGE = """
CREATE OR REPLACE TEMP TABLE graph_edge AS
SELECT coalesce(e.child_doc, md5(e.child)::UUID) AS child, e.child_doc IS NOT NULL AS by_document, e.child_cell AS cell,
    coalesce(own.node, p.node, md5(e.parent)::UUID) AS parent, own.node IS NOT NULL AS parent_own,
    1.0::DOUBLE AS weight,
    CASE WHEN e.child_doc IS NULL THEN 0 ELSE greatest(made.by_model, c.by_model) END AS crosses
FROM document_edge e LEFT JOIN graph_own own ON own.node = e.parent_doc
LEFT JOIN graph_own made ON made.node = e.child_doc
LEFT JOIN graph_cell p ON p.cell = e.parent_cell LEFT JOIN graph_cell c ON c.cell = e.child_cell
WHERE e.relation <> 'near_duplicate_of'
"""
# What documents with edges of their own still have from their corpus: who generated them.
_INHERITED = """
CREATE OR REPLACE TEMP TABLE graph_inherited AS
SELECT cell, s.parent, s.weight, s.crosses
FROM graph_cell c JOIN lineage_step s ON s.child = c.node AND NOT s.partial AND s.relation = 'generated_by'
"""
# Only corpora that hold documents with edges of their own can have put such a document into a mix.
_IN_MIX = """
CREATE OR REPLACE TEMP TABLE graph_in_mix AS
SELECT mix, version, doc_id AS node, m.cell, count(*) AS n, sum(weight) AS weight
FROM mix_document m
WHERE m.cell IN (SELECT c.cell FROM graph_cell c WHERE corpus IN (
        SELECT corpus FROM graph_cell JOIN (SELECT DISTINCT cell FROM graph_own) USING (cell)))
    AND doc_id IN (SELECT node FROM graph_own)
GROUP BY ALL
"""
# Steps up from cells, models, mixes and corpora. Corpora are left out unless a model was trained on one: their
# documents answer for themselves.
_NAMED = """
CREATE OR REPLACE TEMP TABLE graph_named AS
WITH asked AS (
    SELECT * FROM graph_cell WHERE corpus_node IN (SELECT parent FROM lineage_step WHERE descends)),
own AS (
    SELECT corpus_node, o.node, o.cell FROM graph_own o JOIN asked USING (cell))
SELECT child, parent, weight, greatest(crosses, by_model) AS crosses, false AS parent_own
FROM lineage_step LEFT JOIN graph_cell ON node = child WHERE descends AND NOT partial AND relation <> 'consists_of'
UNION ALL
SELECT child, parent, weight, crosses, parent_own FROM graph_edge WHERE NOT by_document
UNION ALL
SELECT corpus_node, node, documents - coalesce(n, 0), 0, false
FROM asked LEFT JOIN (SELECT cell, count(*) AS n FROM own GROUP BY cell) USING (cell)
WHERE documents > coalesce(n, 0)
UNION ALL
SELECT corpus_node, node, 1.0, 0, true FROM own
UNION ALL
SELECT mix_key(mix, version), c.node, m.weight - coalesce(o.weight, 0), 0, false
FROM (SELECT mix, version, cell, count(*) AS n, sum(weight) AS weight FROM mix_document GROUP BY ALL) m
JOIN graph_cell c USING (cell)
LEFT JOIN (SELECT mix, version, cell, sum(n) AS n, sum(weight) AS weight FROM graph_in_mix GROUP BY ALL) o
    USING (mix, version, cell)
WHERE m.n > coalesce(o.n, 0)
UNION ALL
SELECT mix_key(mix, version), node, weight, 0, true FROM graph_in_mix
"""

_ROOTS = """
CREATE OR REPLACE TEMP TABLE graph_root AS
SELECT cell_key(cell) AS node,
    CASE origin WHEN 'human' THEN 0 WHEN 'model' THEN 1 END AS low, CASE WHEN origin = 'human' THEN 0 END AS high,
    CASE WHEN origin = 'human' THEN 1.0::DOUBLE END AS human
FROM cell
UNION ALL
SELECT node, 0, NULL, NULL FROM lineage_node WHERE starts_with(name, 'model:') OR starts_with(name, 'external:')
"""

# A child is worked out anew whenever one of its parents was, from all its parents as they stand. The graph has no
# cycles, so this ends, and the last time it is right.
_PROPAGATE = """
WITH RECURSIVE depth(node, low, high, human) USING KEY (node) AS (
    SELECT node, low, high, human FROM {roots} WHERE node NOT IN (SELECT child FROM {steps})
    UNION
    SELECT s.child, min(coalesce(p.low, 0) + s.crosses),
        CASE WHEN count(*) = count(p.high) THEN max(p.high + s.crosses) END,
        sum(s.weight * p.human) / sum(s.weight)
    FROM (SELECT DISTINCT s.child FROM depth d JOIN {steps} s ON s.parent = d.node) c
    JOIN {steps} s USING (child)
    LEFT JOIN recurring.depth p ON p.node = s.parent
    GROUP BY s.child)
SELECT * FROM depth
"""

# Most documents with edges of their own feed no mix or model. Their turn comes after the few hundred other nodes are
# settled, so that the long chains of generations are not walked with millions of rows in tow.
_NEEDED = """
CREATE OR REPLACE TEMP TABLE graph_needed AS
WITH RECURSIVE needed(node) USING KEY (node) AS (
    SELECT DISTINCT parent FROM graph_named WHERE parent_own
    UNION
    SELECT DISTINCT e.parent FROM needed n JOIN graph_edge e ON e.child = n.node
    WHERE e.parent_own AND e.parent NOT IN (SELECT node FROM recurring.needed))
SELECT node FROM needed
"""
_FIRST = """
CREATE OR REPLACE TEMP TABLE graph_first AS
SELECT child, parent, weight, crosses FROM graph_named
UNION ALL
SELECT child, parent, weight, crosses FROM graph_edge WHERE by_document AND child IN (SELECT node FROM graph_needed)
UNION ALL
SELECT node, parent, weight, crosses
FROM graph_own JOIN graph_needed USING (node) JOIN graph_inherited USING (cell)
"""
_REST = """
CREATE OR REPLACE TEMP TABLE graph_rest AS
SELECT child, cell, parent, weight, crosses, parent_own AND parent NOT IN (SELECT node FROM graph_needed) AS open
FROM graph_edge WHERE by_document AND child NOT IN (SELECT node FROM graph_needed)
"""
_FROM_CELL = """
CREATE OR REPLACE TEMP TABLE graph_from_cell AS
SELECT cell, min(coalesce(p.low, 0) + s.crosses) AS low,
    CASE WHEN count(*) = count(p.high) THEN max(p.high + s.crosses) END AS high,
    sum(s.weight * p.human) AS human, sum(s.weight) AS weight
FROM graph_inherited s LEFT JOIN graph_depth p ON p.node = s.parent GROUP BY cell
"""
# Documents that others of the rest derive from and that derive from such documents themselves: only they need walking.
_INNER = """
CREATE OR REPLACE TEMP TABLE graph_inner AS
SELECT DISTINCT child AS node FROM graph_rest WHERE open AND child IN (SELECT parent FROM graph_rest WHERE open)
"""
_FROM_PARENTS = """
INSERT INTO graph_depth
SELECT s.node, least(s.low, c.low),
    CASE WHEN s.known AND (c.cell IS NULL OR c.high IS NOT NULL) THEN greatest(s.high, c.high) END,
    CASE WHEN coalesce(s.human, c.human) IS NOT NULL
        THEN (coalesce(s.human, 0) + coalesce(c.human, 0)) / (s.weight + coalesce(c.weight, 0)) END
FROM (
    SELECT s.child AS node, max(s.cell) AS cell, min(coalesce(p.low, 0) + s.crosses) AS low,
        count(*) = count(p.high) AS known, max(p.high + s.crosses) AS high,
        sum(s.weight * p.human) AS human, sum(s.weight) AS weight
    FROM graph_rest s LEFT JOIN graph_depth p ON p.node = s.parent
    WHERE {where} GROUP BY s.child) s
LEFT JOIN graph_from_cell c USING (cell)
"""
_OPEN = "s.child IN (SELECT child FROM graph_rest WHERE open)"
_OUTER = _FROM_PARENTS.format(where=f"NOT {_OPEN}")
_LEAVES = _FROM_PARENTS.format(where=f"{_OPEN} AND s.child NOT IN (SELECT node FROM graph_inner)")  # noqa: S608
# What an inner document has from other parents stands in the chain as one more parent, named by a hash of its id.
_CHAIN_ROOTS = """
CREATE OR REPLACE TEMP TABLE graph_chain_root AS
SELECT s.child AS node, min(coalesce(p.low, 0) + s.crosses) AS low,
    CASE WHEN count(*) = count(p.high) THEN max(p.high + s.crosses) END AS high,
    sum(s.weight * p.human) / sum(s.weight) AS human, sum(s.weight) AS weight, md5(s.child::VARCHAR)::UUID AS root
FROM (
    SELECT child, parent, weight, crosses FROM graph_rest
    WHERE child IN (SELECT node FROM graph_inner) AND parent NOT IN (SELECT node FROM graph_inner)
    UNION ALL
    SELECT node, parent, weight, crosses
    FROM graph_inner JOIN graph_own USING (node) JOIN graph_inherited USING (cell)) s
LEFT JOIN graph_depth p ON p.node = s.parent GROUP BY s.child
"""
_CHAIN = """
CREATE OR REPLACE TEMP TABLE graph_chain AS
SELECT child, parent, weight, crosses FROM graph_rest
WHERE child IN (SELECT node FROM graph_inner) AND parent IN (SELECT node FROM graph_inner)
UNION ALL
SELECT node, root, weight, 0 FROM graph_chain_root
"""
_WALK_CHAIN = "INSERT INTO graph_depth SELECT * FROM ({}) WHERE node IN (SELECT node FROM graph_inner)".format(  # noqa: S608
    _PROPAGATE.format(roots="(SELECT root AS node, low, high, human FROM graph_chain_root)", steps="graph_chain")
)
_WALK_FIRST = (
    f"CREATE OR REPLACE TEMP TABLE graph_depth AS {_PROPAGATE.format(roots='graph_root', steps='graph_first')}"
)
_STEPS = (
    _OWN, _CELL, _EDGE, _INHERITED, _IN_MIX, _NAMED, _ROOTS, _NEEDED, _FIRST, _WALK_FIRST, _FROM_CELL, _REST, _INNER,
    _OUTER, _CHAIN_ROOTS, _CHAIN, _WALK_CHAIN, _LEAVES,
)  # fmt: skip
_TABLES = (
    "own", "cell", "edge", "inherited", "in_mix", "named", "root", "needed", "first", "depth", "from_cell", "rest",
    "inner", "chain_root", "chain",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthCount:
    """How many documents lie so deep."""

    low: int | None
    high: int | None
    human: float | None
    documents: int


@contextmanager
def graph_depths(con: "duckdb.DuckDBPyConnection") -> Iterator[None]:
    """Inside the block, the temporary table graph_depth(node, low, high, human) holds every cell, document and node."""
    try:
        for step in _STEPS:
            con.execute(step)
        yield
    finally:
        for table in _TABLES:
            con.execute(f"DROP TABLE IF EXISTS temp.graph_{table}")


def count_depths(con: "duckdb.DuckDBPyConnection") -> list[DepthCount]:
    """The depth of all documents of the newest version of every corpus, counted. Needs `graph_depths`."""
    rows = con.execute(
        """
        WITH newest AS (SELECT cell, cell.documents FROM cell JOIN corpus USING (corpus_id) WHERE latest)
        SELECT low, high, human, sum(n)::BIGINT FROM (
            SELECT low, high, human, count(*) AS n
            FROM graph_own JOIN newest USING (cell) JOIN graph_depth USING (node) GROUP BY ALL
            UNION ALL
            SELECT low, high, human, documents - coalesce(n, 0)
            FROM newest JOIN graph_depth ON node = cell_key(cell)
            LEFT JOIN (SELECT cell, count(*) AS n FROM graph_own GROUP BY cell) USING (cell))
        GROUP BY ALL HAVING sum(n) > 0 ORDER BY ALL
        """
    ).fetchall()
    return [DepthCount(low=row[0], high=row[1], human=row[2], documents=row[3]) for row in rows]


def store_depths(con: "duckdb.DuckDBPyConnection") -> int:
    """Bring the documents' depth columns in line with the graph, but for texts this program recorded as it made them.

    Part of the caller's transaction; needs `graph_depths`. Returns how many documents changed.
    """
    recorded = "SELECT model_id FROM model"
    changed = con.execute(
        f"""
        UPDATE document SET generation = p.low, generation_max = p.high, human_ancestry = p.human
        FROM (SELECT * FROM cell JOIN graph_depth ON node = cell_key(cell)) p
        WHERE document.corpus_id = p.corpus_id AND document.declared_generator IS NOT DISTINCT FROM p.generator
            AND document.declared_origin IS NOT DISTINCT FROM p.origin
            AND coalesce(p.generator, '') NOT IN ({recorded})
            AND document.doc_id NOT IN (
                SELECT child_doc FROM document_edge WHERE child_doc IS NOT NULL AND relation <> 'near_duplicate_of')
            AND (document.generation, document.generation_max, document.human_ancestry)
                IS DISTINCT FROM (p.low, p.high, p.human)
        """  # noqa: S608
    ).fetchall()
    own = con.execute(
        f"""
        UPDATE document SET generation = p.low, generation_max = p.high, human_ancestry = p.human
        FROM graph_depth p
        WHERE document.doc_id = p.node AND coalesce(document.declared_generator, '') NOT IN ({recorded})
            AND (document.generation, document.generation_max, document.human_ancestry)
                IS DISTINCT FROM (p.low, p.high, p.human)
        """  # noqa: S608
    ).fetchall()
    return int(changed[0][0]) + int(own[0][0])


def settle_depths(con: "duckdb.DuckDBPyConnection", corpus_id: int) -> None:
    """Depths of a corpus just inserted, where the graph knows more than its labels say. In the caller's transaction.

    That is where a generator's own training is recorded, or a document kept the edges an older version of it was given.
    """
    known = con.execute(
        """
        SELECT EXISTS (
            SELECT 1 FROM cell WHERE corpus_id = $id AND coalesce(origin, '') <> 'human'
                AND 'model:' || generator IN (SELECT child FROM lineage_edge UNION ALL SELECT child FROM document_edge))
        OR EXISTS (
            SELECT 1 FROM document_edge e JOIN document d ON d.doc_id = e.child_doc
            WHERE d.corpus_id = $id AND e.relation <> 'near_duplicate_of')
        """,
        {"id": corpus_id},
    ).fetchall()[0][0]
    if known:
        with graph_depths(con):
            store_depths(con)

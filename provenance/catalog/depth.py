"""Generation depth and human ancestry of every node, computed from the graph. Knows edges and declarations, no texts.

Human text is at depth 0; a model's text is one deeper than what the model learned from. `low` is at least so many model
generations, `high` at most (None where some model's training is not recorded), `human` the share of ancestry known to
end in human text: the weighted mean over parents, unknown ancestry counting as none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

# Corpora are left out unless a model was trained on one: their documents answer for themselves.
_GRAPH = """
CREATE OR REPLACE TEMP TABLE graph_step AS
SELECT * FROM exact_step
WHERE descends AND (relation <> 'consists_of' OR child IN (
    SELECT parent FROM lineage_step WHERE descends UNION ALL SELECT mix_key(mix, version) FROM mix))
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
    SELECT DISTINCT parent_doc FROM graph_step WHERE child_doc IS NULL AND parent_doc IS NOT NULL
    UNION
    SELECT DISTINCT s.parent_doc FROM needed n JOIN graph_step s ON s.child_doc = n.node
    WHERE s.parent_doc IS NOT NULL AND s.parent_doc NOT IN (SELECT node FROM recurring.needed))
SELECT node FROM needed
"""
_FIRST = """
CREATE OR REPLACE TEMP TABLE graph_first AS
SELECT child, parent, weight, crosses FROM graph_step
WHERE child_doc IS NULL OR child_doc IN (SELECT node FROM graph_needed)
"""
_REST = """
CREATE OR REPLACE TEMP TABLE graph_rest AS
SELECT child, parent, weight, crosses, parent_doc IS NOT NULL AND parent NOT IN (SELECT node FROM graph_needed) AS open
FROM graph_step WHERE child_doc IS NOT NULL AND child_doc NOT IN (SELECT node FROM graph_needed)
"""
# Documents that others of the rest derive from and that derive from such documents themselves: only they need walking.
_INNER = """
CREATE OR REPLACE TEMP TABLE graph_inner AS
SELECT DISTINCT child AS node FROM graph_rest WHERE open AND child IN (SELECT parent FROM graph_rest WHERE open)
"""
_FROM_PARENTS = """
SELECT s.child AS node, min(coalesce(p.low, 0) + s.crosses) AS low,
    CASE WHEN count(*) = count(p.high) THEN max(p.high + s.crosses) END AS high,
    sum(s.weight * p.human) / sum(s.weight) AS human{more}
FROM graph_rest s LEFT JOIN graph_depth p ON p.node = s.parent
WHERE {where} GROUP BY s.child
"""
_OPEN = "s.child IN (SELECT child FROM graph_rest WHERE open)"
_INNER_CHILD = "s.child IN (SELECT node FROM graph_inner)"
_OUTER = "INSERT INTO graph_depth " + _FROM_PARENTS.format(more="", where=f"NOT {_OPEN}")
_LEAVES = "INSERT INTO graph_depth " + _FROM_PARENTS.format(more="", where=f"{_OPEN} AND NOT {_INNER_CHILD}")
# What an inner document has from other parents stands in the chain as one more parent, named by a hash of its id.
_OUTSIDE = f"{_INNER_CHILD} AND NOT s.parent IN (SELECT node FROM graph_inner)"  # noqa: S608
_ROOT = ", sum(s.weight) AS weight, md5(s.child::VARCHAR)::UUID AS root"
_CHAIN_ROOTS = "CREATE OR REPLACE TEMP TABLE graph_chain_root AS " + _FROM_PARENTS.format(more=_ROOT, where=_OUTSIDE)
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
    _GRAPH, _ROOTS, _NEEDED, _FIRST, _WALK_FIRST, _REST, _INNER, _OUTER, _CHAIN_ROOTS, _CHAIN, _WALK_CHAIN, _LEAVES
)  # fmt: skip
_TABLES = ("step", "root", "needed", "first", "rest", "inner", "chain_root", "chain", "depth")


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
        WITH own AS (
            SELECT DISTINCT child_doc AS node, child_cell AS cell FROM document_edge
            WHERE child_doc IS NOT NULL AND relation <> 'near_duplicate_of'),
        newest AS (SELECT cell, cell.documents FROM cell JOIN corpus USING (corpus_id) WHERE latest)
        SELECT low, high, human, sum(n)::BIGINT FROM (
            SELECT low, high, human, count(*) AS n
            FROM own JOIN newest USING (cell) JOIN graph_depth USING (node) GROUP BY ALL
            UNION ALL
            SELECT low, high, human, documents - coalesce(n, 0)
            FROM newest JOIN graph_depth ON node = cell_key(cell)
            LEFT JOIN (SELECT cell, count(*) AS n FROM own GROUP BY cell) USING (cell))
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

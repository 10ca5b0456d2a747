-- What is above a node is told document by document, as what is below it: no longer whole corpora for one document.

-- Everything the nodes came from, each with the step that first reached it. kind says what a node stands for: a doc,
-- whole cells, the part of a cell that a mix holds, or NULL for what has a name of its own.
CREATE OR REPLACE MACRO ancestor_steps(ids) AS TABLE
    WITH RECURSIVE own AS MATERIALIZED (
        SELECT DISTINCT child_doc AS doc_id FROM document_edge
        WHERE child_doc IS NOT NULL AND relation <> 'near_duplicate_of'),
    held AS MATERIALIZED (
        SELECT mix_key(mix, version) AS mix_node, cell,
            md5('mix:' || mix || '@' || version || ' cell:' || cell)::UUID AS node
        FROM (SELECT DISTINCT mix, version, cell FROM mix_document)),
    -- Documents of a mix with edges of their own: a part of a cell does not lead to the parents of the rest of it.
    member AS MATERIALIZED (
        SELECT k.node AS mix_node, m.doc_id, m.cell
        FROM mix_document m JOIN own USING (doc_id)
        JOIN (SELECT mix, version, mix_key(mix, version) AS node FROM mix) k USING (mix, version)),
    step AS MATERIALIZED (
        SELECT s.child, coalesce(h.node, s.parent) AS parent, s.relation, c.cell,
            CASE WHEN h.node IS NOT NULL THEN 'part' WHEN c.cell IS NOT NULL THEN 'whole' END AS kind
        FROM lineage_step s LEFT JOIN (SELECT cell, cell_key(cell) AS node FROM cell) c ON c.node = s.parent
        LEFT JOIN held h ON h.mix_node = s.child AND h.cell = c.cell
        WHERE NOT s.partial),
    named AS MATERIALIZED (
        SELECT md5(child)::UUID AS node, coalesce(parent_doc, md5(parent)::UUID) AS parent, relation, parent_cell
        FROM document_edge WHERE child IS NOT NULL AND relation <> 'near_duplicate_of'),
    start AS MATERIALIZED (
        SELECT node_key(id) AS node, CASE WHEN starts_with(id, 'doc:') THEN cell_of(node_key(id)) END AS cell
        FROM (SELECT unnest(ids) AS id)),
    found(node, distance, relation, via, cell, kind) USING KEY (node) AS (
        SELECT node, 0, NULL::VARCHAR, NULL::UUID, cell, CASE WHEN cell IS NOT NULL THEN 'doc' END FROM start
        UNION
        SELECT parent, min(distance) + 1, arg_min(relation, relation), arg_min(via, relation), any_value(cell),
            any_value(kind)
        FROM (
            SELECT s.parent, f.distance, s.relation, f.node AS via, s.cell, s.kind
            FROM (SELECT *, CASE WHEN cell IS NULL THEN node ELSE cell_key(cell) END AS child FROM found) f
            JOIN step s USING (child)
            UNION ALL
            SELECT coalesce(e.parent_doc, md5(e.parent)::UUID), f.distance, e.relation, f.node, e.parent_cell,
                CASE WHEN e.parent_doc IS NOT NULL THEN 'doc' END
            FROM (SELECT * FROM found WHERE kind = 'whole') f
            JOIN document_edge e ON e.child_cell = f.cell AND e.relation <> 'near_duplicate_of'
            UNION ALL
            SELECT coalesce(e.parent_doc, md5(e.parent)::UUID), f.distance, e.relation, f.node, e.parent_cell,
                CASE WHEN e.parent_doc IS NOT NULL THEN 'doc' END
            FROM (SELECT * FROM found WHERE kind = 'doc') f
            JOIN document_edge e ON e.child_doc = f.node AND e.relation <> 'near_duplicate_of'
            UNION ALL
            SELECT n.parent, f.distance, n.relation, f.node, n.parent_cell,
                CASE WHEN n.parent_cell IS NOT NULL THEN 'doc' END
            FROM (SELECT * FROM found WHERE kind IS NULL) f JOIN named n USING (node)
            UNION ALL
            SELECT m.doc_id, f.distance, 'consists_of', f.node, m.cell, 'doc'
            FROM (SELECT * FROM found WHERE kind IS NULL) f JOIN member m ON m.mix_node = f.node)
        WHERE parent NOT IN (SELECT node FROM recurring.found)
        GROUP BY parent)
    SELECT f.node,
        CASE WHEN f.kind = 'doc' THEN 'doc:' || f.node ELSE coalesce(n.name, c.name, 'doc:' || f.node) END AS name,
        f.distance, f.relation, f.via, f.cell, f.kind, c.name AS corpus
    FROM found f LEFT JOIN lineage_node n USING (node)
    LEFT JOIN (SELECT cell, 'corpus:' || corpus || '@' || version AS name FROM cell JOIN corpus USING (corpus_id)) c
        ON c.cell = f.cell;

-- Documents reached by edges of their own are named doc:…, and every corpus with how many of its documents are above.
CREATE OR REPLACE MACRO ancestors(id) AS TABLE
    WITH found AS MATERIALIZED (SELECT * FROM ancestor_steps([id]) WHERE distance > 0),
    whole AS (SELECT DISTINCT cell, corpus FROM found WHERE kind = 'whole'),
    concerned AS (
        SELECT w.corpus, sum(cell.documents) AS documents FROM whole w JOIN cell USING (cell) GROUP BY ALL
        UNION ALL
        SELECT corpus, count(DISTINCT doc_id) FROM (
            SELECT corpus, cell, node AS doc_id FROM found WHERE kind = 'doc'
            UNION ALL
            SELECT f.corpus, f.cell, m.doc_id
            FROM found f JOIN (SELECT mix, version, mix_key(mix, version) AS node FROM mix) k ON k.node = f.via
            JOIN mix_document m ON m.mix = k.mix AND m.version = k.version AND m.cell = f.cell
            WHERE f.kind = 'part')
        WHERE cell NOT IN (SELECT cell FROM whole) GROUP BY ALL),
    counted AS (SELECT corpus AS name, sum(documents) AS documents FROM concerned GROUP BY ALL)
    SELECT name AS node, min(distance) AS distance, arg_min(relation, distance) AS relation,
        coalesce(any_value(c.documents), max(one)) AS documents
    FROM (
        SELECT name, distance, relation, (kind IS NOT NULL)::INTEGER AS one
        FROM found WHERE kind IS NULL OR kind = 'doc'
        UNION ALL
        SELECT corpus, distance, relation, 0 FROM found WHERE cell IS NOT NULL)
    LEFT JOIN counted c USING (name)
    WHERE name <> id GROUP BY name ORDER BY 2, 1;

-- Rows of removed versions answer an audit: ids, hashes and tags stay when texts go.
CREATE OR REPLACE VIEW all_documents AS
    SELECT d.doc_id, c.corpus, c.version, d.key, d.source, lower(hex(d.text_sha256)) AS text_sha256, d.n_chars,
        d.n_words, d.created_at, d.language, d.subgroup, d.declared_origin, d.declared_generator, d.meta,
        d.generation, d.generation_max, d.human_ancestry,
        coalesce(d.tag_origin, d.declared_origin, 'unknown') AS origin, d.tag_p_model AS p_model, c.removed_at
    FROM document d JOIN corpus c USING (corpus_id);
COMMENT ON VIEW all_documents IS 'Documents of every version of every corpus, removed ones too: removed_at says when their texts went. A document that did not change between versions is listed once per version.';

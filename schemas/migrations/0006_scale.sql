-- Ten million documents: a document is found by its id at once, and what descends from a node without reading every mix
-- again at each step.

CREATE INDEX document_by_id ON document (doc_id);

-- Everything that came from the nodes, document by document where only some of a corpus did.
CREATE OR REPLACE MACRO descendant_steps(ids) AS TABLE
    WITH RECURSIVE step AS MATERIALIZED (SELECT * FROM lineage_step WHERE NOT partial),
    start AS MATERIALIZED (
        SELECT node_key(id) AS node, CASE WHEN starts_with(id, 'doc:') THEN cell_of(node_key(id)) END AS doc_cell
        FROM (SELECT unnest(ids) AS id)),
    -- A single document is reached only if the walk starts there or an edge of its own leads to it, so no other corpus
    -- need be looked for in the mixes, turn after turn.
    member AS MATERIALIZED (
        SELECT k.node AS mix_node, m.doc_id
        FROM mix_document m JOIN (SELECT mix, version, mix_key(mix, version) AS node FROM mix) k USING (mix, version)
        WHERE m.cell IN (
            SELECT cell FROM cell JOIN corpus USING (corpus_id) WHERE corpus IN (
                SELECT corpus FROM corpus JOIN cell USING (corpus_id) WHERE cell IN (
                    SELECT child_cell FROM document_edge UNION SELECT doc_cell FROM start)))),
    found(node, distance, relation, via, doc_cell) USING KEY (node) AS (
        SELECT node, 0, NULL::VARCHAR, NULL::UUID, doc_cell FROM start
        UNION ALL
        SELECT cell_key(cell), 0, NULL, NULL, NULL
        FROM cell JOIN corpus USING (corpus_id) WHERE list_contains(ids, 'corpus:' || corpus || '@' || version)
        UNION
        SELECT child, min(distance) + 1, arg_min(relation, relation), arg_min(via, relation), any_value(child_cell)
        FROM (
            SELECT s.child, f.distance, s.relation, f.node AS via, NULL::INTEGER AS child_cell
            FROM (SELECT * FROM found WHERE doc_cell IS NULL) f JOIN step s ON s.parent = f.node
            UNION ALL
            SELECT coalesce(e.child_doc, md5(e.child)::UUID), f.distance, e.relation, f.node, e.child_cell
            FROM (SELECT * FROM found JOIN cell ON cell_key(cell) = node WHERE doc_cell IS NULL) f
            JOIN document_edge e ON e.parent_cell = f.cell AND e.relation <> 'near_duplicate_of'
            UNION ALL
            SELECT coalesce(e.child_doc, md5(e.child)::UUID), f.distance, e.relation, f.node, e.child_cell
            FROM (SELECT * FROM found JOIN lineage_node USING (node) WHERE doc_cell IS NULL) f
            JOIN document_edge e ON e.parent = f.name AND e.relation <> 'near_duplicate_of'
            UNION ALL
            SELECT coalesce(e.child_doc, md5(e.child)::UUID), f.distance, e.relation, f.node, e.child_cell
            FROM (SELECT * FROM found WHERE doc_cell IS NOT NULL) f
            JOIN document_edge e ON e.parent_doc = f.node AND e.relation <> 'near_duplicate_of'
            UNION ALL
            SELECT m.mix_node, f.distance, 'consists_of', f.node, NULL
            FROM (SELECT * FROM found WHERE doc_cell IS NOT NULL) f JOIN member m ON m.doc_id = f.node
            UNION ALL
            SELECT corpus_key(c.corpus, c.version), f.distance, 'consists_of', f.node, NULL
            FROM (SELECT * FROM found WHERE doc_cell IS NOT NULL) f
            JOIN cell ON cell.cell = f.doc_cell JOIN corpus c USING (corpus_id))
        WHERE child NOT IN (SELECT node FROM recurring.found)
        GROUP BY child)
    SELECT f.node, coalesce(n.name, 'doc:' || f.node) AS name, f.distance, f.relation, f.via,
        coalesce(n.documents, (f.doc_cell IS NOT NULL)::INTEGER) AS documents
    FROM found f LEFT JOIN lineage_node n USING (node)
    WHERE f.doc_cell IS NULL OR f.distance = 0
        OR f.doc_cell NOT IN (SELECT cell FROM cell JOIN found w ON w.node = cell_key(cell));

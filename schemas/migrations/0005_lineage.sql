-- Lineage, versions and mixes that can be audited: seals and chain over the ledger, snapshots, what mixes are made of.

-- One entry per ended activity. sha256 covers the activity's row, its seals and the entry before: see catalog/chain.py.
CREATE TABLE ledger_entry (
    seq BIGINT PRIMARY KEY,
    activity_id UUID NOT NULL,
    previous VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL
);

-- What one activity wrote into one table. digests holds the first 8 bytes of each row's hash, in order, so that a
-- changed row can be named; sha256 is over the whole hashes.
CREATE TABLE seal (
    activity_id UUID NOT NULL,
    table_name VARCHAR NOT NULL,
    rows BIGINT NOT NULL,
    sha256 VARCHAR NOT NULL,
    digests BLOB NOT NULL
);

CREATE TABLE snapshot (
    snapshot VARCHAR PRIMARY KEY,
    created_at TIMESTAMP NOT NULL,
    note VARCHAR NOT NULL,
    corpora JSON NOT NULL,
    ledger_seq BIGINT NOT NULL,
    ledger_sha256 VARCHAR NOT NULL,
    root VARCHAR NOT NULL,
    activity_id UUID NOT NULL
);

ALTER TABLE mix ADD COLUMN pool JSON;

ALTER TABLE mix_document ADD COLUMN cell INTEGER;

-- The current tag beside the document, kept in the transaction that changes tag_current: joining ten million documents
-- to their tags takes ten times longer than the questions that need them.
ALTER TABLE document ADD COLUMN tag_origin VARCHAR;
ALTER TABLE document ADD COLUMN tag_p_model DOUBLE;
UPDATE document SET tag_origin = t.origin, tag_p_model = t.p_model
    FROM tag_current t WHERE t.doc_id = document.doc_id;

CREATE OR REPLACE VIEW all_documents AS
    SELECT d.doc_id, c.corpus, c.version, d.key, d.source, lower(hex(d.text_sha256)) AS text_sha256, d.n_chars,
        d.n_words, d.created_at, d.language, d.subgroup, d.declared_origin, d.declared_generator, d.meta,
        d.generation, d.generation_max, d.human_ancestry,
        coalesce(d.tag_origin, d.declared_origin, 'unknown') AS origin, d.tag_p_model AS p_model
    FROM document d JOIN corpus c USING (corpus_id)
    WHERE c.removed_at IS NULL;
COMMENT ON VIEW all_documents IS 'Documents of every version of every corpus; a document that did not change between versions is listed once per version.';

CREATE OR REPLACE VIEW documents AS
    SELECT d.doc_id, c.corpus, c.version, d.key, d.source, lower(hex(d.text_sha256)) AS text_sha256, d.n_chars,
        d.n_words, d.created_at, d.language, d.subgroup, d.declared_origin, d.declared_generator, d.meta,
        d.generation, d.generation_max, d.human_ancestry,
        coalesce(d.tag_origin, d.declared_origin, 'unknown') AS origin, d.tag_p_model AS p_model
    FROM document d JOIN corpus c USING (corpus_id)
    WHERE c.latest;
COMMENT ON VIEW documents IS 'Every document of the newest version of every corpus. origin and p_model are those of its current tag, else what its source declares; generation counts the model generations between it and human text (NULL where not known).';

CREATE OR REPLACE VIEW conflicts AS
    SELECT d.doc_id, c.corpus, d.key, d.declared_origin, d.tag_origin AS origin, d.tag_p_model AS p_model,
        (SELECT arg_max(e.kind || ':' || e.name, e.log_lr) FROM evidence_row e
         WHERE e.doc_id = d.doc_id AND e.log_lr IS NOT NULL) AS strongest_evidence
    FROM document d JOIN corpus c USING (corpus_id)
    WHERE c.latest AND d.declared_origin = 'human' AND d.tag_p_model > 0.5;
COMMENT ON VIEW conflicts IS 'Documents whose source declares a human writer while the evidence says model.';

-- Documents that only share what their corpus says of them are one node of the lineage graph: ten million documents are
-- a few hundred cells, and only documents with edges of their own are nodes themselves.
CREATE TABLE cell (
    cell INTEGER PRIMARY KEY,
    corpus_id INTEGER NOT NULL,
    generator VARCHAR,
    origin VARCHAR,
    documents BIGINT NOT NULL
);
INSERT INTO cell
    SELECT row_number() OVER (), corpus_id, declared_generator, declared_origin, count(*)
    FROM document GROUP BY ALL ORDER BY ALL;

-- Edges with a document at either end; lineage_edge holds those between corpora, mixes and models.
CREATE TABLE document_edge (
    child VARCHAR,
    child_doc UUID,
    child_cell INTEGER,
    parent VARCHAR,
    parent_doc UUID,
    parent_cell INTEGER,
    relation VARCHAR NOT NULL,
    activity_id UUID NOT NULL,
    recorded_at TIMESTAMP NOT NULL
);

-- Nodes of the graph are UUIDs: a document's own id, else the first 128 bits of a hash of the name.
CREATE MACRO node_key(name) AS
    CASE WHEN starts_with(name, 'doc:') THEN try_cast(substr(name, 5) AS UUID) ELSE md5(name)::UUID END;
CREATE MACRO cell_key(cell) AS md5('cell:' || cell)::UUID;
CREATE MACRO corpus_key(corpus, version) AS md5('corpus:' || corpus || '@' || version)::UUID;
CREATE MACRO mix_key(mix, version) AS md5('mix:' || mix || '@' || version)::UUID;

CREATE VIEW lineage_node AS
    SELECT cell_key(cell) AS node, 'corpus:' || corpus || '@' || version AS name, cell.documents
    FROM cell JOIN corpus USING (corpus_id)
    UNION ALL
    SELECT corpus_key(corpus, version), 'corpus:' || corpus || '@' || version, NULL FROM corpus
    UNION ALL
    SELECT mix_key(mix, version), 'mix:' || mix || '@' || version, NULL FROM mix
    UNION ALL
    SELECT DISTINCT md5(name)::UUID, name, NULL FROM (
        SELECT 'model:' || generator AS name FROM cell WHERE generator IS NOT NULL AND coalesce(origin <> 'human', true)
        UNION ALL SELECT unnest([child, parent]) FROM lineage_edge
        UNION ALL SELECT unnest([child, parent]) FROM document_edge WHERE child IS NOT NULL OR parent IS NOT NULL)
    WHERE starts_with(name, 'model:') OR starts_with(name, 'external:');

-- One step up between cells, corpora, mixes and models; documents' own edges are in document_edge. weight is how much of
-- the child the parent makes up, crosses is 1 where the step passes through a model, descends says whether it counts for
-- generation depth, partial that it holds for some documents of the child only.
CREATE VIEW lineage_step AS
    WITH inherited AS (
        SELECT cell, origin, md5('model:' || generator)::UUID AS parent, 'generated_by' AS relation
        FROM cell WHERE generator IS NOT NULL AND coalesce(origin <> 'human', true)
        UNION
        SELECT cell, origin, md5(parent)::UUID, relation
        FROM lineage_edge JOIN corpus ON child = 'corpus:' || corpus || '@' || version JOIN cell USING (corpus_id)),
    trained AS (
        SELECT child FROM lineage_edge WHERE relation = 'trained_on'
        UNION SELECT child FROM document_edge WHERE child IS NOT NULL AND relation = 'trained_on')
    SELECT cell_key(cell) AS child, parent, relation, 1.0::DOUBLE AS weight,
        (relation = 'generated_by' OR coalesce(origin = 'model', false))::INTEGER AS crosses,
        coalesce(origin <> 'human', true) AS descends, false AS partial
    FROM inherited
    UNION ALL
    -- A model's base counts only where its own training is not recorded.
    SELECT md5(child)::UUID, md5(e.parent)::UUID, relation, coalesce(t.documents, 1.0), 0,
        starts_with(child, 'model:') AND (relation = 'trained_on' OR child NOT IN (SELECT child FROM trained)), false
    FROM lineage_edge e
    LEFT JOIN (
        SELECT 'model:' || model_id AS model, unnest(json_keys(trained_on)) AS parent,
            unnest(json_extract(trained_on, '$.*'))::DOUBLE AS documents
        FROM model) t ON t.model = e.child AND t.parent = e.parent AND e.relation = 'trained_on'
    WHERE relation <> 'near_duplicate_of'
    UNION ALL
    SELECT corpus_key(corpus, version), cell_key(cell), 'consists_of', cell.documents, 0, true, false
    FROM corpus JOIN cell USING (corpus_id)
    UNION ALL
    SELECT mix_key(mix, version), cell_key(cell), 'consists_of', sum(weight), 0, true, false
    FROM mix_document GROUP BY mix, version, cell
    UNION ALL
    SELECT coalesce(cell_key(child_cell), md5(child)::UUID), coalesce(cell_key(parent_cell), md5(parent)::UUID),
        relation, 1.0, 0, false, true
    FROM (SELECT DISTINCT child, child_cell, parent, parent_cell, relation
          FROM document_edge WHERE relation <> 'near_duplicate_of');

-- Every step of the graph with documents' own edges exact: what depth and the search for cycles go by. A document in
-- several versions of a corpus counts in the newest.
CREATE VIEW exact_step AS
    WITH own AS (
        SELECT DISTINCT child_doc AS node, child_cell AS cell FROM document_edge
        WHERE child_doc IS NOT NULL AND relation <> 'near_duplicate_of'),
    own_in_mix AS (
        SELECT mix, version, doc_id AS node, m.cell, count(*) AS n, sum(weight) AS weight
        FROM mix_document m JOIN own ON doc_id = node GROUP BY ALL),
    -- Hashing a name once per row of a large join would cost more than the join.
    keyed AS MATERIALIZED (
        SELECT cell, cell_key(cell) AS node, coalesce(origin = 'model', false)::INTEGER AS by_model, cell.documents,
            corpus_key(corpus, version) AS corpus_node
        FROM cell JOIN corpus USING (corpus_id))
    SELECT child, parent, relation, weight, crosses, descends, NULL::UUID AS child_doc, NULL::UUID AS parent_doc
    FROM lineage_step WHERE NOT partial AND relation <> 'consists_of'
    UNION ALL
    SELECT own.node, parent, relation, 1.0, crosses, relation = 'generated_by', own.node, NULL
    FROM own JOIN keyed USING (cell) JOIN lineage_step s ON s.child = keyed.node AND NOT s.partial
    UNION ALL
    SELECT coalesce(e.child_doc, md5(e.child)::UUID), coalesce(own.node, p.node, md5(e.parent)::UUID), e.relation, 1.0,
        CASE WHEN e.child_doc IS NULL THEN 0 WHEN e.relation = 'generated_by' THEN 1 ELSE coalesce(c.by_model, 0) END,
        true, e.child_doc, own.node
    FROM document_edge e LEFT JOIN own ON own.node = e.parent_doc
    LEFT JOIN keyed p ON p.cell = e.parent_cell LEFT JOIN keyed c ON c.cell = e.child_cell
    WHERE e.relation <> 'near_duplicate_of'
    UNION ALL
    SELECT corpus_node, node, 'consists_of', documents - coalesce(n, 0), 0, true, NULL, NULL
    FROM keyed LEFT JOIN (SELECT cell, count(*) AS n FROM own GROUP BY cell) USING (cell)
    WHERE documents > coalesce(n, 0)
    UNION ALL
    SELECT corpus_node, own.node, 'consists_of', 1.0, 0, true, NULL, own.node FROM own JOIN keyed USING (cell)
    UNION ALL
    SELECT mix_key(mix, version), keyed.node, 'consists_of', m.weight - coalesce(o.weight, 0), 0, true, NULL, NULL
    FROM (SELECT mix, version, cell, count(*) AS n, sum(weight) AS weight FROM mix_document GROUP BY ALL) m
    JOIN keyed USING (cell)
    LEFT JOIN (SELECT mix, version, cell, sum(n) AS n, sum(weight) AS weight FROM own_in_mix GROUP BY ALL) o
        USING (mix, version, cell)
    WHERE m.n > coalesce(o.n, 0)
    UNION ALL
    SELECT mix_key(mix, version), node, 'consists_of', weight, 0, true, NULL, node FROM own_in_mix;

CREATE MACRO cell_of(id) AS (
    SELECT max(cell) FROM document d JOIN cell c
    ON c.corpus_id = d.corpus_id AND c.generator IS NOT DISTINCT FROM d.declared_generator
        AND c.origin IS NOT DISTINCT FROM d.declared_origin
    WHERE d.doc_id = id);

-- Everything the nodes came from, each with the step that first reached it.
CREATE MACRO ancestor_steps(ids) AS TABLE
    WITH RECURSIVE step AS MATERIALIZED (SELECT * FROM lineage_step),
    found(node, distance, relation, via, doc_cell) USING KEY (node) AS (
        SELECT node_key(id), 0, NULL::VARCHAR, NULL::UUID,
            CASE WHEN starts_with(id, 'doc:') THEN cell_of(node_key(id)) END
        FROM (SELECT unnest(ids) AS id)
        UNION
        SELECT parent, min(distance) + 1, arg_min(relation, relation), arg_min(via, relation), any_value(parent_cell)
        FROM (
            SELECT s.parent, f.distance, s.relation, f.node AS via, NULL::INTEGER AS parent_cell
            FROM (SELECT * FROM found WHERE doc_cell IS NULL) f JOIN step s ON s.child = f.node
            UNION ALL
            SELECT s.parent, f.distance, s.relation, f.node, NULL
            FROM (SELECT *, cell_key(doc_cell) AS cell FROM found WHERE doc_cell IS NOT NULL) f
            JOIN step s ON s.child = f.cell AND NOT s.partial
            UNION ALL
            SELECT coalesce(e.parent_doc, md5(e.parent)::UUID), f.distance, e.relation, f.node, e.parent_cell
            FROM (SELECT * FROM found WHERE doc_cell IS NOT NULL) f
            JOIN document_edge e ON e.child_doc = f.node AND e.relation <> 'near_duplicate_of')
        WHERE parent NOT IN (SELECT node FROM recurring.found)
        GROUP BY parent)
    SELECT f.node, coalesce(n.name, 'doc:' || f.node) AS name, f.distance, f.relation, f.via,
        coalesce(n.documents, (f.doc_cell IS NOT NULL)::INTEGER) AS documents
    FROM found f LEFT JOIN lineage_node n USING (node);

-- Documents that stand for themselves are named doc:…, others by their corpus and how many they are.
CREATE MACRO ancestors(id) AS TABLE
    SELECT name AS node, min(distance) AS distance, arg_min(relation, distance) AS relation, sum(documents) AS documents
    FROM ancestor_steps([id]) WHERE distance > 0 AND name <> id GROUP BY name ORDER BY 2, 1;

-- Everything that came from the nodes, document by document where only some of a corpus did.
CREATE MACRO descendant_steps(ids) AS TABLE
    WITH RECURSIVE step AS MATERIALIZED (SELECT * FROM lineage_step WHERE NOT partial),
    found(node, distance, relation, via, doc_cell) USING KEY (node) AS (
        SELECT node_key(id), 0, NULL::VARCHAR, NULL::UUID,
            CASE WHEN starts_with(id, 'doc:') THEN cell_of(node_key(id)) END
        FROM (SELECT unnest(ids) AS id)
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
            SELECT mix_key(m.mix, m.version), f.distance, 'consists_of', f.node, NULL
            FROM (SELECT * FROM found WHERE doc_cell IS NOT NULL) f JOIN mix_document m ON m.doc_id = f.node
            UNION ALL
            SELECT corpus_key(c.corpus, c.version), f.distance, 'consists_of', f.node, NULL
            FROM (SELECT * FROM found WHERE doc_cell IS NOT NULL) f
            JOIN cell ON cell.cell = f.doc_cell JOIN corpus c USING (corpus_id))
        WHERE child NOT IN (SELECT node FROM recurring.found)
        GROUP BY child)
    SELECT f.node, coalesce(n.name, 'doc:' || f.node) AS name, f.distance, f.relation, f.via,
        coalesce(n.documents, (f.doc_cell IS NOT NULL)::INTEGER) AS documents
    FROM found f LEFT JOIN lineage_node n USING (node)
    WHERE f.doc_cell IS NULL OR f.distance = 0 OR cell_key(f.doc_cell) NOT IN (SELECT node FROM found);

CREATE MACRO descendants(id) AS TABLE
    SELECT name AS node, min(distance) AS distance, arg_min(relation, distance) AS relation, sum(documents) AS documents
    FROM descendant_steps([id]) WHERE distance > 0 AND name <> id GROUP BY name ORDER BY 2, 1;

CREATE OR REPLACE VIEW lineage AS
    SELECT child, parent, relation, activity_id, recorded_at AS "at" FROM lineage_edge
    UNION ALL
    SELECT coalesce(child, 'doc:' || child_doc), coalesce(parent, 'doc:' || parent_doc), relation, activity_id, recorded_at
    FROM document_edge
    UNION ALL
    SELECT 'mix:' || m.mix || '@' || m.version, 'corpus:' || c.corpus || '@' || c.version, 'derived_from', m.activity_id,
        NULL
    FROM (SELECT DISTINCT mix, version, cell FROM mix_document) d
    JOIN mix m USING (mix, version) JOIN cell USING (cell) JOIN corpus c USING (corpus_id) GROUP BY ALL
    UNION ALL
    SELECT 'doc:' || doc_id, 'corpus:' || corpus || '@' || version, 'member_of', activity_id, c.created_at
    FROM document JOIN corpus c USING (corpus_id);
COMMENT ON VIEW lineage IS 'What came from what: doc, corpus, mix, model and external nodes. Ask ancestors(id) and descendants(id) for everything up or down from one of them.';

CREATE MACRO node_documents(id) AS TABLE
    SELECT generation, generation_max, human_ancestry, 1.0::DOUBLE AS weight FROM document
    WHERE doc_id = coalesce(try_cast(id::VARCHAR AS UUID), try_cast(substr(id::VARCHAR, 5) AS UUID))
    UNION ALL
    SELECT d.generation, d.generation_max, d.human_ancestry, 1.0 FROM document d JOIN corpus c USING (corpus_id)
    WHERE 'corpus:' || c.corpus || '@' || c.version = id::VARCHAR
    UNION ALL
    SELECT d.generation, d.generation_max, d.human_ancestry, m.weight
    FROM mix_document m JOIN cell USING (cell) JOIN document d ON d.doc_id = m.doc_id AND d.corpus_id = cell.corpus_id
    WHERE 'mix:' || m.mix || '@' || m.version = id::VARCHAR
    UNION ALL
    SELECT generation, NULL, NULL, 1.0 FROM model WHERE 'model:' || model_id = id::VARCHAR;
CREATE MACRO generation_of(id) AS (SELECT min(generation) FROM node_documents(id));
CREATE MACRO human_ancestry(id) AS (
    SELECT sum(weight * human_ancestry) / sum(weight) FROM node_documents(id));

CREATE VIEW snapshots AS
    SELECT snapshot, created_at, note, corpora, ledger_seq, ledger_sha256, root, activity_id FROM snapshot;
COMMENT ON VIEW snapshots IS 'Named states of the catalog: which version of each corpus, up to which ledger entry, and one root over both.';

CREATE VIEW ledger AS
    SELECT e.seq, e.activity_id, a.command, a.status, a.ended_at, e.previous, e.sha256,
        (SELECT list({'table': s.table_name, 'rows': s.rows, 'sha256': s.sha256} ORDER BY s.table_name)
         FROM seal s WHERE s.activity_id = e.activity_id) AS seals
    FROM ledger_entry e JOIN activity a USING (activity_id);
COMMENT ON VIEW ledger IS 'The hash chain over ended activities: each entry covers its activity, the rows it wrote, and the entry before.';

-- Documents once, judgements beside them. Tables are private; the views at the end are the public interface.
-- Times are UTC.

CREATE TABLE activity (
    activity_id UUID PRIMARY KEY,
    command VARCHAR NOT NULL,
    params JSON NOT NULL,
    code_version VARCHAR NOT NULL,
    host VARCHAR NOT NULL,
    pid INTEGER NOT NULL,
    started_at TIMESTAMP NOT NULL,
    ended_at TIMESTAMP,
    status VARCHAR NOT NULL CHECK (status IN ('running', 'done', 'failed')),
    inputs JSON NOT NULL,
    outputs JSON NOT NULL,
    error VARCHAR
);

CREATE TABLE corpus (
    corpus_id INTEGER PRIMARY KEY,
    corpus VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    created_at TIMESTAMP NOT NULL,
    documents BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    source_uri VARCHAR,
    license VARCHAR,
    declared_origin VARCHAR,
    declared_generator VARCHAR,
    content_root VARCHAR NOT NULL,
    held_out BOOLEAN NOT NULL,
    latest BOOLEAN NOT NULL,
    removed_at TIMESTAMP,
    activity_id UUID NOT NULL,
    UNIQUE (corpus, version)
);

-- Shard paths are relative to the catalog's folder, so a catalog can be moved.
CREATE TABLE shard (
    corpus_id INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    path VARCHAR NOT NULL,
    documents BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    sha256 VARCHAR NOT NULL
);

-- Rows of one corpus are inserted in doc_id order: zone maps then make a point lookup a few row groups.
CREATE TABLE document (
    doc_id UUID NOT NULL,
    corpus_id INTEGER NOT NULL,
    key VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    text_sha256 BLOB NOT NULL,
    n_chars INTEGER NOT NULL,
    n_words INTEGER NOT NULL,
    created_at TIMESTAMP,
    language VARCHAR,
    subgroup VARCHAR,
    declared_origin VARCHAR,
    declared_generator VARCHAR,
    meta JSON,
    generation INTEGER,
    generation_max INTEGER,
    human_ancestry DOUBLE,
    shard INTEGER NOT NULL
);

CREATE TABLE evidence_row (
    doc_id UUID NOT NULL,
    kind VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    score DOUBLE,
    log_lr DOUBLE,
    details JSON,
    activity_id UUID NOT NULL,
    recorded_at TIMESTAMP NOT NULL
);

-- Append-only. tag_current is the newest row per document, kept in the same transaction.
CREATE TABLE tag_history_row (
    doc_id UUID NOT NULL,
    origin VARCHAR NOT NULL,
    p_model DOUBLE,
    basis VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    activity_id UUID NOT NULL,
    recorded_at TIMESTAMP NOT NULL
);

CREATE TABLE tag_current (
    doc_id UUID NOT NULL,
    origin VARCHAR NOT NULL,
    p_model DOUBLE,
    basis VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    activity_id UUID NOT NULL,
    recorded_at TIMESTAMP NOT NULL
);

CREATE TABLE lineage_edge (
    child VARCHAR NOT NULL,
    parent VARCHAR NOT NULL,
    relation VARCHAR NOT NULL,
    activity_id UUID NOT NULL,
    recorded_at TIMESTAMP NOT NULL
);

CREATE TABLE mix (
    mix VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    policy JSON NOT NULL,
    seed BIGINT NOT NULL,
    lock_sha256 VARCHAR NOT NULL,
    documents BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    realised JSON NOT NULL,
    activity_id UUID NOT NULL,
    PRIMARY KEY (mix, version)
);

CREATE TABLE mix_document (
    mix VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    position BIGINT NOT NULL,
    doc_id UUID NOT NULL,
    weight DOUBLE NOT NULL,
    share INTEGER NOT NULL
);

CREATE VIEW activities AS
    SELECT activity_id, command, params, code_version, host, pid, started_at, ended_at, status, inputs, outputs, error
    FROM activity;
COMMENT ON VIEW activities IS 'Every command that wrote something: parameters, code version, times, status, inputs and outputs. A row still running whose process is gone was interrupted and changed nothing.';

CREATE VIEW corpora AS
    SELECT corpus, version, created_at, documents, bytes, source_uri, license, declared_origin, declared_generator,
        content_root, held_out, activity_id
    FROM corpus WHERE removed_at IS NULL;
COMMENT ON VIEW corpora IS 'One row per version of a corpus: an immutable set of documents with its Merkle content root.';

CREATE VIEW all_documents AS
    SELECT d.doc_id, c.corpus, c.version, d.key, d.source, lower(hex(d.text_sha256)) AS text_sha256, d.n_chars,
        d.n_words, d.created_at, d.language, d.subgroup, d.declared_origin, d.declared_generator, d.meta,
        d.generation, d.generation_max, d.human_ancestry,
        coalesce(t.origin, d.declared_origin, 'unknown') AS origin, t.p_model
    FROM document d
    JOIN corpus c USING (corpus_id)
    LEFT JOIN tag_current t ON t.doc_id = d.doc_id
    WHERE c.removed_at IS NULL;
COMMENT ON VIEW all_documents IS 'Documents of every version of every corpus; a document that did not change between versions is listed once per version.';

CREATE VIEW documents AS
    SELECT d.doc_id, c.corpus, c.version, d.key, d.source, lower(hex(d.text_sha256)) AS text_sha256, d.n_chars,
        d.n_words, d.created_at, d.language, d.subgroup, d.declared_origin, d.declared_generator, d.meta,
        d.generation, d.generation_max, d.human_ancestry,
        coalesce(t.origin, d.declared_origin, 'unknown') AS origin, t.p_model
    FROM document d
    JOIN corpus c USING (corpus_id)
    LEFT JOIN tag_current t ON t.doc_id = d.doc_id
    WHERE c.latest;
COMMENT ON VIEW documents IS 'Every document of the newest version of every corpus. origin and p_model are those of its current tag, else what its source declares; generation counts the model generations between it and human text (NULL where not known).';

CREATE VIEW evidence AS
    SELECT doc_id, kind, name, version, score, log_lr, details, activity_id, recorded_at AS "at" FROM evidence_row;
COMMENT ON VIEW evidence IS 'Observations about documents, never verdicts; a higher score is always more model-like.';

CREATE VIEW tags AS
    SELECT t.doc_id, c.corpus, d.key, t.origin, t.p_model, t.basis, t.rule, t.activity_id, t.recorded_at AS "at"
    FROM tag_current t
    JOIN document d USING (doc_id)
    JOIN corpus c USING (corpus_id)
    WHERE c.latest;
COMMENT ON VIEW tags IS 'The current tag of each tagged document: origin, probability that a model wrote it, and the basis it rests on.';

CREATE VIEW tag_history AS
    SELECT doc_id, origin, p_model, basis, rule, activity_id, recorded_at AS "at" FROM tag_history_row;
COMMENT ON VIEW tag_history IS 'Every tag ever given, append-only.';

CREATE VIEW conflicts AS
    SELECT t.doc_id, c.corpus, d.key, d.declared_origin, t.origin, t.p_model,
        (SELECT arg_max(e.kind || ':' || e.name, e.log_lr) FROM evidence_row e
         WHERE e.doc_id = t.doc_id AND e.log_lr IS NOT NULL) AS strongest_evidence
    FROM tag_current t
    JOIN document d USING (doc_id)
    JOIN corpus c USING (corpus_id)
    WHERE c.latest AND d.declared_origin = 'human' AND t.p_model > 0.5;
COMMENT ON VIEW conflicts IS 'Documents whose source declares a human writer while the evidence says model.';

CREATE VIEW lineage AS
    SELECT child, parent, relation, activity_id, recorded_at AS "at" FROM lineage_edge;
COMMENT ON VIEW lineage IS 'What came from what: doc, corpus, mix and model nodes.';

CREATE VIEW mixes AS
    SELECT mix, version, policy, seed, lock_sha256, documents, tokens, realised, activity_id FROM mix;
COMMENT ON VIEW mixes IS 'Built mixes with the policy, the seed, the hash of the lock, and requested against realised share per line.';

CREATE VIEW mix_documents AS
    SELECT mix, version, position, doc_id, weight, share FROM mix_document;
COMMENT ON VIEW mix_documents IS 'The documents of each mix in order, with the share line that drew them.';

-- A source can declare human writers in an audit or a dataset card too, and those err as often.

CREATE OR REPLACE VIEW conflicts AS
    WITH looks_model AS (
        SELECT d.doc_id, c.corpus, d.key, d.declared_origin, d.tag_origin, d.tag_p_model
        FROM document d JOIN corpus c USING (corpus_id)
        WHERE c.latest AND d.tag_p_model > 0.5),
    -- What was declared as the corpus was added is a column; its evidence row may be of an older version.
    said AS (
        SELECT doc_id, list(name ORDER BY name) AS names
        FROM (
            SELECT e.doc_id, e.name FROM evidence_row e SEMI JOIN looks_model USING (doc_id)
            WHERE e.kind = 'declared' AND e.name <> 'declared'
            GROUP BY e.doc_id, e.name HAVING arg_max(e.score, e.recorded_at) < 0)
        GROUP BY doc_id)
    SELECT m.doc_id, m.corpus, m.key, 'human' AS declared_origin, m.tag_origin AS origin, m.tag_p_model AS p_model,
        (SELECT arg_max(e.kind || ':' || e.name, e.log_lr) FROM evidence_row e
         WHERE e.doc_id = m.doc_id AND e.log_lr IS NOT NULL) AS strongest_evidence,
        array_to_string(
            list_concat(CASE WHEN m.declared_origin = 'human' THEN ['declared'] ELSE [] END, coalesce(s.names, [])), ', ')
            AS declared_by
    FROM looks_model m LEFT JOIN said s USING (doc_id)
    WHERE m.declared_origin = 'human' OR s.names IS NOT NULL;
COMMENT ON VIEW conflicts IS 'Documents whose source declares a human writer while the evidence says model. declared_by says where: declared (as the corpus was added), dpi (an audit), hf_card (a dataset card).';

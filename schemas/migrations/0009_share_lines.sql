-- One number for a share everywhere, that of its [[share]] in the policy file. The table keeps the line of the
-- written-out policy, in which a share with 'by' has one line per group.

CREATE OR REPLACE VIEW mix_documents AS
    WITH realised AS (SELECT mix, version, realised::JSON[] AS lines FROM mix),
    line AS (
        SELECT mix, version, unnest(range(len(lines))) AS line, unnest(lines) AS said FROM realised)
    SELECT d.mix, d.version, d.position, d.doc_id, d.weight, (l.said ->> 'share')::INTEGER AS share,
        l.said ->> 'group' AS value
    FROM mix_document d
    LEFT JOIN line l ON l.mix = d.mix AND l.version = d.version AND l.line = d.share;
COMMENT ON VIEW mix_documents IS 'The documents of each mix in order. share is the number of the [[share]] in the policy file that drew it, from 1, and value which group of its by column, as share and "group" in mixes.realised.';

-- A detector read against known-human text of one's own: conformal p-values need the scores, not the texts.

CREATE TABLE calibration (
    corpus VARCHAR NOT NULL,
    detector VARCHAR NOT NULL,
    detector_version VARCHAR NOT NULL,
    human_ref VARCHAR NOT NULL,
    human_scores DOUBLE[] NOT NULL,
    labelled_ref VARCHAR,
    fitted JSON NOT NULL,
    activity_id UUID NOT NULL,
    recorded_at TIMESTAMP NOT NULL
);

CREATE VIEW calibrations AS
    SELECT corpus, detector, detector_version, human_ref, len(human_scores) AS human_documents, labelled_ref, fitted,
        activity_id, recorded_at AS "at"
    FROM calibration;
COMMENT ON VIEW calibrations IS 'Local calibrations: which known-human sample a corpus is judged against, per detector. The newest of a corpus and detector counts.';

CREATE VIEW detector_scores AS
    SELECT doc_id, name AS detector, version, score, details ->> 'abstained' AS abstained, recorded_at AS "at"
    FROM evidence_row WHERE kind IN ('detector', 'watermark', 'near_duplicate')
    QUALIFY row_number() OVER (PARTITION BY doc_id, name ORDER BY recorded_at DESC) = 1;
COMMENT ON VIEW detector_scores IS 'The newest score of each detector for each document; NULL where it abstained, with the reason.';

-- Near-duplicates: what was indexed, which indexes were compared, the pairs found, and one decision per document.

-- Each segment is a Parquet file of band keys (224 bytes a document at 25 bands of 5), immutable, path relative to the
-- catalog's folder. `sketch` says in JSON what decides its bits: two segments can be compared only if theirs are equal.
CREATE TABLE dedup_segment (
    segment_id UUID PRIMARY KEY,
    corpus VARCHAR NOT NULL,
    sketch VARCHAR NOT NULL,
    bands INTEGER NOT NULL,
    band_rows INTEGER NOT NULL,
    documents BIGINT NOT NULL,
    path VARCHAR NOT NULL,
    activity_id UUID NOT NULL
);

-- Segments whose documents have all been compared, once and for every later run at this threshold or above.
CREATE TABLE dedup_join (
    left_segment UUID NOT NULL,
    right_segment UUID NOT NULL,
    threshold DOUBLE NOT NULL
);

-- Exact similarities; doc_id < other_id. Ids hold the text's hash, so a row never goes stale.
CREATE TABLE document_pair (
    doc_id UUID NOT NULL,
    other_id UUID NOT NULL,
    jaccard DOUBLE NOT NULL,
    threshold DOUBLE NOT NULL
);

CREATE TABLE near_duplicate (
    doc_id UUID NOT NULL,
    other_id UUID NOT NULL,
    jaccard DOUBLE NOT NULL,
    cluster_id UUID NOT NULL,
    kept BOOLEAN NOT NULL,
    reason VARCHAR NOT NULL,
    threshold DOUBLE NOT NULL,
    activity_id UUID NOT NULL
);

CREATE VIEW near_duplicates AS
    WITH living AS (SELECT d.doc_id FROM document d JOIN corpus c USING (corpus_id) WHERE c.removed_at IS NULL)
    SELECT doc_id, other_id, jaccard, cluster_id, kept, reason, threshold, activity_id
    FROM near_duplicate
    WHERE doc_id IN (SELECT doc_id FROM living) AND other_id IN (SELECT doc_id FROM living);
COMMENT ON VIEW near_duplicates IS 'One row per document of a near-duplicate cluster. Where kept is false, other_id is the document kept in its place, a direct neighbour at the exact Jaccard similarity given; where true, its nearest neighbour. reason says why.';

CREATE VIEW near_duplicate_pairs AS
    WITH living AS (SELECT d.doc_id FROM document d JOIN corpus c USING (corpus_id) WHERE c.removed_at IS NULL)
    SELECT doc_id, other_id, max(jaccard) AS jaccard
    FROM document_pair
    WHERE jaccard >= threshold AND doc_id IN (SELECT doc_id FROM living) AND other_id IN (SELECT doc_id FROM living)
    GROUP BY doc_id, other_id;
COMMENT ON VIEW near_duplicate_pairs IS 'Pairs of documents found to be near-duplicates, doc_id < other_id, with their exact Jaccard similarity. Texts with the same shingles are listed as a star around one of them, and so are crowds of more than 400 look-alikes.';

CREATE VIEW duplicates AS
    SELECT DISTINCT doc_id FROM near_duplicates WHERE NOT kept;
COMMENT ON VIEW duplicates IS 'The documents that `not duplicate` leaves out of a mix.';

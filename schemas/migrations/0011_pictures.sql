-- What image models made, to look at: a few samples of each generation in one grey picture.

CREATE TABLE picture (
    run_id VARCHAR NOT NULL,
    generation INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    png BLOB NOT NULL,
    PRIMARY KEY (run_id, generation)
);

CREATE VIEW pictures AS
    SELECT run_id, generation, width, height, png FROM picture;
COMMENT ON VIEW pictures IS 'What the image model of a generation made: some samples of the first replica side by side, as a grey PNG.';

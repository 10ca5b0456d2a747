-- Experiments: plans, runs (policy x seed), generations, their models and their numbers. Rows of one generation are
-- written in one transaction, after its folder under experiments/ is complete.

CREATE TABLE experiment (
    experiment VARCHAR PRIMARY KEY,
    world VARCHAR NOT NULL,
    config JSON NOT NULL,
    fingerprint VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    activity_id UUID NOT NULL
);

CREATE TABLE experiment_run (
    run_id VARCHAR PRIMARY KEY,
    experiment VARCHAR NOT NULL,
    policy VARCHAR NOT NULL,
    policy_json JSON NOT NULL,
    seed BIGINT NOT NULL,
    status VARCHAR NOT NULL CHECK (status IN ('running', 'done')),
    started_at TIMESTAMP NOT NULL,
    ended_at TIMESTAMP,
    device VARCHAR NOT NULL
);

CREATE TABLE model (
    model_id VARCHAR PRIMARY KEY,
    kind VARCHAR NOT NULL,
    base VARCHAR,
    weights_sha256 VARCHAR NOT NULL,
    trained_on JSON NOT NULL,
    generation INTEGER NOT NULL,
    run_id VARCHAR
);

CREATE TABLE generation_row (
    run_id VARCHAR NOT NULL,
    generation INTEGER NOT NULL,
    model_id VARCHAR,
    trained_on JSON NOT NULL,
    sampled_corpus VARCHAR,
    samples BIGINT NOT NULL,
    seconds DOUBLE NOT NULL,
    training_sha256 VARCHAR NOT NULL,
    samples_sha256 VARCHAR NOT NULL,
    model_sha256 VARCHAR NOT NULL,
    realised JSON NOT NULL,
    PRIMARY KEY (run_id, generation)
);

CREATE TABLE metric_row (
    run_id VARCHAR NOT NULL,
    generation INTEGER NOT NULL,
    metric VARCHAR NOT NULL,
    subgroup VARCHAR NOT NULL,
    value DOUBLE,
    low DOUBLE,
    high DOUBLE,
    stderr DOUBLE,
    expected DOUBLE,
    higher_is_better BOOLEAN,
    unit VARCHAR NOT NULL
);

CREATE VIEW experiments AS
    SELECT experiment, world, config, fingerprint, created_at, activity_id FROM experiment;
COMMENT ON VIEW experiments IS 'Recursion experiments: one plan each, run under several policies and seeds.';

CREATE VIEW runs AS
    SELECT r.experiment, r.run_id, r.policy, r.seed, e.world, r.policy_json AS config, r.status, r.started_at,
        r.ended_at, r.device
    FROM experiment_run r JOIN experiment e USING (experiment);
COMMENT ON VIEW runs IS 'One policy under one seed. A run that is still running and whose command has ended was interrupted: resume it.';

CREATE VIEW generations AS
    SELECT run_id, generation, model_id, trained_on, sampled_corpus, samples, seconds, 'done' AS state,
        training_sha256, samples_sha256, model_sha256, realised
    FROM generation_row;
COMMENT ON VIEW generations IS 'One turn of the loop: what the model was trained on (documents per corpus), what it wrote, and hashes of both. Generation 0 is the model trained on real data, shared by all policies of a seed.';

CREATE VIEW metrics AS
    SELECT run_id, generation, metric, subgroup, value, low, high, stderr, expected, higher_is_better, unit
    FROM metric_row;
COMMENT ON VIEW metrics IS 'Numbers per generation. With replicas, value is their mean, low and high their 5 % and 95 % quantiles, stderr the standard error of the mean; expected is the closed form where one is known.';

CREATE VIEW models AS
    SELECT model_id, kind, base, weights_sha256, trained_on, generation, run_id FROM model;
COMMENT ON VIEW models IS 'Models that experiments trained; generation counts the models between this one and human text.';

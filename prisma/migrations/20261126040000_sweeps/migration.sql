CREATE TABLE sweeps (
    id text PRIMARY KEY,
    team_id text NOT NULL REFERENCES teams (id),
    state text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'cancelled')),
    base_model_id text NOT NULL REFERENCES base_models (id),
    base_model_name text NOT NULL,
    base_model_revision text NOT NULL,
    -- Outlives the dataset's row, as in jobs.
    dataset_id text NOT NULL,
    dataset_filename text NOT NULL,
    dataset_sha256 text NOT NULL,
    adapter text NOT NULL,
    -- As sent: what trials have in common.
    recipe jsonb NOT NULL,
    space jsonb NOT NULL,
    method jsonb NOT NULL,
    metric text NOT NULL CHECK (metric IN ('loss', 'accuracy')),
    max_concurrent integer,
    cancel_requested boolean NOT NULL DEFAULT false,
    -- The trial whose adapter became a version, and the number of that.
    promoted_trial integer,
    promoted_version integer,
    created_at timestamptz(3) NOT NULL,
    finished_at timestamptz(3),
    FOREIGN KEY (team_id, adapter) REFERENCES adapters (team_id, name),
    CHECK ((promoted_trial IS NULL) = (promoted_version IS NULL))
);
CREATE INDEX sweeps_team_id_created_at_id_idx ON sweeps (team_id, created_at, id);

-- Jobs of the release before are trials of nothing.
ALTER TABLE jobs ADD COLUMN sweep_id text REFERENCES sweeps (id);
ALTER TABLE jobs ADD COLUMN trial integer;
ALTER TABLE jobs ADD COLUMN stopped_early jsonb;
ALTER TABLE jobs ADD CONSTRAINT jobs_trial_check CHECK ((sweep_id IS NULL) = (trial IS NULL));
CREATE INDEX jobs_sweep_id_idx ON jobs (sweep_id, created_at, id) WHERE sweep_id IS NOT NULL;

CREATE TABLE sweep_trials (
    sweep_id text NOT NULL REFERENCES sweeps (id) ON DELETE CASCADE,
    number integer NOT NULL,
    job_id text NOT NULL UNIQUE REFERENCES jobs (id) ON DELETE CASCADE,
    parameters jsonb NOT NULL,
    -- What it has published, and the id of the version that it becomes when it is promoted.
    version_id text,
    manifest jsonb,
    PRIMARY KEY (sweep_id, number),
    CHECK ((version_id IS NULL) = (manifest IS NULL))
);

-- The first evaluation of each trial at each rung. Unlike metrics, they stay when an attempt goes back to a checkpoint.
CREATE TABLE sweep_reports (
    sweep_id text NOT NULL,
    rung integer NOT NULL,
    trial integer NOT NULL,
    step integer NOT NULL,
    value double precision NOT NULL,
    at timestamptz(3) NOT NULL,
    PRIMARY KEY (sweep_id, rung, trial),
    FOREIGN KEY (sweep_id, trial) REFERENCES sweep_trials (sweep_id, number) ON DELETE CASCADE
);

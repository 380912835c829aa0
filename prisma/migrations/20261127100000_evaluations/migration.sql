-- What versions were measured as, by jobs.
CREATE TABLE evaluations (
    job_id text PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    team_id text NOT NULL REFERENCES teams (id),
    version_id text NOT NULL REFERENCES adapter_versions (id) ON DELETE CASCADE,
    -- Outlives the dataset's row, so it is no foreign key.
    dataset_id text NOT NULL,
    dataset_filename text NOT NULL,
    dataset_sha256 text NOT NULL,
    limits jsonb NOT NULL,
    rows integer NOT NULL,
    results jsonb NOT NULL,
    move jsonb,
    created_at timestamptz(3) NOT NULL
);
CREATE INDEX evaluations_version_id_created_at_idx ON evaluations (version_id, created_at);
SELECT lowrank_guard('evaluations');

-- What versions have to reach before an alias may move to them.
CREATE TABLE gates (
    team_id text NOT NULL REFERENCES teams (id),
    adapter_id text NOT NULL REFERENCES adapters (id) ON DELETE CASCADE,
    alias text NOT NULL,
    -- A dataset that a gate names is not deleted.
    dataset_id text NOT NULL REFERENCES datasets (id),
    checks jsonb NOT NULL,
    limits jsonb NOT NULL,
    created_at timestamptz(3) NOT NULL,
    created_by text NOT NULL,
    PRIMARY KEY (team_id, adapter_id, alias)
);
CREATE INDEX gates_dataset_id_idx ON gates (dataset_id);
SELECT lowrank_guard('gates');

-- What an alias's gate had to say to a move; null: there was none.
ALTER TABLE alias_moves ADD COLUMN gate text;

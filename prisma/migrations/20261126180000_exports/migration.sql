-- What a job does; null: it trains, as all jobs of the releases before.
ALTER TABLE jobs ADD COLUMN work jsonb;

-- Versions in other formats, one of each at most.
CREATE TABLE version_exports (
    team_id text NOT NULL REFERENCES teams (id),
    version_id text NOT NULL REFERENCES adapter_versions (id) ON DELETE CASCADE,
    format text NOT NULL,
    job_id text NOT NULL UNIQUE REFERENCES jobs (id) ON DELETE CASCADE,
    certificate jsonb NOT NULL,
    files jsonb NOT NULL,
    bytes bigint NOT NULL,
    created_at timestamptz(3) NOT NULL,
    PRIMARY KEY (version_id, format)
);
SELECT lowrank_guard('version_exports');

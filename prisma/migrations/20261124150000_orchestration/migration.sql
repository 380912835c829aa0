-- What the dispatcher decides by: priorities, quotas, what workers offer, what teams have used. Every new column has a default, so that
-- processes of the release before go on writing rows during a rolling deploy.

ALTER TABLE teams
    ADD COLUMN weight double precision NOT NULL DEFAULT 1 CHECK (weight > 0),
    ADD COLUMN max_running integer CHECK (max_running >= 0),
    ADD COLUMN max_queued integer CHECK (max_queued >= 0),
    ADD COLUMN device_seconds_per_month bigint CHECK (device_seconds_per_month >= 0);

CREATE TABLE team_usage (
    team_id text NOT NULL REFERENCES teams (id),
    -- The beginning of an hour, UTC.
    hour timestamptz(3) NOT NULL,
    seconds double precision NOT NULL CHECK (seconds >= 0),
    PRIMARY KEY (team_id, hour)
);

ALTER TABLE jobs
    ADD COLUMN pause_requested boolean NOT NULL DEFAULT false,
    ADD COLUMN preempt_requested boolean NOT NULL DEFAULT false,
    ADD COLUMN priority integer NOT NULL DEFAULT 0 CHECK (priority BETWEEN -100 AND 100),
    ADD COLUMN placement jsonb NOT NULL DEFAULT '{"deviceClasses": null, "memoryBytes": null}',
    ADD COLUMN not_before timestamptz(3),
    ADD COLUMN deadline timestamptz(3),
    ADD COLUMN cloned_from text,
    ADD COLUMN queued_at timestamptz(3) NOT NULL DEFAULT now(),
    ADD COLUMN rank_at timestamptz(3) NOT NULL DEFAULT now(),
    ADD COLUMN assigned_to text,
    ADD COLUMN assigned_at timestamptz(3),
    ADD COLUMN attempt_started_at timestamptz(3),
    ADD COLUMN device_seconds double precision NOT NULL DEFAULT 0 CHECK (device_seconds >= 0),
    ADD COLUMN host text;
UPDATE jobs SET queued_at = created_at, rank_at = created_at;
UPDATE jobs SET attempt_started_at = coalesce(started_at, created_at)
    WHERE state IN ('preparing', 'running', 'publishing');

-- What waits, in each team's order; what is on its way to a worker; what may run out of time.
DROP INDEX jobs_queued_idx;
CREATE INDEX jobs_waiting_idx ON jobs (team_id, rank_at, id) WHERE state = 'queued' AND assigned_to IS NULL;
CREATE INDEX jobs_assigned_idx ON jobs (assigned_at) WHERE state = 'queued' AND assigned_to IS NOT NULL;
CREATE INDEX jobs_deadline_idx ON jobs (deadline)
    WHERE deadline IS NOT NULL AND state NOT IN ('succeeded', 'cancelled', 'failed');

ALTER TABLE outbox ADD COLUMN worker_id text;

ALTER TABLE workers
    ADD COLUMN device_class text NOT NULL DEFAULT 'cpu',
    ADD COLUMN memory_bytes bigint NOT NULL DEFAULT 0 CHECK (memory_bytes >= 0),
    ADD COLUMN wake_up_version integer NOT NULL DEFAULT 1,
    ADD COLUMN drain text CHECK (drain IN ('finish', 'checkpoint'));

-- What is known of a job before it runs, and what times of later ones are predicted from. Every new column is empty or has a default, so
-- that processes of the release before go on writing rows during a rolling deploy.

ALTER TABLE jobs
    -- libs/contracts' Estimate.
    ADD COLUMN estimate jsonb,
    -- Its peak of memory, and what of that others on the same base share: the dispatcher reads them for every job that waits.
    ADD COLUMN estimated_bytes bigint CHECK (estimated_bytes > 0),
    ADD COLUMN shared_bytes bigint CHECK (shared_bytes >= 0),
    -- Of the worker that claimed it last.
    ADD COLUMN device_class text;

-- Finished jobs by what they ran on, the newest first.
CREATE INDEX jobs_finished_runs_idx ON jobs (device_class, finished_at DESC)
    WHERE state = 'succeeded' AND device_class IS NOT NULL AND estimate IS NOT NULL;
CREATE INDEX jobs_finished_runs_of_base_idx ON jobs (base_model_id, device_class, finished_at DESC)
    WHERE state = 'succeeded' AND device_class IS NOT NULL AND estimate IS NOT NULL;

ALTER TABLE workers
    ADD COLUMN threads integer NOT NULL DEFAULT 0 CHECK (threads >= 0);

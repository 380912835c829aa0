-- Answers of an adapter on its way.
CREATE TABLE job_samples (
    job_id text NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    step integer NOT NULL CHECK (step >= 0),
    at timestamptz(3) NOT NULL,
    samples jsonb NOT NULL,
    PRIMARY KEY (job_id, step)
);
SELECT lowrank_guard('job_samples', 'job_id', 'jobs');

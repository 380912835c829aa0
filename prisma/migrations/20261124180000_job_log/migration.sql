-- What a job's trainers write, the newest lines only. Numbers are given under the lock of the job's row.
CREATE TABLE job_log (
    job_id text NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seq integer NOT NULL CHECK (seq > 0),
    at timestamptz(3) NOT NULL,
    epoch integer NOT NULL,
    level text NOT NULL CHECK (level IN ('debug', 'info', 'warn', 'error')),
    message text NOT NULL,
    PRIMARY KEY (job_id, seq)
);

-- Ended jobs pile up, and metrics count jobs by state every few seconds: from the index alone.
CREATE INDEX jobs_state_idx ON jobs (state);

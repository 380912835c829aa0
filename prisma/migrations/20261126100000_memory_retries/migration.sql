-- How often a job's micro-batches were made smaller because a trainer ran out of memory.
ALTER TABLE jobs ADD COLUMN memory_retries integer NOT NULL DEFAULT 0;

-- States of adapters that jobs have reached, with what a version would be made of.
CREATE TABLE job_checkpoints (
    job_id text NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    step integer NOT NULL CHECK (step > 0),
    at timestamptz(3) NOT NULL,
    manifest jsonb NOT NULL,
    version_id text REFERENCES adapter_versions (id) ON DELETE SET NULL,
    PRIMARY KEY (job_id, step)
);
CREATE INDEX job_checkpoints_version_id_idx ON job_checkpoints (version_id);
SELECT lowrank_guard('job_checkpoints', 'job_id', 'jobs');

-- Whoever trains has moved on: its files are of no use to anybody, and go the next time that somebody looks.
CREATE FUNCTION lowrank_discard_checkpoint() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM lowrank_discard(lowrank_shas(OLD.manifest -> 'files'), to_timestamp(0));
    RETURN NULL;
END $$;
CREATE TRIGGER discard_blobs AFTER DELETE ON job_checkpoints FOR EACH ROW EXECUTE FUNCTION lowrank_discard_checkpoint();
CREATE TRIGGER discard_replaced_blobs AFTER UPDATE OF manifest ON job_checkpoints FOR EACH ROW
WHEN (OLD.manifest -> 'files' IS DISTINCT FROM NEW.manifest -> 'files') EXECUTE FUNCTION lowrank_discard_checkpoint();

-- What a job comes to is published once; checkpoints of it besides.
ALTER TABLE adapter_versions ADD COLUMN checkpoint_step integer CHECK (checkpoint_step > 0);
DROP INDEX adapter_versions_job_id_key;
CREATE UNIQUE INDEX adapter_versions_job_id_key ON adapter_versions (job_id) WHERE checkpoint_step IS NULL;
CREATE INDEX adapter_versions_job_id_idx ON adapter_versions (job_id);

-- The version whose weights a job starts from: { versionId, adapter, number }.
ALTER TABLE jobs ADD COLUMN init_from jsonb;

-- What versions were made from. A parent's row may be gone, so that there is no foreign key on it, and its name is kept.
CREATE TABLE version_parents (
    version_id text NOT NULL REFERENCES adapter_versions (id) ON DELETE CASCADE,
    parent_id text NOT NULL CHECK (parent_id <> version_id),
    kind text NOT NULL CHECK (kind IN ('continued', 'combined')),
    adapter text NOT NULL,
    number integer NOT NULL,
    PRIMARY KEY (version_id, parent_id)
);
CREATE INDEX version_parents_parent_id_idx ON version_parents (parent_id);
SELECT lowrank_guard('version_parents', 'version_id', 'adapter_versions');

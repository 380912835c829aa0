-- What somebody notes on a job for programs of their own: text by name.
ALTER TABLE jobs ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}';

-- Null: never.
ALTER TABLE datasets ADD COLUMN expires_at timestamptz(3);
CREATE INDEX datasets_expires_at_idx ON datasets (expires_at) WHERE expires_at IS NOT NULL;

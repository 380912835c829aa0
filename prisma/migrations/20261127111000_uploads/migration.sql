-- Files that come in parts, until they have become datasets. Their bytes are in the object store.
CREATE TABLE uploads (
    id text PRIMARY KEY,
    team_id text NOT NULL REFERENCES teams (id),
    filename text NOT NULL,
    bytes bigint NOT NULL CHECK (bytes > 0),
    sha256 text,
    -- { name, format, baseModel }
    fields jsonb NOT NULL,
    part_bytes bigint NOT NULL CHECK (part_bytes > 0),
    store_upload text NOT NULL,
    created_at timestamptz(3) NOT NULL,
    expires_at timestamptz(3) NOT NULL
);
CREATE INDEX uploads_team_id_created_at_id_idx ON uploads (team_id, created_at, id);
CREATE INDEX uploads_expires_at_idx ON uploads (expires_at);
SELECT lowrank_guard('uploads');

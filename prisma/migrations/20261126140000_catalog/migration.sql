ALTER TABLE adapters ADD COLUMN description text NOT NULL DEFAULT '';
-- Written by somebody; null: made when it is asked for.
ALTER TABLE adapters ADD COLUMN card text;
ALTER TABLE adapters ADD COLUMN tags jsonb NOT NULL DEFAULT '[]';

-- As revisionOf in libs/domain: the first 40 digits of the SHA-256 over `<sha256>  <path>` lines in path order. Marked immutable, which it
-- is, though convert_to is not known to be.
CREATE FUNCTION files_revision(files jsonb) RETURNS text IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql AS $$
    SELECT left(encode(sha256(convert_to(
        coalesce(string_agg((file ->> 'sha256') || '  ' || (file ->> 'path') || E'\n', '' ORDER BY file ->> 'path' COLLATE "C"), ''),
        'UTF8')), 'hex'), 40)
    FROM jsonb_array_elements(files) AS file
$$;
-- The database makes it, for rows of the release before too.
ALTER TABLE adapter_versions ADD COLUMN revision text NOT NULL GENERATED ALWAYS AS (files_revision(files)) STORED;
CREATE INDEX adapter_versions_adapter_id_revision_idx ON adapter_versions (adapter_id, revision);

-- Movable names of an adapter's versions, and all that became of them.
CREATE TABLE aliases (
    team_id text NOT NULL REFERENCES teams (id),
    adapter_id text NOT NULL REFERENCES adapters (id) ON DELETE CASCADE,
    name text NOT NULL,
    version integer NOT NULL,
    moved_at timestamptz(3) NOT NULL,
    moved_by text NOT NULL,
    PRIMARY KEY (team_id, adapter_id, name),
    FOREIGN KEY (adapter_id, version) REFERENCES adapter_versions (adapter_id, number) ON DELETE CASCADE
);

CREATE TABLE alias_moves (
    team_id text NOT NULL REFERENCES teams (id),
    adapter_id text NOT NULL REFERENCES adapters (id) ON DELETE CASCADE,
    alias text NOT NULL,
    seq integer NOT NULL,
    action text NOT NULL CHECK (action IN ('move', 'rollback', 'remove')),
    from_version integer,
    to_version integer CHECK ((to_version IS NULL) = (action = 'remove')),
    -- seq of the move whose version a rollback goes back to.
    returns_to integer CHECK (returns_to < seq),
    at timestamptz(3) NOT NULL,
    by text NOT NULL,
    PRIMARY KEY (team_id, adapter_id, alias, seq)
);

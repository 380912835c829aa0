-- Adapters that servers keep loaded.
CREATE TABLE pins (
    team_id text NOT NULL REFERENCES teams (id),
    adapter_id text NOT NULL REFERENCES adapters (id) ON DELETE CASCADE,
    -- v3, latest or an alias, which may be gone again.
    ref text NOT NULL,
    created_at timestamptz(3) NOT NULL,
    created_by text NOT NULL,
    PRIMARY KEY (team_id, adapter_id, ref)
);
SELECT lowrank_guard('pins');

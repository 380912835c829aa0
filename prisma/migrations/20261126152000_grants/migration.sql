-- Adapters that a team lets others read: all of their versions, or what one alias stands on.
CREATE TABLE grants (
    id         text PRIMARY KEY,
    -- Whose adapter it is.
    team_id    text NOT NULL REFERENCES teams (id),
    adapter_id text NOT NULL REFERENCES adapters (id) ON DELETE CASCADE,
    to_team_id text NOT NULL REFERENCES teams (id),
    -- null: all versions
    alias      text,
    created_at timestamptz(3) NOT NULL,
    UNIQUE (adapter_id, to_team_id),
    CHECK (team_id <> to_team_id)
);
CREATE INDEX grants_team_id_created_at_id_idx ON grants (team_id, created_at, id);
CREATE INDEX grants_to_team_id_idx ON grants (to_team_id);

SELECT lowrank_guard('grants');
CREATE POLICY granted ON grants FOR SELECT TO lowrank_api
    USING (to_team_id = (SELECT current_setting('lowrank.team_id', true)));

-- What belongs to a row is its team's by that row's own rule, and no longer by whether the row can be seen: others may see it now.
CREATE OR REPLACE FUNCTION lowrank_guard(guarded regclass, via text DEFAULT 'team_id', parent regclass DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    rule text := (SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = parent AND polname = 'of_team');
    is_own text := CASE
        WHEN parent IS NULL THEN format('%I = (SELECT current_setting(''lowrank.team_id'', true))', via)
        ELSE format('EXISTS (SELECT FROM %1$s WHERE %1$s.id = %2$s.%3$I AND %4$s)', parent, guarded, via, rule)
    END;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
    EXECUTE format('DROP POLICY IF EXISTS of_team ON %s', guarded);
    EXECUTE format('CREATE POLICY of_team ON %s TO lowrank_api USING (%s)', guarded, is_own);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO lowrank_api', guarded);
END $$;
SELECT lowrank_guard('adapter_versions', 'adapter_id', 'adapters');

-- Reading is all that is granted, and of what is granted alone.
CREATE POLICY granted ON adapters FOR SELECT TO lowrank_api USING (EXISTS (
    SELECT FROM grants WHERE grants.adapter_id = adapters.id
        AND grants.to_team_id = (SELECT current_setting('lowrank.team_id', true))));
CREATE POLICY granted ON aliases FOR SELECT TO lowrank_api USING (EXISTS (
    SELECT FROM grants WHERE grants.adapter_id = aliases.adapter_id
        AND grants.to_team_id = (SELECT current_setting('lowrank.team_id', true))
        AND (grants.alias IS NULL OR grants.alias = aliases.name)));
CREATE POLICY granted ON adapter_versions FOR SELECT TO lowrank_api USING (EXISTS (
    SELECT FROM grants WHERE grants.adapter_id = adapter_versions.adapter_id
        AND grants.to_team_id = (SELECT current_setting('lowrank.team_id', true))
        AND (grants.alias IS NULL OR EXISTS (
            SELECT FROM aliases WHERE aliases.adapter_id = grants.adapter_id AND aliases.name = grants.alias
                AND aliases.version = adapter_versions.number))));
-- The two teams of a grant know each other's names.
CREATE POLICY granted ON teams FOR SELECT TO lowrank_api USING (EXISTS (
    SELECT FROM grants WHERE (SELECT current_setting('lowrank.team_id', true)) IN (grants.team_id, grants.to_team_id)
        AND teams.id IN (grants.team_id, grants.to_team_id)));

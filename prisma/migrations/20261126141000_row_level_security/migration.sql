-- The API answers requests as this role: it owns nothing, so row-level security binds it. The owner (worker, dispatcher, reconciler, and the
-- API for what concerns all teams) is not bound. Roles are of the whole server: another database may have made it already.
DO $$
DECLARE
    may_become constant text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lowrank_api') THEN
        BEGIN
            CREATE ROLE lowrank_api NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- by another database's migration, at the same moment
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'lowrank_api', may_become) THEN
        EXECUTE format('GRANT lowrank_api TO %I', current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the database user % may not make the role lowrank_api, or not become it', current_user
        USING HINT = format(
            'Have an administrator of the server run once: CREATE ROLE lowrank_api NOLOGIN; GRANT lowrank_api TO %I; -- then start again. '
            'The first of the two is not needed when the role is there.', current_user);
END $$;

-- GRANT USAGE on whichever schema the tables are in.
DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO lowrank_api', current_schema()); END $$;

-- Gives a table to the API, each team its own rows. A new table needs one line, and is closed to the API without it:
--   SELECT lowrank_guard('things');                        rows with a team_id
--   SELECT lowrank_guard('thing_parts', 'thing_id', 'things');   rows of a guarded table's row
CREATE FUNCTION lowrank_guard(guarded regclass, via text DEFAULT 'team_id', parent regclass DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    is_own text := CASE
        WHEN parent IS NULL THEN format('%I = (SELECT current_setting(''lowrank.team_id'', true))', via)
        -- The parent's own policy hides other teams' rows from this.
        ELSE format('EXISTS (SELECT FROM %s AS parent WHERE parent.id = %s.%I)', parent, guarded, via)
    END;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
    EXECUTE format('CREATE POLICY of_team ON %s TO lowrank_api USING (%s)', guarded, is_own);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO lowrank_api', guarded);
END $$;

SELECT lowrank_guard('teams', 'id');
SELECT lowrank_guard('team_usage');
SELECT lowrank_guard('api_keys');
SELECT lowrank_guard('base_models');
SELECT lowrank_guard('datasets');
SELECT lowrank_guard('jobs');
SELECT lowrank_guard('job_events', 'job_id', 'jobs');
SELECT lowrank_guard('job_metrics', 'job_id', 'jobs');
SELECT lowrank_guard('job_log', 'job_id', 'jobs');
SELECT lowrank_guard('outbox', 'job_id', 'jobs');
SELECT lowrank_guard('adapters');
SELECT lowrank_guard('adapter_versions', 'adapter_id', 'adapters');
SELECT lowrank_guard('aliases');
SELECT lowrank_guard('alias_moves');
SELECT lowrank_guard('webhooks');
SELECT lowrank_guard('webhook_deliveries', 'webhook_id', 'webhooks');
SELECT lowrank_guard('sweeps');
SELECT lowrank_guard('sweep_trials', 'sweep_id', 'sweeps');
SELECT lowrank_guard('sweep_reports', 'sweep_id', 'sweeps');
GRANT USAGE ON SEQUENCE outbox_id_seq TO lowrank_api;

-- Machines belong to no team, and what a party holds says nothing of one.
GRANT SELECT ON workers TO lowrank_api;
GRANT SELECT, UPDATE, DELETE ON parties TO lowrank_api;

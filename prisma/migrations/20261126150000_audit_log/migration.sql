-- What callers have changed, each row written in the transaction of its change.
CREATE TABLE audit_log (
    id          text PRIMARY KEY,
    team_id     text NOT NULL REFERENCES teams (id),
    created_at  timestamptz(3) NOT NULL DEFAULT now(),
    actor_type  text NOT NULL,
    actor_id    text NOT NULL,
    actor_name  text NOT NULL,
    action      text NOT NULL,
    change      text NOT NULL,
    target_kind text NOT NULL,
    target_id   text,
    target_name text,
    details     jsonb NOT NULL CHECK (jsonb_typeof(details) = 'object'),
    request_id  text NOT NULL
);
CREATE INDEX audit_log_team_id_created_at_id_idx ON audit_log (team_id, created_at, id);
CREATE INDEX audit_log_request_id_idx ON audit_log (request_id);

SELECT lowrank_guard('audit_log');
-- Append-only: who answers requests cannot take back what was written.
REVOKE UPDATE, DELETE ON audit_log FROM lowrank_api;

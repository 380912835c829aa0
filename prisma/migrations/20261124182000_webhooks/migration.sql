CREATE TABLE webhooks (
    id text PRIMARY KEY,
    team_id text NOT NULL REFERENCES teams (id),
    url text NOT NULL,
    events jsonb NOT NULL,
    -- Deliveries are signed with it, so it is kept as it is.
    secret text NOT NULL,
    enabled boolean NOT NULL,
    created_at timestamptz(3) NOT NULL
);
CREATE INDEX webhooks_team_id_created_at_id_idx ON webhooks (team_id, created_at, id);

CREATE TABLE webhook_deliveries (
    id text PRIMARY KEY,
    webhook_id text NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    type text NOT NULL,
    -- Text, since every try sends the same bytes.
    body text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz(3),
    last_status integer,
    last_error text,
    created_at timestamptz(3) NOT NULL,
    finished_at timestamptz(3),
    CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL))
);
CREATE INDEX webhook_deliveries_webhook_id_created_at_id_idx ON webhook_deliveries (webhook_id, created_at, id);
CREATE INDEX webhook_deliveries_due_idx ON webhook_deliveries (webhook_id, next_attempt_at, id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_finished_idx ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;

-- Ids and names are text that the application makes and checks; times are UTC with milliseconds; json is what libs/contracts
-- describes. Every list of a team is read newest first, hence the indexes on (team_id, created_at, id).

CREATE TABLE teams (
    id text PRIMARY KEY,
    name text NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX teams_name_key ON teams (name);

CREATE TABLE api_keys (
    id text PRIMARY KEY,
    team_id text NOT NULL REFERENCES teams (id),
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('admin', 'member')),
    hint text NOT NULL,
    secret_sha256 text NOT NULL CHECK (secret_sha256 ~ '^[0-9a-f]{64}$'),
    created_at timestamptz(3) NOT NULL,
    revoked_at timestamptz(3)
);
CREATE UNIQUE INDEX api_keys_secret_sha256_key ON api_keys (secret_sha256);
CREATE INDEX api_keys_team_id_created_at_id_idx ON api_keys (team_id, created_at, id);

CREATE TABLE base_models (
    id text PRIMARY KEY,
    team_id text NOT NULL REFERENCES teams (id),
    name text NOT NULL,
    source text NOT NULL,
    revision text NOT NULL,
    model_type text NOT NULL,
    parameters bigint NOT NULL,
    context_length integer NOT NULL,
    vocab_size integer NOT NULL,
    files jsonb NOT NULL,
    status text NOT NULL CHECK (status IN ('importing', 'ready', 'failed')),
    created_at timestamptz(3) NOT NULL
);
CREATE UNIQUE INDEX base_models_team_id_name_key ON base_models (team_id, name);
CREATE INDEX base_models_team_id_created_at_id_idx ON base_models (team_id, created_at, id);

CREATE TABLE datasets (
    id text PRIMARY KEY,
    team_id text NOT NULL REFERENCES teams (id),
    filename text NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    format text NOT NULL,
    rows bigint NOT NULL,
    tokens bigint,
    loss_tokens bigint,
    tokens_of text,
    created_at timestamptz(3) NOT NULL
);
CREATE INDEX datasets_team_id_created_at_id_idx ON datasets (team_id, created_at, id);

CREATE TABLE adapters (
    id text PRIMARY KEY,
    team_id text NOT NULL REFERENCES teams (id),
    name text NOT NULL,
    base_model text NOT NULL,
    latest_version integer CHECK (latest_version > 0),
    created_at timestamptz(3) NOT NULL,
    updated_at timestamptz(3) NOT NULL
);
CREATE UNIQUE INDEX adapters_team_id_name_key ON adapters (team_id, name);
CREATE INDEX adapters_team_id_created_at_id_idx ON adapters (team_id, created_at, id);

CREATE TABLE jobs (
    id text PRIMARY KEY,
    team_id text NOT NULL REFERENCES teams (id),
    state text NOT NULL CHECK (
        state IN ('queued', 'preparing', 'running', 'publishing', 'succeeded', 'paused', 'cancelled', 'failed')
    ),
    epoch integer NOT NULL CHECK (epoch >= 0),
    base_model_id text NOT NULL REFERENCES base_models (id),
    base_model_name text NOT NULL,
    base_model_revision text NOT NULL,
    -- The dataset's row may be deleted once no unfinished job needs it; the job keeps these.
    dataset_id text NOT NULL,
    dataset_filename text NOT NULL,
    dataset_sha256 text NOT NULL,
    adapter text NOT NULL,
    recipe jsonb NOT NULL,
    step integer NOT NULL DEFAULT 0,
    total_steps integer,
    trained_tokens bigint NOT NULL DEFAULT 0,
    cancel_requested boolean NOT NULL DEFAULT false,
    version integer,
    error jsonb,
    fruitless_attempts integer NOT NULL DEFAULT 0,
    checkpoint_step integer NOT NULL DEFAULT 0,
    worker_id text,
    heartbeat_at timestamptz(3),
    event_seq integer NOT NULL DEFAULT 0,
    created_at timestamptz(3) NOT NULL,
    started_at timestamptz(3),
    finished_at timestamptz(3),
    FOREIGN KEY (team_id, adapter) REFERENCES adapters (team_id, name)
);
CREATE INDEX jobs_team_id_created_at_id_idx ON jobs (team_id, created_at, id);
CREATE INDEX jobs_team_id_adapter_created_at_id_idx ON jobs (team_id, adapter, created_at, id);
-- Final jobs pile up; what the dispatcher, the reconciler and a dataset's deletion look for stays small.
CREATE INDEX jobs_queued_idx ON jobs (created_at, id) WHERE state = 'queued';
CREATE INDEX jobs_held_idx ON jobs (heartbeat_at) WHERE state IN ('preparing', 'running', 'publishing');
CREATE INDEX jobs_unfinished_dataset_idx ON jobs (dataset_id)
    WHERE state NOT IN ('succeeded', 'cancelled', 'failed');

CREATE TABLE job_events (
    job_id text NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seq integer NOT NULL CHECK (seq > 0),
    at timestamptz(3) NOT NULL,
    epoch integer NOT NULL,
    level text NOT NULL CHECK (level IN ('info', 'warn', 'error')),
    type text NOT NULL,
    message text NOT NULL,
    state text,
    PRIMARY KEY (job_id, seq)
);

CREATE TABLE job_metrics (
    job_id text NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    step integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('train', 'eval')),
    at timestamptz(3) NOT NULL,
    loss double precision NOT NULL,
    learning_rate double precision,
    grad_norm double precision,
    tokens_per_second double precision,
    epochs double precision NOT NULL,
    accuracy double precision,
    PRIMARY KEY (job_id, step, kind)
);

CREATE TABLE outbox (
    id bigserial PRIMARY KEY,
    job_id text NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    epoch integer NOT NULL CHECK (epoch > 0)
);
CREATE INDEX outbox_job_id_idx ON outbox (job_id);

CREATE TABLE adapter_versions (
    id text PRIMARY KEY,
    adapter_id text NOT NULL REFERENCES adapters (id),
    number integer NOT NULL CHECK (number > 0),
    job_id text NOT NULL REFERENCES jobs (id),
    base_model_id text NOT NULL,
    base_model_name text NOT NULL,
    base_model_revision text NOT NULL,
    dataset_id text NOT NULL,
    dataset_sha256 text NOT NULL,
    recipe jsonb NOT NULL,
    template_sha256 text NOT NULL,
    metrics jsonb NOT NULL,
    files jsonb NOT NULL,
    bytes bigint NOT NULL,
    created_at timestamptz(3) NOT NULL
);
CREATE UNIQUE INDEX adapter_versions_job_id_key ON adapter_versions (job_id);
CREATE UNIQUE INDEX adapter_versions_adapter_id_number_key ON adapter_versions (adapter_id, number);

CREATE TABLE workers (
    id text PRIMARY KEY,
    hostname text NOT NULL,
    slots integer NOT NULL,
    device text NOT NULL,
    seen_at timestamptz(3) NOT NULL
);
CREATE INDEX workers_seen_at_idx ON workers (seen_at);

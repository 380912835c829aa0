-- Tokens that completions have taken, by day (UTC), who asked and which model answered. Each process of the API has rows of its own, which it
-- writes with what it has counted so far: written twice, they say the same.
CREATE TABLE completion_usage (
    team_id text NOT NULL REFERENCES teams (id),
    day date NOT NULL,
    actor_type text NOT NULL,
    actor_id text NOT NULL,
    model text NOT NULL,
    writer text NOT NULL,
    actor_name text NOT NULL,
    requests bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    PRIMARY KEY (team_id, day, actor_type, actor_id, model, writer)
);
SELECT lowrank_guard('completion_usage');

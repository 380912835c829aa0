-- What an overview counts and lists of a team with many jobs, without reading them all.
CREATE INDEX jobs_team_id_state_created_at_id_idx ON jobs (team_id, state, created_at, id);
CREATE INDEX jobs_finished_tokens_idx ON jobs (team_id, finished_at) INCLUDE (trained_tokens) WHERE finished_at IS NOT NULL;

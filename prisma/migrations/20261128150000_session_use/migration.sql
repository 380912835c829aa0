-- Where and with what a session was begun, null before this was kept, and when it was last used, some minutes late.
ALTER TABLE sessions ADD COLUMN address text;
ALTER TABLE sessions ADD COLUMN user_agent text;
ALTER TABLE sessions ADD COLUMN used_at timestamptz(3);
UPDATE sessions SET used_at = created_at;
ALTER TABLE sessions ALTER COLUMN used_at SET NOT NULL;
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_api_key_id_idx ON sessions (api_key_id);

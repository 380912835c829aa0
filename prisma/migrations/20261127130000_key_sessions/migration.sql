-- A session may be begun with an API key instead of a password; it is the key's then, and over when the key is revoked.
ALTER TABLE sessions ALTER COLUMN user_id DROP NOT NULL;
ALTER TABLE sessions ADD COLUMN api_key_id text REFERENCES api_keys (id);
ALTER TABLE sessions ADD CONSTRAINT sessions_of_one CHECK ((user_id IS NULL) <> (api_key_id IS NULL));

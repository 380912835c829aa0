-- Four roles, keys with scopes and an expiry, and the one team that runs the installation.
ALTER TABLE api_keys DROP CONSTRAINT api_keys_role_check;
ALTER TABLE api_keys ADD CONSTRAINT api_keys_role_check CHECK (role IN ('owner', 'admin', 'member', 'viewer'));
ALTER TABLE api_keys ADD COLUMN scopes jsonb CHECK (jsonb_typeof(scopes) = 'array');
ALTER TABLE api_keys ADD COLUMN expires_at timestamptz(3);

-- Who had the oldest key that could do everything could do what an owner can.
UPDATE api_keys SET role = 'owner' WHERE id IN (
    SELECT DISTINCT ON (team_id) id FROM api_keys WHERE role = 'admin' AND revoked_at IS NULL ORDER BY team_id, created_at, id
);

ALTER TABLE teams ADD COLUMN is_operator boolean NOT NULL DEFAULT false;
UPDATE teams SET is_operator = true WHERE id = (SELECT id FROM teams ORDER BY created_at, id LIMIT 1);
CREATE UNIQUE INDEX teams_is_operator_key ON teams (is_operator) WHERE is_operator;

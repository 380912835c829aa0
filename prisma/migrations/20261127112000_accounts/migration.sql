-- What lets somebody who has forgotten their password choose another one. Made by an admin, shown once; only its SHA-256 is kept.
CREATE TABLE password_resets (
    id           text PRIMARY KEY,
    -- Whose admin has made it. It is good only as long as that admin could make it: while its user is in no other team, or the team is the operator's.
    team_id      text NOT NULL REFERENCES teams (id),
    user_id      text NOT NULL REFERENCES users (id),
    token_sha256 text NOT NULL UNIQUE,
    created_at   timestamptz(3) NOT NULL,
    expires_at   timestamptz(3) NOT NULL
);
CREATE INDEX password_resets_user_id_idx ON password_resets (user_id);
SELECT lowrank_guard('password_resets');

-- Failures to prove a password, by SHA-256 of the account or the client's address: all API processes count here.
CREATE TABLE sign_in_attempts (
    key_sha256 text PRIMARY KEY,
    failures   integer NOT NULL,
    until      timestamptz(3) NOT NULL
);
CREATE INDEX sign_in_attempts_until_idx ON sign_in_attempts (until);
-- For nobody who answers requests as lowrank_api.
ALTER TABLE sign_in_attempts ENABLE ROW LEVEL SECURITY;

-- Of what concerns accounts and no team, such as a sign-in to an address that nobody has. Policies show such rows to no team.
ALTER TABLE audit_log ALTER COLUMN team_id DROP NOT NULL;

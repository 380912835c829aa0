-- People and service accounts, what they are in teams, sessions of those who signed in, and invitations.
CREATE TABLE users (
    id            text PRIMARY KEY,
    -- In lower case. Service accounts have neither address nor password, and do not sign in.
    email         text UNIQUE,
    name          text NOT NULL,
    password_hash text,
    is_service    boolean NOT NULL DEFAULT false,
    created_at    timestamptz(3) NOT NULL,
    CHECK (is_service = (email IS NULL)),
    CHECK (is_service = (password_hash IS NULL))
);

CREATE TABLE members (
    team_id    text NOT NULL REFERENCES teams (id),
    user_id    text NOT NULL REFERENCES users (id),
    role       text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    created_at timestamptz(3) NOT NULL,
    PRIMARY KEY (team_id, user_id)
);
CREATE INDEX members_user_id_idx ON members (user_id);

CREATE TABLE sessions (
    id            text PRIMARY KEY,
    user_id       text NOT NULL REFERENCES users (id),
    -- The team that its requests are about, as long as its user is a member there.
    team_id       text NOT NULL REFERENCES teams (id),
    secret_sha256 text NOT NULL UNIQUE,
    created_at    timestamptz(3) NOT NULL,
    expires_at    timestamptz(3) NOT NULL
);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

CREATE TABLE invitations (
    id           text PRIMARY KEY,
    team_id      text NOT NULL REFERENCES teams (id),
    email        text NOT NULL,
    role         text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    token_sha256 text NOT NULL UNIQUE,
    created_at   timestamptz(3) NOT NULL,
    expires_at   timestamptz(3) NOT NULL,
    accepted_at  timestamptz(3)
);
CREATE INDEX invitations_team_id_created_at_id_idx ON invitations (team_id, created_at, id);

-- The member whose key it is, and with whom it dies; null: the team's.
ALTER TABLE api_keys ADD COLUMN member_id text REFERENCES users (id);
CREATE INDEX api_keys_member_id_idx ON api_keys (member_id);

SELECT lowrank_guard('members');
SELECT lowrank_guard('invitations');

-- A team sees who is in it, and of nobody a password's hash. Who signs in is nobody's yet: users and sessions are written across teams.
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_team ON users TO lowrank_api USING (EXISTS (SELECT FROM members WHERE members.user_id = users.id));
GRANT SELECT (id, email, name, is_service, created_at) ON users TO lowrank_api;
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;

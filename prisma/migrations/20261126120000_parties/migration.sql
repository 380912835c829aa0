-- Jobs of one team that one trainer trains together, in one slot. `clock` is what each member has been charged for it since the party
-- began, in seconds as of clock_at: it runs at 1 / members.
CREATE TABLE parties (
    id text PRIMARY KEY,
    members integer NOT NULL CHECK (members > 0),
    clock double precision NOT NULL CHECK (clock >= 0),
    clock_at timestamptz(3) NOT NULL,
    -- What its trainer takes of the worker's; null: not known.
    memory_bytes bigint CHECK (memory_bytes > 0)
);

-- No foreign key: the release before does not know what to take out of a party when an attempt ends.
ALTER TABLE jobs ADD COLUMN party text;

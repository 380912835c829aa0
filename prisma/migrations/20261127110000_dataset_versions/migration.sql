-- A dataset is a version of what its name stands for. The release before writes rows without a name: they are found by id alone until they
-- are named, which is why both may be null.
ALTER TABLE datasets ADD COLUMN name text, ADD COLUMN version integer CHECK (version > 0);

-- As libs/contracts' datasetNameOf does, as far as ASCII goes.
WITH named AS (
    SELECT id, team_id, created_at,
        trim(BOTH '._-' FROM left(regexp_replace(regexp_replace(regexp_replace(lower(filename),
            '(\.(jsonl|ndjson|json|csv|tsv|parquet|txt))?(\.gz)?$', ''), '[^a-z0-9._-]+', '-', 'g'), '\.{2,}', '.', 'g'), 96)) AS name
    FROM datasets
), numbered AS (
    SELECT id, name, row_number() OVER (PARTITION BY team_id, name ORDER BY created_at, id) AS version
    FROM (
        SELECT id, team_id, created_at,
            CASE WHEN name = '' OR name ~ '^[a-z]+_[a-z2-7]{24}$' THEN 'dataset' ELSE name END AS name
        FROM named
    ) AS valid
)
UPDATE datasets SET name = numbered.name, version = numbered.version FROM numbered WHERE numbered.id = datasets.id;

CREATE UNIQUE INDEX datasets_team_id_name_version_key ON datasets (team_id, name, version);

-- The last number that a version of a name ever had: none is given twice.
CREATE TABLE dataset_names (
    team_id text NOT NULL REFERENCES teams (id),
    name text NOT NULL,
    last_version integer NOT NULL DEFAULT 0,
    PRIMARY KEY (team_id, name)
);
INSERT INTO dataset_names (team_id, name, last_version)
    SELECT team_id, name, max(version) FROM datasets GROUP BY team_id, name;
SELECT lowrank_guard('dataset_names');

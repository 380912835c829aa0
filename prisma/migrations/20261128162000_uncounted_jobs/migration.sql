-- Jobs that were accepted before the tokens of their datasets were counted: few, and found by the dataset once they are.
CREATE INDEX jobs_uncounted_idx ON jobs (dataset_sha256)
    WHERE work IS NULL AND state NOT IN ('succeeded', 'cancelled', 'failed') AND estimate -> 'data' = 'null';

-- What a job is evaluated on instead of rows held out of its dataset: { id, filename, sha256 }; null: on those. It outlives the dataset's row.
ALTER TABLE jobs ADD COLUMN validation_dataset jsonb;
-- Which unfinished jobs keep a dataset from being deleted.
CREATE INDEX jobs_validation_dataset_idx ON jobs ((validation_dataset ->> 'id')) WHERE validation_dataset IS NOT NULL;

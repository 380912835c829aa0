-- What trials are compared on instead of rows held out of the dataset, as in a job: { id, filename, sha256 }; null: on those.
ALTER TABLE sweeps ADD COLUMN validation_dataset jsonb;

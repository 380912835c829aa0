-- Versions that were imported have neither a job nor a dataset.
ALTER TABLE adapter_versions ALTER COLUMN job_id DROP NOT NULL;
ALTER TABLE adapter_versions ALTER COLUMN dataset_id DROP NOT NULL;
ALTER TABLE adapter_versions ALTER COLUMN dataset_sha256 DROP NOT NULL;

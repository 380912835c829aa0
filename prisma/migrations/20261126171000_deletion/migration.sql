-- Since when an adapter or a version is deleted. It can be restored until its files are removed for good.
ALTER TABLE adapters ADD COLUMN deleted_at timestamptz(3);
ALTER TABLE adapter_versions ADD COLUMN deleted_at timestamptz(3);
-- Highest number that a version ever had: numbers are never given twice. latest_version is the highest that is not deleted.
ALTER TABLE adapters ADD COLUMN last_number integer NOT NULL DEFAULT 0;
UPDATE adapters SET last_number = latest_version WHERE latest_version IS NOT NULL;

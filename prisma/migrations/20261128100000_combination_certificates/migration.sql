-- How far a version answers as those do that it was combined of (libs/contracts' CombinationCertificate); null: it was trained or imported.
ALTER TABLE adapter_versions ADD COLUMN certificate jsonb;
-- What combinations have to reach that are still to be made: jobs of releases before did not say.
UPDATE jobs SET work = jsonb_set(work, '{thresholds}', CASE work -> 'settings' ->> 'method'
  WHEN 'svd' THEN '{"klMean": 0.05, "agreement": 0.9}'::jsonb
  ELSE '{"klMean": 0.0001, "agreement": 0.999}'::jsonb
END) WHERE work ->> 'kind' = 'combine';

-- What broke the device of a worker that was drained for it, until somebody lets it work again.
ALTER TABLE workers ADD COLUMN failure jsonb;
-- Devices in a row that have failed while a job trained on them.
ALTER TABLE jobs ADD COLUMN device_failures integer NOT NULL DEFAULT 0;

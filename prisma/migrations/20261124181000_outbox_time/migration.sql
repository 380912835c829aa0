-- How far the dispatcher lags behind.
ALTER TABLE outbox ADD COLUMN created_at timestamptz(3) NOT NULL DEFAULT now();

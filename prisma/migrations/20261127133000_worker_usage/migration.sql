-- How busy a worker's machine is, as it says with each sign of life.
ALTER TABLE workers ADD COLUMN usage jsonb;

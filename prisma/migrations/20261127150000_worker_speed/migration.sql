-- What a worker's device does in a second, for predicting times before a job has finished there.
ALTER TABLE workers ADD COLUMN operations_per_second double precision;

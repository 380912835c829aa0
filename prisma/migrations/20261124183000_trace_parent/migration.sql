-- Where in a trace a job was submitted (W3C traceparent), for the spans of its attempts.
ALTER TABLE jobs ADD COLUMN trace_parent text;
ALTER TABLE outbox ADD COLUMN trace_parent text;

-- Who made an adapter: { type, id, name }; null: nobody who is known, such as the platform itself.
ALTER TABLE adapters ADD COLUMN created_by jsonb;
-- Of adapters that are there: whoever was the first to ask for a job of it, as far as the audit log goes back.
UPDATE adapters SET created_by = (
    SELECT jsonb_build_object('type', actor_type, 'id', actor_id, 'name', actor_name) FROM audit_log
    WHERE audit_log.team_id = adapters.team_id AND details ->> 'adapter' = adapters.name
      AND change IN ('submit', 'combine') AND audit_log.created_at <= adapters.created_at + interval '1 minute'
    ORDER BY audit_log.created_at, audit_log.id LIMIT 1
);

-- Waiting jobs of a team by the device classes that they name: with a slot of one class free, jobs that want another are not walked past.
CREATE INDEX jobs_waiting_classes_idx ON jobs (team_id, (placement -> 'deviceClasses'), rank_at, id)
    WHERE state = 'queued' AND assigned_to IS NULL;

-- API processes of the release before, which go on beside new ones during a deploy, begin sessions without naming the column.
ALTER TABLE sessions ALTER COLUMN used_at SET DEFAULT now();

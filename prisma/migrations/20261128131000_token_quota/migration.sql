-- Tokens that a team's completions may take in a calendar month; null: no limit.
ALTER TABLE teams ADD COLUMN tokens_per_month bigint;

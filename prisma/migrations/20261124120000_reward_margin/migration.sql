-- Objectives over pairs of answers report how far the chosen one's reward lies above the rejected one's.
ALTER TABLE job_metrics ADD COLUMN reward_margin double precision;

-- Why a queued job does not start, where it is more than that others come first.
ALTER TABLE jobs ADD COLUMN waiting_for text;

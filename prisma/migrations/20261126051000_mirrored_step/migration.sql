-- Step of the last checkpoint that is in the object store too, and not only on the disk of the machine that wrote it.
ALTER TABLE jobs ADD COLUMN mirrored_step integer NOT NULL DEFAULT 0 CHECK (mirrored_step >= 0);

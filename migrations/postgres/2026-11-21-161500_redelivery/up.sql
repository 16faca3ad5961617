-- 1 for what is to be sent once more because a person wants so.
ALTER TABLE sink_dead_letters ADD COLUMN again INTEGER NOT NULL DEFAULT 0;

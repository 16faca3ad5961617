ALTER TABLE sink_dead_letters DROP COLUMN again;

DROP INDEX devices_by_sight;
ALTER TABLE devices DROP COLUMN stale;
ALTER TABLE devices DROP COLUMN seen_at;

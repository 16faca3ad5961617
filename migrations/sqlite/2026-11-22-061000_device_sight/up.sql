-- When a device of ours was last there, and whether it was taken out of its rooms because that is too long ago.
ALTER TABLE devices ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN stale INTEGER NOT NULL DEFAULT 0;
UPDATE devices SET seen_at = registered_at;
CREATE INDEX devices_by_sight ON devices (seen_at) WHERE stale = 0;

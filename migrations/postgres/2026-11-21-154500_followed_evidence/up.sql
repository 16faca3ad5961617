-- When a client last told of the group: a commit of the hub that is still behind it later shows it to be made up.
ALTER TABLE followed_rooms ADD COLUMN taken_up_at BIGINT NOT NULL DEFAULT 0;

-- The attempt to join that a device is there by; empty once it is in the room for certain.
ALTER TABLE followed ADD COLUMN attempt BYTEA NOT NULL DEFAULT '';

CREATE INDEX kept_by_why ON kept_events (room, why, ordinal);

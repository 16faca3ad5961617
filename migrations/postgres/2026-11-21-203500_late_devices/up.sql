-- Versions of the room: what a device joined at, and what a message was last put before devices at. The hub sends a message to
-- each of our domains, and to one of them perhaps before it has let in a device of the other.
ALTER TABLE followed ADD COLUMN joined BIGINT NOT NULL DEFAULT 0;
ALTER TABLE inbox_messages ADD COLUMN version BIGINT NOT NULL DEFAULT 0;

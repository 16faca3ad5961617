-- Which clients are in the groups of our rooms, so that whose clients are to go are found without reading every group. A
-- room whose rows are not those of its epoch is looked at again.
CREATE TABLE room_leaves (
    room TEXT NOT NULL,
    signature_key BYTEA NOT NULL,
    client TEXT NOT NULL,
    user_uri TEXT NOT NULL,
    provider TEXT NOT NULL,
    PRIMARY KEY (room, signature_key)
);
CREATE INDEX room_leaves_by_client ON room_leaves (client);
CREATE INDEX room_leaves_by_user ON room_leaves (user_uri);
CREATE INDEX room_leaves_by_provider ON room_leaves (provider);
ALTER TABLE rooms ADD COLUMN leaves_epoch BIGINT NOT NULL DEFAULT -1;
CREATE INDEX rooms_without_leaves ON rooms (uri) WHERE status = 1 AND leaves_epoch <> epoch;

-- Whether a restriction stands in a room because it is imposed on every room, and so goes with that.
ALTER TABLE room_restrictions ADD COLUMN spread INTEGER NOT NULL DEFAULT 0;
UPDATE room_restrictions SET spread = 1 WHERE room <> '' AND EXISTS (
    SELECT 1 FROM room_restrictions AS whole WHERE whole.room = '' AND whole.kind = room_restrictions.kind
        AND whole.subject = room_restrictions.subject AND whole.imposed_by = room_restrictions.imposed_by
        AND whole.decision = room_restrictions.decision AND whole.reason = room_restrictions.reason);
CREATE INDEX restrictions_by_subject ON room_restrictions (kind, subject);
-- What a lost device is taken out of names its leaf from now on. Devices that are still gone are looked for once more.
DELETE FROM room_restrictions WHERE room <> '' AND kind = 6;
UPDATE room_restrictions SET owed = 1, committed_at = 0, ended_at = 0
    WHERE room = '' AND kind = 6 AND subject NOT IN (SELECT client FROM devices);

CREATE INDEX admissions_by_bearer ON admissions (credential_hash);

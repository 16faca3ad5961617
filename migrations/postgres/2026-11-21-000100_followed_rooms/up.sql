-- Rooms of other hubs that a client of ours was welcomed to or has joined. The row is what writers compete for; the
-- group, once a client has uploaded it, stands in `rooms` and `room_states` as those of our own rooms do.
CREATE TABLE followed_rooms (
    room TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    seen_epoch BIGINT NOT NULL,
    taken_up BIGINT NOT NULL,
    standing INTEGER NOT NULL,
    known_at BIGINT NOT NULL
);
INSERT INTO followed_rooms (room, version, seen_epoch, taken_up, standing, known_at)
    SELECT room, 0, 0, 0, 0, min(joined_at) FROM followed GROUP BY room;

-- What a hub has sent and what is kept of it: because its predecessor has not come, because it is withheld, or because
-- a commit may cite it.
CREATE TABLE kept_events (
    room TEXT NOT NULL REFERENCES followed_rooms (room),
    ordinal BIGINT NOT NULL,
    why INTEGER NOT NULL,
    epoch BIGINT NOT NULL,
    kind TEXT NOT NULL,
    fanout BYTEA NOT NULL,
    accepted_at BIGINT NOT NULL,
    kept_at BIGINT NOT NULL,
    devices TEXT NOT NULL,
    PRIMARY KEY (room, ordinal)
);
CREATE INDEX kept_by_time ON kept_events (why, kept_at);

-- The one room of fixed membership that the same users have: SHA-256 of them.
CREATE TABLE fixed_rooms (
    members BYTEA NOT NULL PRIMARY KEY,
    room TEXT NOT NULL UNIQUE REFERENCES rooms (uri)
);

-- Rooms that depend on others.
CREATE TABLE room_parents (
    room TEXT NOT NULL PRIMARY KEY REFERENCES rooms (uri),
    parent TEXT NOT NULL REFERENCES rooms (uri)
);
CREATE INDEX room_parents_by_parent ON room_parents (parent, room);

-- The next group of a room that nobody is left in, until it has started.
CREATE TABLE next_groups (
    room TEXT NOT NULL PRIMARY KEY REFERENCES rooms (uri),
    group_uri TEXT NOT NULL UNIQUE,
    starter TEXT NOT NULL,
    asked_at BIGINT NOT NULL
);

-- Keys under which group states, events and KeyPackages stand in this database, each wrapped under a key that does not.
CREATE TABLE data_keys (
    id BLOB NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    wrapped BLOB NOT NULL,
    UNIQUE (purpose, begun_at)
) STRICT;

-- Keys under which group states, events and KeyPackages stand in this database, each wrapped under a key that does not.
CREATE TABLE data_keys (
    id BYTEA NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    begun_at BIGINT NOT NULL,
    wrapped BYTEA NOT NULL,
    UNIQUE (purpose, begun_at)
);

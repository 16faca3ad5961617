-- Who exports to a sink. The number grows with each holder, so that one that was overtaken no longer moves the cursor.
CREATE TABLE sink_leases (
    name TEXT NOT NULL PRIMARY KEY,
    lease BIGINT NOT NULL,
    lease_owner TEXT NOT NULL,
    lease_until BIGINT NOT NULL
);

-- Entries that a sink refused for good, each alone: its cursor has passed them, and a person should look.
CREATE TABLE sink_dead_letters (
    sink TEXT NOT NULL,
    seq BIGINT NOT NULL REFERENCES audit_entries (seq),
    given_up_at BIGINT NOT NULL,
    http_status INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (sink, seq)
);

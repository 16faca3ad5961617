-- Since when it is watched, without a break, whether devices of ours are there, and when that was noted last.
CREATE TABLE device_watch (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 0),
    since INTEGER NOT NULL,
    noted_at INTEGER NOT NULL
) STRICT;

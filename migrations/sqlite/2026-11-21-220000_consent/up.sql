-- What users have asked of and granted to each other, one row for each scope; an empty room stands for every room. The
-- requester knows since when it asks and what it was told, the target since when it is asked and what it has decided.
CREATE TABLE consents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    requester TEXT NOT NULL,
    target TEXT NOT NULL,
    room TEXT NOT NULL,
    requested_at INTEGER,
    told INTEGER NOT NULL,
    told_at INTEGER NOT NULL,
    asked_at INTEGER,
    verdict INTEGER NOT NULL,
    decided_at INTEGER NOT NULL,
    UNIQUE (requester, target, room)
) STRICT;
CREATE INDEX consents_by_target ON consents (target, id);

-- What other providers are to be told of it, one lane for each: its letters in their order, one at a time.
CREATE TABLE consent_lanes (
    peer TEXT NOT NULL PRIMARY KEY,
    tail INTEGER NOT NULL,
    owed INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    first_tried INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    lease_owner TEXT NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT;

-- A letter goes when it was taken; one that was refused for good stays, parked, and the lane goes on.
CREATE TABLE consent_letters (
    peer TEXT NOT NULL,
    position INTEGER NOT NULL,
    idempotency_key TEXT NOT NULL,
    requester TEXT NOT NULL,
    target TEXT NOT NULL,
    entry BLOB NOT NULL,
    owed_at INTEGER NOT NULL,
    parked_at INTEGER,
    http_status INTEGER NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (peer, position)
) STRICT;

-- What the log is searched by stands beside it, written a thousand entries at a time and never changed: an index on the
-- entries themselves is paid for with every message.
DROP INDEX audit_by_kind;
DROP INDEX audit_by_room;
DROP INDEX audit_by_actor;
DROP INDEX audit_by_peer;
DROP INDEX audit_by_decision;
DROP INDEX audit_by_exchange;

-- Runs of 1,024 entries that are in the index: when they happened, all of them and each.
CREATE TABLE audit_blocks (
    block INTEGER NOT NULL PRIMARY KEY,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    times BLOB NOT NULL
) STRICT;

-- Which entries of a block have a value in a field; the term is a hash of both.
CREATE TABLE audit_index (
    term BLOB NOT NULL,
    block INTEGER NOT NULL,
    entries BLOB NOT NULL,
    PRIMARY KEY (term, block)
) STRICT, WITHOUT ROWID;

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
    block BIGINT NOT NULL PRIMARY KEY,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    times BYTEA NOT NULL
);

-- Which entries of a block have a value in a field; the term is a hash of both.
CREATE TABLE audit_index (
    term BYTEA NOT NULL,
    block BIGINT NOT NULL,
    entries BYTEA NOT NULL,
    PRIMARY KEY (term, block)
);

-- What operators have decided about other providers since the configuration was written; the last word on each.
CREATE TABLE peer_standings (
    domain TEXT NOT NULL PRIMARY KEY,
    state INTEGER NOT NULL,
    decided_by TEXT NOT NULL,
    decided_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    decision BYTEA NOT NULL
);

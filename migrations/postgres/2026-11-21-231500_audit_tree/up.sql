-- The right edge of the log's tree: its size and the complete subtrees, the largest first; nothing for streams.
ALTER TABLE heads ADD COLUMN edge BYTEA NOT NULL DEFAULT '';

-- The tree above the hashes of its leaves: hash number `number` of a level is the root over 256^level entries.
CREATE TABLE audit_nodes (
    level INTEGER NOT NULL,
    number BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (level, number)
);

-- What was signed of the tree, as C2SP checkpoints.
CREATE TABLE audit_checkpoints (
    size BIGINT NOT NULL PRIMARY KEY,
    signed_at BIGINT NOT NULL,
    note TEXT NOT NULL
);

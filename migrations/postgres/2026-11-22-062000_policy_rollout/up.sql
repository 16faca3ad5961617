-- Who brought a bundle, and who else agreed with it.
ALTER TABLE bundles ADD COLUMN pushed_by TEXT NOT NULL DEFAULT 'files';
ALTER TABLE bundles ADD COLUMN approved_by TEXT;
ALTER TABLE bundles ADD COLUMN approved_at BIGINT;

-- Which bundle decides, in one row that all processes follow, and which one the folder of a configuration held last.
CREATE TABLE policy_pointer (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 0),
    version BIGINT NOT NULL,
    active BYTEA NOT NULL REFERENCES bundles (digest),
    files BYTEA,
    moved_by TEXT NOT NULL,
    moved_at BIGINT NOT NULL,
    how INTEGER NOT NULL
);
INSERT INTO policy_pointer (id, version, active, files, moved_by, moved_at, how)
    SELECT 0, 1, digest, digest, activated_by, activated_at, 1
    FROM bundle_activations ORDER BY ordinal DESC LIMIT 1;

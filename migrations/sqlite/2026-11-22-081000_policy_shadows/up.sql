-- Bundles that are asked beside the one that decides, one at a time, and what has come of it.
CREATE TABLE policy_shadows (
    run INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL REFERENCES bundles (digest),
    started_by TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    first_entry INTEGER NOT NULL,
    position INTEGER NOT NULL,
    running INTEGER UNIQUE CHECK (running = 1),
    stopped_by TEXT,
    stopped_at INTEGER,
    stopped_size INTEGER,
    report TEXT NOT NULL
) STRICT;
CREATE INDEX policy_shadows_by_digest ON policy_shadows (digest, run);

-- What came of asking the log again before a bundle decides.
CREATE TABLE bundle_simulations (
    digest BLOB NOT NULL PRIMARY KEY REFERENCES bundles (digest),
    made_by TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    report TEXT NOT NULL
) STRICT;

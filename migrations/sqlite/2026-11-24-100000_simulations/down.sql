CREATE TABLE other_simulations (
    digest BLOB NOT NULL REFERENCES bundles (digest),
    made_by TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    report TEXT NOT NULL,
    PRIMARY KEY (digest)
) STRICT;
INSERT INTO other_simulations SELECT digest, made_by, max(made_at), report FROM bundle_simulations GROUP BY digest;
DROP TABLE bundle_simulations;
ALTER TABLE other_simulations RENAME TO bundle_simulations;

-- Every simulation of a bundle that is kept, and not the latest alone: one that says less does not take the place of another.
CREATE TABLE other_simulations (
    digest BLOB NOT NULL REFERENCES bundles (digest),
    made_by TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    report TEXT NOT NULL,
    PRIMARY KEY (digest, made_at)
) STRICT;
INSERT INTO other_simulations SELECT digest, made_by, made_at, report FROM bundle_simulations;
DROP TABLE bundle_simulations;
ALTER TABLE other_simulations RENAME TO bundle_simulations;

-- An entry is its leaf, its signature and its openings: what stood in columns beside the leaf is in the leaf, or in the
-- index, and a table of openings was a second row for every message. Openings are bytes now, NULL where they were erased;
-- older ones stay the JSON that they are.
-- What was written here before the way back was taken, see down.sql.
CREATE TABLE IF NOT EXISTS kept_openings (
    seq INTEGER NOT NULL PRIMARY KEY,
    openings BLOB NOT NULL
) STRICT;
CREATE TABLE lean_entries (
    seq INTEGER NOT NULL PRIMARY KEY,
    leaf BLOB NOT NULL,
    signature BLOB NOT NULL,
    openings BLOB
) STRICT;
INSERT INTO lean_entries (seq, leaf, signature, openings)
SELECT e.seq, e.leaf, e.signature, coalesce(CAST(o.openings AS BLOB), k.openings)
FROM audit_entries e LEFT JOIN audit_openings o ON o.seq = e.seq LEFT JOIN kept_openings k ON k.seq = e.seq ORDER BY e.seq;
DROP TABLE kept_openings;
CREATE TABLE kept_letters AS SELECT * FROM sink_dead_letters;
DROP TABLE sink_dead_letters;
DROP TABLE audit_openings;
DROP TABLE audit_entries;
ALTER TABLE lean_entries RENAME TO audit_entries;
CREATE TABLE sink_dead_letters (
    sink TEXT NOT NULL,
    seq INTEGER NOT NULL REFERENCES audit_entries (seq),
    given_up_at INTEGER NOT NULL,
    http_status INTEGER NOT NULL,
    reason TEXT NOT NULL,
    again INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (sink, seq)
) STRICT;
INSERT INTO sink_dead_letters (sink, seq, given_up_at, http_status, reason, again)
SELECT sink, seq, given_up_at, http_status, reason, again FROM kept_letters;
DROP TABLE kept_letters;
CREATE TABLE lean_stage (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    core BLOB NOT NULL,
    signature BLOB NOT NULL,
    openings BLOB NOT NULL
) STRICT;
INSERT INTO lean_stage (id, core, signature, openings)
SELECT id, core, signature, CAST(openings AS BLOB) FROM audit_stage ORDER BY id;
DROP TABLE audit_stage;
ALTER TABLE lean_stage RENAME TO audit_stage;

-- SQL cannot read a leaf, so that the columns come back without what it says: an older build finds these entries by
-- nothing but their number. Openings that were written since are not the JSON that it reads: they are kept aside for the
-- way forth, and it takes them for erased. What is staged has its place first, or this fails.
CREATE TABLE wide_stage (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    core BLOB NOT NULL,
    signature BLOB NOT NULL,
    openings TEXT NOT NULL CONSTRAINT the_sequencer_must_finish_first CHECK (substr(openings, 1, 1) = '{')
) STRICT;
INSERT INTO wide_stage (id, core, signature, openings)
SELECT id, core, signature, CAST(openings AS TEXT) FROM audit_stage ORDER BY id;
DROP TABLE audit_stage;
ALTER TABLE wide_stage RENAME TO audit_stage;
CREATE TABLE audit_openings (
    seq INTEGER NOT NULL PRIMARY KEY,
    openings TEXT NOT NULL
) STRICT;
INSERT INTO audit_openings (seq, openings)
SELECT seq, CAST(openings AS TEXT) FROM audit_entries WHERE substr(openings, 1, 1) = x'7b';
CREATE TABLE kept_openings (
    seq INTEGER NOT NULL PRIMARY KEY,
    openings BLOB NOT NULL
) STRICT;
INSERT INTO kept_openings (seq, openings)
SELECT seq, openings FROM audit_entries WHERE NOT substr(openings, 1, 1) = x'7b';
CREATE TABLE wide_entries (
    seq INTEGER NOT NULL PRIMARY KEY,
    event BLOB NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    outcome INTEGER NOT NULL,
    room TEXT,
    actor TEXT,
    peer TEXT,
    decision BLOB,
    exchange BLOB,
    leaf BLOB NOT NULL,
    signature BLOB NOT NULL
) STRICT;
INSERT INTO wide_entries (seq, event, at, kind, outcome, leaf, signature)
SELECT seq, x'', 0, '', 0, leaf, signature FROM audit_entries ORDER BY seq;
CREATE TABLE kept_letters AS SELECT * FROM sink_dead_letters;
DROP TABLE sink_dead_letters;
DROP TABLE audit_entries;
ALTER TABLE wide_entries RENAME TO audit_entries;
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

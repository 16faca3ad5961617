-- An entry is its leaf, its signature and its openings: what stood in columns beside the leaf is in the leaf, or in the
-- index, and a table of openings was a second row for every message. Openings are bytes now, NULL where they were erased;
-- older ones stay the JSON that they are.
-- Nobody else writes from here on: what an older build wrote beside the copy would be lost.
LOCK TABLE heads, audit_entries, audit_openings, audit_stage IN ACCESS EXCLUSIVE MODE;
-- What was written here before the way back was taken, see down.sql.
CREATE TABLE IF NOT EXISTS kept_openings (
    seq BIGINT NOT NULL PRIMARY KEY,
    openings BYTEA NOT NULL
);
CREATE TABLE lean_entries (
    seq BIGINT NOT NULL PRIMARY KEY,
    leaf BYTEA NOT NULL,
    signature BYTEA NOT NULL,
    openings BYTEA
);
INSERT INTO lean_entries (seq, leaf, signature, openings)
SELECT e.seq, e.leaf, e.signature, coalesce(convert_to(o.openings, 'UTF8'), k.openings)
FROM audit_entries e LEFT JOIN audit_openings o ON o.seq = e.seq LEFT JOIN kept_openings k ON k.seq = e.seq ORDER BY e.seq;
DROP TABLE kept_openings;
ALTER TABLE sink_dead_letters DROP CONSTRAINT sink_dead_letters_seq_fkey;
DROP TABLE audit_openings;
DROP TABLE audit_entries;
ALTER TABLE lean_entries RENAME TO audit_entries;
ALTER INDEX lean_entries_pkey RENAME TO audit_entries_pkey;
ALTER TABLE sink_dead_letters
    ADD CONSTRAINT sink_dead_letters_seq_fkey FOREIGN KEY (seq) REFERENCES audit_entries (seq);
ALTER TABLE audit_stage ALTER COLUMN openings TYPE BYTEA USING convert_to(openings, 'UTF8');

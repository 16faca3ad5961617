-- An entry is its leaf, its signature and its openings: what stood in columns beside the leaf is in the leaf, or in the
-- index, and a table of openings was a second row for every message. Openings are bytes now, NULL where they were erased;
-- older ones stay the JSON that they are.
CREATE TABLE lean_entries (
    seq BIGINT NOT NULL PRIMARY KEY,
    leaf BYTEA NOT NULL,
    signature BYTEA NOT NULL,
    openings BYTEA
);
INSERT INTO lean_entries (seq, leaf, signature, openings)
SELECT e.seq, e.leaf, e.signature, convert_to(o.openings, 'UTF8')
FROM audit_entries e LEFT JOIN audit_openings o ON o.seq = e.seq ORDER BY e.seq;
ALTER TABLE sink_dead_letters DROP CONSTRAINT sink_dead_letters_seq_fkey;
DROP TABLE audit_openings;
DROP TABLE audit_entries;
ALTER TABLE lean_entries RENAME TO audit_entries;
ALTER INDEX lean_entries_pkey RENAME TO audit_entries_pkey;
ALTER TABLE sink_dead_letters
    ADD CONSTRAINT sink_dead_letters_seq_fkey FOREIGN KEY (seq) REFERENCES audit_entries (seq);
ALTER TABLE audit_stage ALTER COLUMN openings TYPE BYTEA USING convert_to(openings, 'UTF8');

CREATE INDEX events_by_message ON events (room, message_hash);
CREATE INDEX audit_by_event ON audit_entries (event);

ALTER TABLE outbox_items RENAME TO former_items;
CREATE TABLE outbox_items (
    room TEXT NOT NULL,
    peer TEXT NOT NULL,
    position INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (room, peer, position)
) STRICT;
INSERT INTO outbox_items (room, peer, position, seq, bytes) SELECT room, peer, position, seq, bytes FROM former_items;
DROP TABLE former_items;

ALTER TABLE answers RENAME TO former_answers;
DROP INDEX answers_by_expiry;
CREATE TABLE answers (
    scope BLOB NOT NULL PRIMARY KEY,
    status INTEGER NOT NULL,
    body BLOB NOT NULL,
    decision BLOB,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX answers_by_expiry ON answers (expires_at);
INSERT INTO answers (scope, status, body, decision, expires_at)
    SELECT scope, status, body, decision, expires_at FROM former_answers;
DROP TABLE former_answers;

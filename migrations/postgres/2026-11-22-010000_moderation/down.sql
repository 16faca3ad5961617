ALTER TABLE room_restrictions RENAME TO former_restrictions;
CREATE TABLE room_restrictions (
    room TEXT NOT NULL REFERENCES rooms (uri),
    kind INTEGER NOT NULL,
    subject TEXT NOT NULL,
    imposed_by TEXT NOT NULL,
    imposed_at BIGINT NOT NULL,
    PRIMARY KEY (room, kind, subject)
);
INSERT INTO room_restrictions (room, kind, subject, imposed_by, imposed_at)
    SELECT room, kind, subject, imposed_by, imposed_at FROM former_restrictions
    WHERE kind <= 2 AND ended_at = 0 AND room IN (SELECT uri FROM rooms);
DROP TABLE former_restrictions;

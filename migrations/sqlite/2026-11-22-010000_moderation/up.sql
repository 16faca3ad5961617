-- What moderators impose on a room says why, by whose leave, and since when a commit carries it. Rooms of other hubs have
-- such rows too, before their group is known here.
ALTER TABLE room_restrictions RENAME TO former_restrictions;
CREATE TABLE room_restrictions (
    room TEXT NOT NULL,
    kind INTEGER NOT NULL,
    subject TEXT NOT NULL,
    imposed_by TEXT NOT NULL,
    imposed_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    case_number TEXT NOT NULL,
    policies TEXT NOT NULL,
    decision BLOB NOT NULL,
    owed INTEGER NOT NULL,
    committed_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    alarmed_at INTEGER NOT NULL,
    obstacle TEXT NOT NULL,
    PRIMARY KEY (room, kind, subject)
) STRICT;
INSERT INTO room_restrictions (room, kind, subject, imposed_by, imposed_at, reason, case_number, policies, decision, owed,
        committed_at, ended_at, alarmed_at, obstacle)
    SELECT room, kind, subject, imposed_by, imposed_at, '', '', '', x'', 0, 0, 0, 0, '' FROM former_restrictions;
DROP TABLE former_restrictions;
CREATE INDEX restrictions_owed ON room_restrictions (room) WHERE owed = 1;

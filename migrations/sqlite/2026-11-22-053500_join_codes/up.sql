-- Codes by which people join rooms of ours. Only the hash of a code is kept; revoked ones and those that are used up stay
-- for whoever wants to know what became of them.
CREATE TABLE join_codes (
    id BLOB NOT NULL PRIMARY KEY,
    room TEXT NOT NULL REFERENCES rooms (uri),
    code_hash BLOB NOT NULL UNIQUE,
    role INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    used INTEGER NOT NULL,
    domain TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL
) STRICT;
CREATE INDEX join_codes_by_room ON join_codes (room, id);
ALTER TABLE admissions ADD COLUMN code BLOB NOT NULL DEFAULT x'';

-- Codes by which people join rooms of ours. Only the hash of a code is kept; revoked ones and those that are used up stay
-- for whoever wants to know what became of them.
CREATE TABLE join_codes (
    id BYTEA NOT NULL PRIMARY KEY,
    room TEXT NOT NULL REFERENCES rooms (uri),
    code_hash BYTEA NOT NULL UNIQUE,
    role BIGINT NOT NULL,
    uses BIGINT NOT NULL,
    used BIGINT NOT NULL,
    domain TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL
);
CREATE INDEX join_codes_by_room ON join_codes (room, id);
ALTER TABLE admissions ADD COLUMN code BYTEA NOT NULL DEFAULT '';

-- What the company's identity provider says of people and groups (SCIM). Whoever writes holds the head, so that revisions become
-- visible in their order and names are looked up and taken without anybody in between.
CREATE TABLE people_head (
    id INTEGER NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO people_head (id, revision) VALUES (0, 0);

-- A person who was deleted stays as a name that has no rights (state 2) until it is created again.
CREATE TABLE people (
    uri TEXT NOT NULL PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    user_name TEXT NOT NULL,
    external_id TEXT NOT NULL,
    state INTEGER NOT NULL,
    content TEXT NOT NULL,
    facts TEXT NOT NULL,
    revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX people_by_revision ON people (revision);
CREATE INDEX people_by_user_name ON people (user_name);
CREATE INDEX people_by_external_id ON people (external_id);

-- What is said of people under the first half of its SHA-256 in hexadecimal, by which records of decisions name it.
CREATE TABLE person_facts (
    id TEXT NOT NULL PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;

CREATE TABLE people_groups (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    external_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX people_groups_by_name ON people_groups (folded);
CREATE INDEX people_groups_by_external_id ON people_groups (external_id);

CREATE TABLE people_members (
    in_group BLOB NOT NULL REFERENCES people_groups (id),
    person BLOB NOT NULL,
    PRIMARY KEY (in_group, person)
) STRICT;
CREATE INDEX people_members_by_person ON people_members (person);

-- Tokens of identity providers. Only the hash of a token is kept.
CREATE TABLE people_tokens (
    id BLOB NOT NULL PRIMARY KEY,
    token_hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL
) STRICT;

-- What the company's identity provider says of people and groups (SCIM). Whoever writes holds the head, so that revisions become
-- visible in their order and names are looked up and taken without anybody in between.
CREATE TABLE people_head (
    id BIGINT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL
);
INSERT INTO people_head (id, revision) VALUES (0, 0);

-- A person who was deleted stays as a name that has no rights (state 2) until it is created again.
CREATE TABLE people (
    uri TEXT NOT NULL PRIMARY KEY,
    id BYTEA NOT NULL UNIQUE,
    user_name TEXT NOT NULL,
    external_id TEXT NOT NULL,
    state BIGINT NOT NULL,
    content TEXT NOT NULL,
    facts TEXT NOT NULL,
    revision BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE INDEX people_by_revision ON people (revision);
CREATE INDEX people_by_user_name ON people (user_name);
CREATE INDEX people_by_external_id ON people (external_id);

-- What is said of people under the first half of its SHA-256 in hexadecimal, by which records of decisions name it.
CREATE TABLE person_facts (
    id TEXT NOT NULL PRIMARY KEY,
    content BYTEA NOT NULL
);

CREATE TABLE people_groups (
    id BYTEA NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    external_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE INDEX people_groups_by_name ON people_groups (folded);
CREATE INDEX people_groups_by_external_id ON people_groups (external_id);

CREATE TABLE people_members (
    in_group BYTEA NOT NULL REFERENCES people_groups (id),
    person BYTEA NOT NULL,
    PRIMARY KEY (in_group, person)
);
CREATE INDEX people_members_by_person ON people_members (person);

-- Tokens of identity providers. Only the hash of a token is kept.
CREATE TABLE people_tokens (
    id BYTEA NOT NULL PRIMARY KEY,
    token_hash BYTEA NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL
);

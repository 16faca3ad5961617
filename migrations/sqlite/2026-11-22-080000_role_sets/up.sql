-- The roles of rooms under the first half of their SHA-256 in hexadecimal, by which records of decisions name them.
CREATE TABLE role_sets (
    id TEXT NOT NULL PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;

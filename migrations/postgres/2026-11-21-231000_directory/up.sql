-- What users of ours want to be found by.
CREATE TABLE profiles (
    user_uri TEXT NOT NULL PRIMARY KEY REFERENCES users (uri),
    hidden INTEGER NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Source and name as in identifier queries; folded is the value whatever its case.
CREATE TABLE profile_fields (
    user_uri TEXT NOT NULL REFERENCES profiles (user_uri),
    ordinal BIGINT NOT NULL,
    source INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    folded TEXT NOT NULL,
    searchable INTEGER NOT NULL,
    PRIMARY KEY (user_uri, ordinal)
);
CREATE INDEX profile_fields_by_value ON profile_fields (source, name, value);

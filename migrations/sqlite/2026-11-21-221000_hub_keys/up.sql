-- The keys with which a hub franks messages, each in use from its start until the next one's, sealed under a key that is
-- not here.
CREATE TABLE hub_keys (
    domain TEXT NOT NULL,
    starts_at INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (domain, starts_at)
) STRICT;

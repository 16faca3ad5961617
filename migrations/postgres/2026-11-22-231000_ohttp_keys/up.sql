-- The keys that requests of Oblivious HTTP are encapsulated to, one for each period, sealed under a key that is not here.
CREATE TABLE ohttp_keys (
    period BIGINT NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL
);

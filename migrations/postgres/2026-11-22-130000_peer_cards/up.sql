-- What other providers say of themselves, as JSON.
CREATE TABLE peer_cards (
    domain TEXT NOT NULL PRIMARY KEY,
    card TEXT NOT NULL,
    added_by TEXT NOT NULL,
    added_at BIGINT NOT NULL
);

-- Certificates over whose end the alarm was raised.
CREATE TABLE certificate_alarms (
    spki BYTEA NOT NULL,
    ends_at BIGINT NOT NULL,
    raised_at BIGINT NOT NULL,
    PRIMARY KEY (spki, ends_at)
);

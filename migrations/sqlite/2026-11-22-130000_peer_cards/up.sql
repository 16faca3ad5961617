-- What other providers say of themselves, as JSON.
CREATE TABLE peer_cards (
    domain TEXT NOT NULL PRIMARY KEY,
    card TEXT NOT NULL,
    added_by TEXT NOT NULL,
    added_at INTEGER NOT NULL
) STRICT;

-- Certificates over whose end the alarm was raised.
CREATE TABLE certificate_alarms (
    spki BLOB NOT NULL,
    ends_at INTEGER NOT NULL,
    raised_at INTEGER NOT NULL,
    PRIMARY KEY (spki, ends_at)
) STRICT;

-- The hosts from which rooms of ours say that files are downloaded, and whose users keep them there.
CREATE TABLE room_asset_hosts (
    room TEXT NOT NULL REFERENCES rooms (uri),
    provider TEXT NOT NULL,
    host TEXT NOT NULL,
    PRIMARY KEY (room, provider, host)
) STRICT;
CREATE INDEX room_asset_hosts_by_host ON room_asset_hosts (host, provider);

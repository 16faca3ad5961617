-- Rooms this gateway is hub of. The row is small: every accepted message updates it.
CREATE TABLE rooms (
    uri TEXT NOT NULL PRIMARY KEY,
    group_uri TEXT NOT NULL,
    status INTEGER NOT NULL,
    epoch BIGINT NOT NULL,
    version BIGINT NOT NULL,
    last_accepted BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    template TEXT NOT NULL,
    creator TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Group state of the current and the previous epoch.
CREATE TABLE room_states (
    room TEXT NOT NULL REFERENCES rooms (uri),
    epoch BIGINT NOT NULL,
    snapshot BYTEA NOT NULL,
    group_info BYTEA NOT NULL,
    PRIMARY KEY (room, epoch)
);

CREATE TABLE room_restrictions (
    room TEXT NOT NULL REFERENCES rooms (uri),
    kind INTEGER NOT NULL,
    subject TEXT NOT NULL,
    imposed_by TEXT NOT NULL,
    imposed_at BIGINT NOT NULL,
    PRIMARY KEY (room, kind, subject)
);

CREATE TABLE proposals (
    room TEXT NOT NULL REFERENCES rooms (uri),
    epoch BIGINT NOT NULL,
    ordinal BIGINT NOT NULL,
    reference BYTEA NOT NULL,
    message BYTEA NOT NULL,
    proposer TEXT NOT NULL,
    kind TEXT NOT NULL,
    accepted_at BIGINT NOT NULL,
    decision BYTEA NOT NULL,
    bundle BYTEA NOT NULL,
    PRIMARY KEY (room, epoch, ordinal),
    UNIQUE (room, epoch, reference)
);

-- What a room's hub accepted, in the hub's order; rows never change.
CREATE TABLE events (
    room TEXT NOT NULL REFERENCES rooms (uri),
    seq BIGINT NOT NULL,
    kind INTEGER NOT NULL,
    epoch BIGINT NOT NULL,
    accepted_at BIGINT NOT NULL,
    message_hash BYTEA NOT NULL,
    fanout BYTEA NOT NULL,
    PRIMARY KEY (room, seq)
);
CREATE INDEX events_by_message ON events (room, message_hash);

-- One lane per (room, peer): acknowledged up to head, filled up to tail, frozen while a batch is being tried.
CREATE TABLE outbox_lanes (
    room TEXT NOT NULL,
    peer TEXT NOT NULL,
    as_domain TEXT NOT NULL,
    status INTEGER NOT NULL,
    head BIGINT NOT NULL,
    tail BIGINT NOT NULL,
    frozen BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    first_tried BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    lease BIGINT NOT NULL,
    lease_owner TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    http_status INTEGER NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (room, peer)
);
CREATE INDEX outbox_due ON outbox_lanes (next_at) WHERE head < tail AND status = 0;

-- Everything a lane was ever owed: what stands up to its head was delivered or given up.
CREATE TABLE outbox_items (
    room TEXT NOT NULL,
    peer TEXT NOT NULL,
    position BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (room, peer, position)
);

CREATE TABLE users (
    uri TEXT NOT NULL PRIMARY KEY,
    registered_at BIGINT NOT NULL
);

CREATE TABLE devices (
    client TEXT NOT NULL PRIMARY KEY,
    user_uri TEXT NOT NULL REFERENCES users (uri),
    registered_at BIGINT NOT NULL
);
CREATE INDEX devices_by_user ON devices (user_uri, client);

CREATE TABLE key_packages (
    reference BYTEA NOT NULL PRIMARY KEY,
    client TEXT NOT NULL REFERENCES devices (client),
    user_uri TEXT NOT NULL,
    suite INTEGER NOT NULL,
    not_after BIGINT NOT NULL,
    uploaded_at BIGINT NOT NULL,
    key_package BYTEA NOT NULL,
    claimed_by BYTEA
);
CREATE INDEX key_packages_free ON key_packages (user_uri, client, uploaded_at) WHERE claimed_by IS NULL;

-- Which provider a KeyPackage reference was given out by: where its Welcome goes.
CREATE TABLE welcome_routes (
    reference BYTEA NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX welcome_routes_by_expiry ON welcome_routes (expires_at);

CREATE TABLE answers (
    scope BYTEA NOT NULL PRIMARY KEY,
    status INTEGER NOT NULL,
    body BYTEA NOT NULL,
    decision BYTEA,
    expires_at BIGINT NOT NULL
);
CREATE INDEX answers_by_expiry ON answers (expires_at);

CREATE TABLE inbox_batches (
    key BYTEA NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL
);
CREATE INDEX inbox_batches_by_age ON inbox_batches (seen_at);

CREATE TABLE inbox_messages (
    room TEXT NOT NULL,
    message_hash BYTEA NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (room, message_hash)
);
CREATE INDEX inbox_messages_by_age ON inbox_messages (seen_at);

-- Our devices in rooms that other providers host.
CREATE TABLE followed (
    room TEXT NOT NULL,
    device TEXT NOT NULL,
    joined_at BIGINT NOT NULL,
    PRIMARY KEY (room, device)
);
CREATE INDEX followed_by_device ON followed (device);

CREATE TABLE admissions (
    id BYTEA NOT NULL PRIMARY KEY,
    room TEXT NOT NULL REFERENCES rooms (uri),
    signature_key BYTEA NOT NULL,
    credential_hash BYTEA NOT NULL,
    role BIGINT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX admissions_by_key ON admissions (room, signature_key, issued_at);

CREATE TABLE bundles (
    digest BYTEA NOT NULL PRIMARY KEY,
    content BYTEA NOT NULL,
    stored_at BIGINT NOT NULL
);

CREATE TABLE bundle_activations (
    ordinal BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    digest BYTEA NOT NULL REFERENCES bundles (digest),
    activated_by TEXT NOT NULL,
    activated_at BIGINT NOT NULL
);

-- What devices are sent: the payload once, one row per device. Staged rows get their position after the commit.
CREATE TABLE stream_payloads (
    id BYTEA NOT NULL PRIMARY KEY,
    room TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload BYTEA NOT NULL,
    at BIGINT NOT NULL
);

CREATE TABLE stream_stage (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    device TEXT NOT NULL,
    payload BYTEA NOT NULL REFERENCES stream_payloads (id)
);

CREATE TABLE stream_rows (
    position BIGINT NOT NULL PRIMARY KEY,
    device TEXT NOT NULL,
    payload BYTEA NOT NULL REFERENCES stream_payloads (id)
);
CREATE INDEX stream_rows_by_device ON stream_rows (device, position);

CREATE TABLE heads (
    name TEXT NOT NULL PRIMARY KEY,
    size BIGINT NOT NULL
);
INSERT INTO heads (name, size) VALUES ('audit', 0), ('streams', 0);

-- Audit records written with their effects, not yet in the log's order.
CREATE TABLE audit_stage (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    core BYTEA NOT NULL,
    signature BYTEA NOT NULL,
    openings TEXT NOT NULL
);

CREATE TABLE audit_writers (
    writer BYTEA NOT NULL PRIMARY KEY,
    public_key BYTEA NOT NULL,
    next_seq BIGINT NOT NULL,
    last_hash BYTEA NOT NULL
);

CREATE TABLE audit_entries (
    seq BIGINT NOT NULL PRIMARY KEY,
    event BYTEA NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    outcome INTEGER NOT NULL,
    room TEXT,
    actor TEXT,
    peer TEXT,
    decision BYTEA,
    exchange BYTEA,
    leaf BYTEA NOT NULL,
    signature BYTEA NOT NULL
);
CREATE INDEX audit_by_event ON audit_entries (event);
CREATE INDEX audit_by_kind ON audit_entries (kind, seq);
CREATE INDEX audit_by_room ON audit_entries (room, seq) WHERE room IS NOT NULL;
CREATE INDEX audit_by_actor ON audit_entries (actor, seq) WHERE actor IS NOT NULL;
CREATE INDEX audit_by_peer ON audit_entries (peer, seq) WHERE peer IS NOT NULL;
CREATE INDEX audit_by_decision ON audit_entries (decision, seq) WHERE decision IS NOT NULL;
CREATE INDEX audit_by_exchange ON audit_entries (exchange, seq) WHERE exchange IS NOT NULL;

-- What opens the salted commitments of an entry; may be erased while the entry stays.
CREATE TABLE audit_openings (
    seq BIGINT NOT NULL PRIMARY KEY REFERENCES audit_entries (seq),
    openings TEXT NOT NULL
);

-- The last entry of every room, actor and peer, for the back-pointers of the next one.
CREATE TABLE audit_tails (
    dimension INTEGER NOT NULL,
    name TEXT NOT NULL,
    number BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (dimension, name)
);

CREATE TABLE sink_cursors (
    name TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    moved_at BIGINT NOT NULL
);

-- Rooms this gateway is hub of. The row is small: every accepted message updates it.
CREATE TABLE rooms (
    uri TEXT NOT NULL PRIMARY KEY,
    group_uri TEXT NOT NULL,
    status INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    version INTEGER NOT NULL,
    last_accepted INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    template TEXT NOT NULL,
    creator TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Group state of the current and the previous epoch.
CREATE TABLE room_states (
    room TEXT NOT NULL REFERENCES rooms (uri),
    epoch INTEGER NOT NULL,
    snapshot BLOB NOT NULL,
    group_info BLOB NOT NULL,
    PRIMARY KEY (room, epoch)
) STRICT;

CREATE TABLE room_restrictions (
    room TEXT NOT NULL REFERENCES rooms (uri),
    kind INTEGER NOT NULL,
    subject TEXT NOT NULL,
    imposed_by TEXT NOT NULL,
    imposed_at INTEGER NOT NULL,
    PRIMARY KEY (room, kind, subject)
) STRICT;

CREATE TABLE proposals (
    room TEXT NOT NULL REFERENCES rooms (uri),
    epoch INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    reference BLOB NOT NULL,
    message BLOB NOT NULL,
    proposer TEXT NOT NULL,
    kind TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    decision BLOB NOT NULL,
    bundle BLOB NOT NULL,
    PRIMARY KEY (room, epoch, ordinal),
    UNIQUE (room, epoch, reference)
) STRICT;

-- What a room's hub accepted, in the hub's order; rows never change.
CREATE TABLE events (
    room TEXT NOT NULL REFERENCES rooms (uri),
    seq INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    message_hash BLOB NOT NULL,
    fanout BLOB NOT NULL,
    PRIMARY KEY (room, seq)
) STRICT;
CREATE INDEX events_by_message ON events (room, message_hash);

-- One lane per (room, peer): acknowledged up to head, filled up to tail, frozen while a batch is being tried.
CREATE TABLE outbox_lanes (
    room TEXT NOT NULL,
    peer TEXT NOT NULL,
    as_domain TEXT NOT NULL,
    status INTEGER NOT NULL,
    head INTEGER NOT NULL,
    tail INTEGER NOT NULL,
    frozen INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    first_tried INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    lease_owner TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    http_status INTEGER NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (room, peer)
) STRICT;
CREATE INDEX outbox_due ON outbox_lanes (next_at) WHERE head < tail AND status = 0;

-- Everything a lane was ever owed: what stands up to its head was delivered or given up.
CREATE TABLE outbox_items (
    room TEXT NOT NULL,
    peer TEXT NOT NULL,
    position INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (room, peer, position)
) STRICT;

CREATE TABLE users (
    uri TEXT NOT NULL PRIMARY KEY,
    registered_at INTEGER NOT NULL
) STRICT;

CREATE TABLE devices (
    client TEXT NOT NULL PRIMARY KEY,
    user_uri TEXT NOT NULL REFERENCES users (uri),
    registered_at INTEGER NOT NULL
) STRICT;
CREATE INDEX devices_by_user ON devices (user_uri, client);

CREATE TABLE key_packages (
    reference BLOB NOT NULL PRIMARY KEY,
    client TEXT NOT NULL REFERENCES devices (client),
    user_uri TEXT NOT NULL,
    suite INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    uploaded_at INTEGER NOT NULL,
    key_package BLOB NOT NULL,
    claimed_by BLOB
) STRICT;
CREATE INDEX key_packages_free ON key_packages (user_uri, client, uploaded_at) WHERE claimed_by IS NULL;

-- Which provider a KeyPackage reference was given out by: where its Welcome goes.
CREATE TABLE welcome_routes (
    reference BLOB NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX welcome_routes_by_expiry ON welcome_routes (expires_at);

CREATE TABLE answers (
    scope BLOB NOT NULL PRIMARY KEY,
    status INTEGER NOT NULL,
    body BLOB NOT NULL,
    decision BLOB,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX answers_by_expiry ON answers (expires_at);

CREATE TABLE inbox_batches (
    key BLOB NOT NULL PRIMARY KEY,
    seen_at INTEGER NOT NULL
) STRICT;
CREATE INDEX inbox_batches_by_age ON inbox_batches (seen_at);

CREATE TABLE inbox_messages (
    room TEXT NOT NULL,
    message_hash BLOB NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (room, message_hash)
) STRICT;
CREATE INDEX inbox_messages_by_age ON inbox_messages (seen_at);

-- Our devices in rooms that other providers host.
CREATE TABLE followed (
    room TEXT NOT NULL,
    device TEXT NOT NULL,
    joined_at INTEGER NOT NULL,
    PRIMARY KEY (room, device)
) STRICT;
CREATE INDEX followed_by_device ON followed (device);

CREATE TABLE admissions (
    id BLOB NOT NULL PRIMARY KEY,
    room TEXT NOT NULL REFERENCES rooms (uri),
    signature_key BLOB NOT NULL,
    credential_hash BLOB NOT NULL,
    role INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX admissions_by_key ON admissions (room, signature_key, issued_at);

CREATE TABLE bundles (
    digest BLOB NOT NULL PRIMARY KEY,
    content BLOB NOT NULL,
    stored_at INTEGER NOT NULL
) STRICT;

CREATE TABLE bundle_activations (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL REFERENCES bundles (digest),
    activated_by TEXT NOT NULL,
    activated_at INTEGER NOT NULL
) STRICT;

-- What devices are sent: the payload once, one row per device. Staged rows get their position after the commit.
CREATE TABLE stream_payloads (
    id BLOB NOT NULL PRIMARY KEY,
    room TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE stream_stage (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device TEXT NOT NULL,
    payload BLOB NOT NULL REFERENCES stream_payloads (id)
) STRICT;

CREATE TABLE stream_rows (
    position INTEGER NOT NULL PRIMARY KEY,
    device TEXT NOT NULL,
    payload BLOB NOT NULL REFERENCES stream_payloads (id)
) STRICT;
CREATE INDEX stream_rows_by_device ON stream_rows (device, position);

CREATE TABLE heads (
    name TEXT NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL
) STRICT;
INSERT INTO heads (name, size) VALUES ('audit', 0), ('streams', 0);

-- Audit records written with their effects, not yet in the log's order.
CREATE TABLE audit_stage (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    core BLOB NOT NULL,
    signature BLOB NOT NULL,
    openings TEXT NOT NULL
) STRICT;

CREATE TABLE audit_writers (
    writer BLOB NOT NULL PRIMARY KEY,
    public_key BLOB NOT NULL,
    next_seq INTEGER NOT NULL,
    last_hash BLOB NOT NULL
) STRICT;

CREATE TABLE audit_entries (
    seq INTEGER NOT NULL PRIMARY KEY,
    event BLOB NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    outcome INTEGER NOT NULL,
    room TEXT,
    actor TEXT,
    peer TEXT,
    decision BLOB,
    exchange BLOB,
    leaf BLOB NOT NULL,
    signature BLOB NOT NULL
) STRICT;
CREATE INDEX audit_by_event ON audit_entries (event);
CREATE INDEX audit_by_kind ON audit_entries (kind, seq);
CREATE INDEX audit_by_room ON audit_entries (room, seq) WHERE room IS NOT NULL;
CREATE INDEX audit_by_actor ON audit_entries (actor, seq) WHERE actor IS NOT NULL;
CREATE INDEX audit_by_peer ON audit_entries (peer, seq) WHERE peer IS NOT NULL;
CREATE INDEX audit_by_decision ON audit_entries (decision, seq) WHERE decision IS NOT NULL;
CREATE INDEX audit_by_exchange ON audit_entries (exchange, seq) WHERE exchange IS NOT NULL;

-- What opens the salted commitments of an entry; may be erased while the entry stays.
CREATE TABLE audit_openings (
    seq INTEGER NOT NULL PRIMARY KEY REFERENCES audit_entries (seq),
    openings TEXT NOT NULL
) STRICT;

-- The last entry of every room, actor and peer, for the back-pointers of the next one.
CREATE TABLE audit_tails (
    dimension INTEGER NOT NULL,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (dimension, name)
) STRICT;

CREATE TABLE sink_cursors (
    name TEXT NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL,
    moved_at INTEGER NOT NULL
) STRICT;

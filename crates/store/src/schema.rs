//! The tables, as both databases have them.

mod assets;
mod audit;
mod directory;
mod joins;
mod policies;

pub(crate) use assets::{ohttp_keys, room_asset_hosts};
pub(crate) use audit::{audit_blocks, audit_index};
pub(crate) use directory::{people, people_groups, people_head, people_members, people_tokens, person_facts};
pub(crate) use joins::{admissions, device_watch, fixed_rooms, join_codes, next_groups, room_leaves, room_parents};
pub(crate) use policies::{bundle_activations, bundle_simulations, bundles, policy_pointer, policy_shadows, role_sets};

diesel::table! {
    rooms (uri) {
        uri -> Text,
        group_uri -> Text,
        status -> Integer,
        epoch -> BigInt,
        version -> BigInt,
        last_accepted -> BigInt,
        last_seq -> BigInt,
        template -> Text,
        creator -> Text,
        created_at -> BigInt,
        leaves_epoch -> BigInt,
    }
}

diesel::table! {
    room_states (room, epoch) {
        room -> Text,
        epoch -> BigInt,
        snapshot -> Binary,
        group_info -> Binary,
    }
}

diesel::table! {
    room_restrictions (room, kind, subject) {
        room -> Text,
        kind -> Integer,
        subject -> Text,
        imposed_by -> Text,
        imposed_at -> BigInt,
        reason -> Text,
        case_number -> Text,
        policies -> Text,
        decision -> Binary,
        owed -> Integer,
        committed_at -> BigInt,
        ended_at -> BigInt,
        alarmed_at -> BigInt,
        obstacle -> Text,
        spread -> Integer,
    }
}

diesel::table! {
    proposals (room, epoch, ordinal) {
        room -> Text,
        epoch -> BigInt,
        ordinal -> BigInt,
        reference -> Binary,
        message -> Binary,
        proposer -> Text,
        kind -> Text,
        accepted_at -> BigInt,
        decision -> Binary,
        bundle -> Binary,
    }
}

diesel::table! {
    events (room, seq) {
        room -> Text,
        seq -> BigInt,
        kind -> Integer,
        epoch -> BigInt,
        accepted_at -> BigInt,
        message_hash -> Binary,
        fanout -> Binary,
    }
}

diesel::table! {
    outbox_lanes (room, peer) {
        room -> Text,
        peer -> Text,
        as_domain -> Text,
        status -> Integer,
        head -> BigInt,
        tail -> BigInt,
        frozen -> BigInt,
        attempts -> BigInt,
        first_tried -> BigInt,
        next_at -> BigInt,
        lease -> BigInt,
        lease_owner -> Text,
        lease_until -> BigInt,
        http_status -> Integer,
        error -> Text,
    }
}

diesel::table! {
    outbox_items (room, peer, position) {
        room -> Text,
        peer -> Text,
        position -> BigInt,
        seq -> BigInt,
        bytes -> BigInt,
    }
}

diesel::table! {
    data_keys (id) {
        id -> Binary,
        purpose -> Text,
        begun_at -> BigInt,
        wrapped -> Binary,
    }
}

diesel::table! {
    users (uri) {
        uri -> Text,
        registered_at -> BigInt,
        folded -> Text,
    }
}

diesel::table! {
    devices (client) {
        client -> Text,
        user_uri -> Text,
        registered_at -> BigInt,
        seen_at -> BigInt,
        stale -> Integer,
        retired -> Integer,
    }
}

diesel::table! {
    key_packages (reference) {
        reference -> Binary,
        client -> Text,
        user_uri -> Text,
        suite -> Integer,
        not_after -> BigInt,
        uploaded_at -> BigInt,
        key_package -> Binary,
        claimed_by -> Nullable<Binary>,
    }
}

diesel::table! {
    welcome_routes (reference) {
        reference -> Binary,
        provider -> Text,
        expires_at -> BigInt,
    }
}

diesel::table! {
    answers (scope) {
        scope -> Binary,
        status -> Integer,
        body -> Binary,
        decision -> Nullable<Binary>,
        expires_at -> BigInt,
    }
}

diesel::table! {
    inbox_batches (key) {
        key -> Binary,
        seen_at -> BigInt,
    }
}

diesel::table! {
    inbox_messages (room, message_hash) {
        room -> Text,
        message_hash -> Binary,
        seen_at -> BigInt,
        version -> BigInt,
    }
}

diesel::table! {
    followed (room, device) {
        room -> Text,
        device -> Text,
        joined_at -> BigInt,
        attempt -> Binary,
        joined -> BigInt,
    }
}

diesel::table! {
    followed_rooms (room) {
        room -> Text,
        version -> BigInt,
        seen_epoch -> BigInt,
        taken_up -> BigInt,
        taken_up_at -> BigInt,
        standing -> Integer,
        known_at -> BigInt,
    }
}

diesel::table! {
    kept_events (room, ordinal) {
        room -> Text,
        ordinal -> BigInt,
        why -> Integer,
        epoch -> BigInt,
        kind -> Text,
        fanout -> Binary,
        accepted_at -> BigInt,
        kept_at -> BigInt,
        devices -> Text,
    }
}

diesel::table! {
    stream_payloads (id) {
        id -> Binary,
        room -> Text,
        kind -> Text,
        payload -> Binary,
        at -> BigInt,
    }
}

diesel::table! {
    stream_stage (id) {
        id -> BigInt,
        device -> Text,
        payload -> Nullable<Binary>,
        room -> Nullable<Text>,
        seq -> Nullable<BigInt>,
    }
}

diesel::table! {
    stream_rows (position) {
        position -> BigInt,
        device -> Text,
        payload -> Nullable<Binary>,
        room -> Nullable<Text>,
        seq -> Nullable<BigInt>,
    }
}

diesel::table! {
    heads (name) {
        name -> Text,
        size -> BigInt,
        edge -> Binary,
    }
}

diesel::table! {
    audit_stage (id) {
        id -> BigInt,
        core -> Binary,
        signature -> Binary,
        openings -> Binary,
    }
}

diesel::table! {
    audit_writers (writer) {
        writer -> Binary,
        public_key -> Binary,
        next_seq -> BigInt,
        last_hash -> Binary,
    }
}

diesel::table! {
    audit_entries (seq) {
        seq -> BigInt,
        leaf -> Binary,
        signature -> Binary,
        openings -> Nullable<Binary>,
    }
}

diesel::table! {
    audit_nodes (level, number) {
        level -> Integer,
        number -> BigInt,
        hash -> Binary,
    }
}

diesel::table! {
    audit_checkpoints (size) {
        size -> BigInt,
        signed_at -> BigInt,
        note -> Text,
    }
}

diesel::table! {
    audit_tails (dimension, name) {
        dimension -> Integer,
        name -> Text,
        number -> BigInt,
        seq -> BigInt,
    }
}

diesel::table! {
    sink_cursors (name) {
        name -> Text,
        seq -> BigInt,
        moved_at -> BigInt,
    }
}

diesel::table! {
    sink_leases (name) {
        name -> Text,
        lease -> BigInt,
        lease_owner -> Text,
        lease_until -> BigInt,
    }
}

diesel::table! {
    sink_dead_letters (sink, seq) {
        sink -> Text,
        seq -> BigInt,
        given_up_at -> BigInt,
        http_status -> Integer,
        reason -> Text,
        again -> Integer,
    }
}

diesel::table! {
    peer_standings (domain) {
        domain -> Text,
        state -> Integer,
        decided_by -> Text,
        decided_at -> BigInt,
        reason -> Text,
        decision -> Binary,
    }
}

diesel::table! {
    peer_cards (domain) {
        domain -> Text,
        card -> Text,
        added_by -> Text,
        added_at -> BigInt,
    }
}

diesel::table! {
    certificate_alarms (spki, ends_at) {
        spki -> Binary,
        ends_at -> BigInt,
        raised_at -> BigInt,
    }
}

diesel::table! {
    hub_keys (domain, starts_at) {
        domain -> Text,
        starts_at -> BigInt,
        sealed -> Binary,
    }
}

diesel::table! {
    consents (id) {
        id -> BigInt,
        requester -> Text,
        target -> Text,
        room -> Text,
        requested_at -> Nullable<BigInt>,
        told -> Integer,
        told_at -> BigInt,
        asked_at -> Nullable<BigInt>,
        verdict -> Integer,
        decided_at -> BigInt,
    }
}

diesel::table! {
    consent_lanes (peer) {
        peer -> Text,
        tail -> BigInt,
        owed -> BigInt,
        attempts -> BigInt,
        first_tried -> BigInt,
        next_at -> BigInt,
        lease -> BigInt,
        lease_owner -> Text,
        lease_until -> BigInt,
    }
}

diesel::table! {
    consent_letters (peer, position) {
        peer -> Text,
        position -> BigInt,
        idempotency_key -> Text,
        requester -> Text,
        target -> Text,
        entry -> Binary,
        owed_at -> BigInt,
        parked_at -> Nullable<BigInt>,
        http_status -> Integer,
        error -> Text,
    }
}

diesel::table! {
    reports (id) {
        id -> Binary,
        room -> Text,
        reporter -> Text,
        alleged -> Text,
        reason -> Integer,
        received_at -> BigInt,
        messages -> BigInt,
        proven -> BigInt,
        repeats -> BigInt,
        note -> Binary,
        decision -> Binary,
        state -> Integer,
        version -> BigInt,
        case_number -> Text,
        decided_by -> Text,
        decided_at -> BigInt,
        decided_why -> Text,
    }
}

diesel::table! {
    report_messages (report, position) {
        report -> Binary,
        position -> BigInt,
        reporter -> Text,
        digest -> Binary,
        accepted_at -> Nullable<BigInt>,
        message_id -> Nullable<Binary>,
        flaw -> Nullable<Text>,
        content -> Binary,
    }
}

diesel::table! {
    profiles (user_uri) {
        user_uri -> Text,
        hidden -> Integer,
        updated_at -> BigInt,
    }
}

diesel::table! {
    profile_fields (user_uri, ordinal) {
        user_uri -> Text,
        ordinal -> BigInt,
        source -> Integer,
        name -> Text,
        value -> Text,
        folded -> Text,
        searchable -> Integer,
    }
}

diesel::joinable!(stream_rows -> stream_payloads (payload));
diesel::allow_tables_to_appear_in_same_query!(stream_rows, stream_payloads, events);
diesel::allow_tables_to_appear_in_same_query!(rooms, room_states);
diesel::allow_tables_to_appear_in_same_query!(reports, room_restrictions);
diesel::allow_tables_to_appear_in_same_query!(stream_payloads, stream_stage);
diesel::allow_tables_to_appear_in_same_query!(stream_payloads, room_restrictions);
diesel::allow_tables_to_appear_in_same_query!(outbox_items, events);
diesel::allow_tables_to_appear_in_same_query!(profiles, profile_fields);
diesel::allow_tables_to_appear_in_same_query!(outbox_lanes, peer_standings);
diesel::allow_tables_to_appear_in_same_query!(consent_lanes, peer_standings);

//! Who is in rooms, and who may come in.

diesel::table! {
    room_leaves (room, signature_key) {
        room -> Text,
        signature_key -> Binary,
        client -> Text,
        user_uri -> Text,
        provider -> Text,
    }
}

diesel::table! {
    join_codes (id) {
        id -> Binary,
        room -> Text,
        code_hash -> Binary,
        role -> BigInt,
        uses -> BigInt,
        used -> BigInt,
        domain -> Text,
        expires_at -> BigInt,
        created_by -> Text,
        reason -> Text,
        created_at -> BigInt,
        revoked_at -> BigInt,
    }
}

diesel::table! {
    admissions (id) {
        id -> Binary,
        room -> Text,
        signature_key -> Binary,
        credential_hash -> Binary,
        role -> BigInt,
        issued_at -> BigInt,
        expires_at -> BigInt,
        code -> Binary,
    }
}

diesel::table! {
    device_watch (id) {
        id -> Integer,
        since -> BigInt,
        noted_at -> BigInt,
    }
}

diesel::table! {
    fixed_rooms (members) {
        members -> Binary,
        room -> Text,
    }
}

diesel::table! {
    room_parents (room) {
        room -> Text,
        parent -> Text,
    }
}

diesel::table! {
    next_groups (room) {
        room -> Text,
        group_uri -> Text,
        starter -> Text,
        asked_at -> BigInt,
    }
}

//! What is downloaded through the gateway.

diesel::table! {
    room_asset_hosts (room, provider, host) {
        room -> Text,
        provider -> Text,
        host -> Text,
    }
}

diesel::table! {
    ohttp_keys (period) {
        period -> BigInt,
        sealed -> Binary,
    }
}

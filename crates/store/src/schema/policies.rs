//! Policy bundles, and which one decides.

diesel::table! {
    bundles (digest) {
        digest -> Binary,
        content -> Binary,
        stored_at -> BigInt,
        pushed_by -> Text,
        approved_by -> Nullable<Text>,
        approved_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    policy_pointer (id) {
        id -> Integer,
        version -> BigInt,
        active -> Binary,
        files -> Nullable<Binary>,
        moved_by -> Text,
        moved_at -> BigInt,
        how -> Integer,
    }
}

diesel::table! {
    bundle_activations (ordinal) {
        ordinal -> BigInt,
        digest -> Binary,
        activated_by -> Text,
        activated_at -> BigInt,
    }
}

diesel::table! {
    role_sets (id) {
        id -> Text,
        content -> Binary,
    }
}

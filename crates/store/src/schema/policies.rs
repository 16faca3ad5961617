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

diesel::table! {
    policy_shadows (run) {
        run -> BigInt,
        digest -> Binary,
        started_by -> Text,
        started_at -> BigInt,
        first_entry -> BigInt,
        position -> BigInt,
        running -> Nullable<Integer>,
        stopped_by -> Nullable<Text>,
        stopped_at -> Nullable<BigInt>,
        stopped_size -> Nullable<BigInt>,
        report -> Text,
    }
}

diesel::table! {
    bundle_simulations (digest, made_at) {
        digest -> Binary,
        made_by -> Text,
        made_at -> BigInt,
        report -> Text,
    }
}

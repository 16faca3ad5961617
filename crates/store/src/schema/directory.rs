//! What the company's identity provider says.

diesel::table! {
    people_head (id) {
        id -> BigInt,
        revision -> BigInt,
    }
}

diesel::table! {
    people (uri) {
        uri -> Text,
        id -> Binary,
        user_name -> Text,
        external_id -> Text,
        state -> BigInt,
        content -> Text,
        facts -> Text,
        revision -> BigInt,
        version -> BigInt,
        created_at -> BigInt,
        changed_at -> BigInt,
        manager -> Text,
        claims -> Text,
    }
}

diesel::table! {
    person_facts (id) {
        id -> Text,
        content -> Binary,
    }
}

diesel::table! {
    people_groups (id) {
        id -> Binary,
        name -> Text,
        folded -> Text,
        external_id -> Text,
        version -> BigInt,
        created_at -> BigInt,
        changed_at -> BigInt,
    }
}

diesel::table! {
    people_members (in_group, person) {
        in_group -> Binary,
        person -> Binary,
    }
}

diesel::table! {
    people_tokens (id) {
        id -> Binary,
        token_hash -> Binary,
        name -> Text,
        created_by -> Text,
        reason -> Text,
        created_at -> BigInt,
        expires_at -> BigInt,
        revoked_at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(people, people_groups, people_members);

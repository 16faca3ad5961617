//! What entries of the audit log are found by.

diesel::table! {
    audit_blocks (block) {
        block -> BigInt,
        first_at -> BigInt,
        last_at -> BigInt,
        times -> Binary,
    }
}

diesel::table! {
    audit_index (term, block) {
        term -> Binary,
        block -> BigInt,
        entries -> Binary,
    }
}

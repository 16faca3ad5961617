//! Check 2: no two leaves of the new tree share a signature key.

use std::collections::HashSet;

use crate::mls::GroupView;

use super::CheckId;

pub(in crate::mls) fn check(after: &GroupView) -> Result<(), CheckId> {
    let mut seen = HashSet::new();
    let unique = after.leaves.iter().all(|leaf| seen.insert(leaf.signature_key.as_slice()));
    if unique { Ok(()) } else { Err(CheckId::SignatureKeys) }
}

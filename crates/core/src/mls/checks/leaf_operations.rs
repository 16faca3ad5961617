//! Check 22: a leaf is updated, removed or leaves at most once in a commit. openmls does not compare SelfRemoves with
//! Removes, nor Updates with each other.

use std::collections::BTreeSet;

use crate::mls::Part;
use crate::mls::error::HandshakeError;

use super::CheckId;

pub(in crate::mls) fn check(parts: &[Part]) -> Result<(), HandshakeError> {
    let mut touched = BTreeSet::new();
    for (position, part) in parts.iter().enumerate() {
        if part.leaf().is_some_and(|leaf| !touched.insert(leaf)) {
            return Err(HandshakeError::InvalidProposals {
                check: CheckId::LeafOperations,
                references: part.reference.iter().cloned().collect(),
                position: Some(position),
            });
        }
    }
    Ok(())
}

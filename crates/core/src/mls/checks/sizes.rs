//! Check 11: what every member must keep, and sign over with every message, stays within limits. The size of a body is
//! limited before it is parsed, at the door.

use crate::wire::components::Dictionary;

use super::CheckId;

/// Longest data of all components together, in octets: the participant list of 5000 users takes a fifth of it.
pub(in crate::mls) const MAX_COMPONENT_BYTES: usize = 1024 * 1024;
/// Most proposals that wait for one commit.
pub(in crate::mls) const MAX_PENDING: usize = 256;

pub(in crate::mls) fn check(components: &Dictionary) -> Result<(), CheckId> {
    let bytes: usize = components.iter().map(|(_, data)| data.len()).sum();
    if bytes <= MAX_COMPONENT_BYTES { Ok(()) } else { Err(CheckId::Sizes) }
}

//! Check 22: a commit updates or removes a leaf at most once, and never its committer's. openmls does not compare
//! SelfRemoves with Removes, Updates with each other, or SelfRemoves with the committer.

use std::collections::BTreeSet;

use openmls::prelude::ProposalIn;

use crate::mls::error::HandshakeError;
use crate::mls::framing::Cited;
use crate::mls::proposals::Pending;

use super::CheckId;

pub(in crate::mls) fn check(
    committer: Option<u32>,
    pending: &[Pending],
    proposals: &[Cited],
) -> Result<(), HandshakeError> {
    let mut touched: BTreeSet<u32> = committer.into_iter().collect();
    for (position, cited) in proposals.iter().enumerate() {
        if leaf(cited, pending).is_some_and(|leaf| !touched.insert(leaf)) {
            return Err(HandshakeError::proposals(CheckId::LeafOperations).about(cited.reference(), Some(position)));
        }
    }
    Ok(())
}

/// The leaf that a proposal updates or removes. By value, only a Remove says which.
fn leaf(cited: &Cited, pending: &[Pending]) -> Option<u32> {
    match cited {
        Cited::Value(proposal) => match proposal.as_ref() {
            ProposalIn::Remove(remove) => Some(remove.removed().u32()),
            _ => None,
        },
        Cited::Reference(reference) => pending.iter().find(|it| it.reference() == reference)?.part.leaf(),
    }
}

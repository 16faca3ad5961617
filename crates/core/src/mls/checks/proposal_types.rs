//! Check 20: which proposals may be sent, and how.

use openmls::prelude::ProposalIn;

use crate::mls::error::HandshakeError;
use crate::mls::framing::Cited;

use super::CheckId;

/// SelfRemove and Update cannot stand in a commit by value: nobody else has sent them, and the committer cannot be
/// their subject.
pub(in crate::mls) fn by_value(proposals: &[Cited]) -> Result<(), HandshakeError> {
    let refused = proposals.iter().position(|cited| match cited {
        Cited::Value(proposal) => matches!(proposal.as_ref(), ProposalIn::SelfRemove | ProposalIn::Update(_)),
        Cited::Reference(_) => false,
    });
    match refused {
        None => Ok(()),
        position => Err(HandshakeError::proposals(CheckId::ProposalTypes).about(None, position)),
    }
}

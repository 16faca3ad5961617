//! Check 3: an external commit removes nobody but a former leaf of the client that joins (RFC 9420, section 12.4.3.2
//! leaves the comparison to the application).

use crate::mls::error::HandshakeError;
use crate::mls::{Effect, Part, Sender};

use super::CheckId;

pub(in crate::mls) fn check(sender: &Sender, parts: &[Part]) -> Result<(), HandshakeError> {
    let Sender::Joiner { client: joiner, .. } = sender else { return Ok(()) };
    let foreign = parts.iter().position(
        |part| matches!(&part.effect, Effect::Remove { client, .. } if part.reference.is_none() && client != joiner),
    );
    match foreign {
        None => Ok(()),
        position => {
            Err(HandshakeError::InvalidProposals { check: CheckId::ExternalRemove, references: Vec::new(), position })
        }
    }
}

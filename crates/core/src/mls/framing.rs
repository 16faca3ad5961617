//! The parts of a PublicMessage that openmls keeps to itself until it has processed the message (RFC 9420, section 6).

use std::io::Read;

use openmls::framing::{ProtocolMessage, PublicMessageIn, Sender};
use openmls::prelude::{ProposalIn, ProposalOrRefIn};
use tls_codec::{Deserialize, Serialize as _, VLBytes};

use crate::wire::mls::{MlsKind, MlsMessage};

use super::checks::CheckId;

const PROPOSAL: u8 = 2;
const COMMIT: u8 = 3;

/// A handshake, read but not verified.
pub(super) struct Framed {
    pub(super) sender: Sender,
    pub(super) authenticated_data: Vec<u8>,
    pub(super) proposals: Vec<Cited>,
    pub(super) message: PublicMessageIn,
}

/// An entry of a commit's proposal list.
pub(super) enum Cited {
    /// A proposal by value.
    Value(Box<ProposalIn>),
    /// The ProposalRef of one that was sent before.
    Reference(Vec<u8>),
}

/// Reads a handshake of the expected kind.
///
/// # Errors
///
/// [`CheckId::WireFormat`] when it is something else.
pub(super) fn read(message: &MlsMessage, expected: MlsKind) -> Result<Framed, CheckId> {
    if message.kind() != expected {
        return Err(CheckId::WireFormat);
    }
    let Ok(ProtocolMessage::PublicMessage(public)) = message.protocol_message() else {
        return Err(CheckId::WireFormat);
    };
    let mut reader = message.as_bytes();
    let (_version, _wire_format) = (take::<u16>(&mut reader)?, take::<u16>(&mut reader)?);
    let (_group, _epoch) = (take::<VLBytes>(&mut reader)?, take::<u64>(&mut reader)?);
    let sender = take::<Sender>(&mut reader)?;
    let authenticated_data = take::<VLBytes>(&mut reader)?;
    let proposals = match take::<u8>(&mut reader)? {
        PROPOSAL => vec![Cited::Value(Box::new(take(&mut reader)?))],
        COMMIT => take::<Vec<ProposalOrRefIn>>(&mut reader)?.into_iter().map(Cited::from).collect(),
        _ => return Err(CheckId::WireFormat),
    };
    Ok(Framed { sender, authenticated_data: authenticated_data.into(), proposals, message: *public })
}

fn take<T: Deserialize>(reader: &mut impl Read) -> Result<T, CheckId> {
    T::tls_deserialize(reader).map_err(|_| CheckId::WireFormat)
}

impl From<ProposalOrRefIn> for Cited {
    fn from(proposal: ProposalOrRefIn) -> Self {
        match proposal {
            ProposalOrRefIn::Proposal(proposal) => Self::Value(proposal),
            ProposalOrRefIn::Reference(reference) => Self::Reference(reference.as_slice().to_vec()),
        }
    }
}

impl Cited {
    /// The reference, if it is one.
    pub(super) fn reference(&self) -> Option<&[u8]> {
        match self {
            Self::Value(_) => None,
            Self::Reference(reference) => Some(reference),
        }
    }

    /// Bytes that are the same for the same entry only.
    pub(super) fn key(&self) -> (bool, Vec<u8>) {
        match self {
            Self::Value(proposal) => (true, proposal.tls_serialize_detached().unwrap_or_default()),
            Self::Reference(reference) => (false, reference.clone()),
        }
    }
}

/// Position of an external sender; openmls does not tell.
pub(super) fn external_index(sender: &Sender) -> Option<u32> {
    let bytes = match sender {
        Sender::External(index) => index.tls_serialize_detached().ok()?,
        Sender::Member(_) | Sender::NewMemberProposal | Sender::NewMemberCommit => return None,
    };
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

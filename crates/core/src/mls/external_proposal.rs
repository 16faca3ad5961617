//! Proposals that the hub makes from outside a group (RFC 9420, section 12.1.8).

use openmls::extensions::SenderExtensionIndex;
use openmls::framing::Sender;
use openmls_traits::signatures::Signer;
use tls_codec::{Serialize as _, TlsSerialize, TlsSize, VLBytes};

use crate::wire::Wire;
use crate::wire::components::ComponentId;
use crate::wire::mls::MlsMessage;

use super::GroupView;
use super::error::MlsError;
use super::labels::sign_with_label;

/// MLS 1.0, PublicMessage.
const FRAME: [u8; 4] = [0, 1, 0, 1];
/// ContentType proposal.
const PROPOSAL: u8 = 2;
/// ProposalType remove.
const REMOVE: u16 = 3;

/// `FramedContent` with a Remove.
#[derive(TlsSerialize, TlsSize)]
struct FramedRemove {
    group_id: VLBytes,
    epoch: u64,
    sender: Sender,
    authenticated_data: VLBytes,
    content_type: u8,
    proposal_type: u16,
    removed: u32,
}

/// A Remove of the client at `leaf`, by the external sender at position `sender` whose key `signer` holds, for the
/// epoch of `group`.
///
/// openmls makes external proposals with empty authenticated data, which hub and members refuse where SafeAAD is in
/// use: there it has to be an empty SafeAAD.
///
/// # Errors
///
/// [`MlsError::Library`] when the signer fails.
pub fn remove(group: &GroupView, sender: u32, leaf: u32, signer: &impl Signer) -> Result<MlsMessage, MlsError> {
    let safe_aad = group.components.get(ComponentId::SAFE_AAD).is_some();
    let content = FramedRemove {
        group_id: group.group.as_bytes().into(),
        epoch: group.epoch,
        sender: Sender::External(SenderExtensionIndex::new(sender)),
        authenticated_data: if safe_aad { vec![0].into() } else { Vec::new().into() },
        content_type: PROPOSAL,
        proposal_type: REMOVE,
        removed: leaf,
    };
    let content = content.tls_serialize_detached().map_err(|_| MlsError::Library)?;
    // `FramedContentTBS` of an external sender holds no GroupContext.
    let message = [&FRAME, content.as_slice()].concat();
    let signature = sign_with_label(signer, "FramedContentTBS", &message).map_err(|_| MlsError::Library)?;
    let signature = VLBytes::from(signature).tls_serialize_detached().map_err(|_| MlsError::Library)?;
    Ok(MlsMessage::decode(&[message, signature].concat())?)
}

//! Why a member could not do what it was asked to.

use std::error::Error;

use crate::identity::credential::CredentialError;
use crate::mls::component_updates::ComponentError;
use crate::mls::labels::LabelError;
use crate::wire::DecodeError;
use crate::wire::uri::{RoomUri, UserUri};

use crate::content::ContentError;

/// Why a member could not build or read something.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// This client is not in the room, or no longer.
    #[error("not a member of `{0}`")]
    NotAMember(RoomUri),
    /// The user is not in the participant list.
    #[error("`{0}` is not a participant")]
    NotAParticipant(UserUri),
    /// The client names no user (reading D-7), or the suite is not one of 1, 2 and 3.
    #[error("client identifier or cipher suite cannot be used")]
    Unusable,
    /// The draft proposes nothing.
    #[error("there is nothing to propose")]
    Nothing,
    /// An update of this client waits for its answer.
    #[error("an update waits for the answer of the hub")]
    Waiting,
    /// openmls refused.
    #[error("openmls refused to {step}")]
    Mls {
        /// What was tried.
        step: &'static str,
        /// Why it refused.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Bytes of the hub or of another member do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A signature or a ciphertext does not hold.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// A decrypted message is not MIMI content.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A proposal changes a component in a way that no member may apply.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// A message says it is from somebody else than the client that encrypted it, or for another room.
    #[error("sender or room in the content is not that of the message")]
    Impostor,
    /// A credential names no client and user.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The ratchet tree is not there, or only elsewhere.
    #[error("ratchet tree is missing")]
    Tree,
    /// The hub refused the GroupInfo, answered for another room, or is not the hub of the group.
    #[error("answer to the request for a GroupInfo cannot be used")]
    GroupInfo,
}

/// Wraps an error of openmls, saying what was tried.
pub(super) fn refused<E: Error + Send + Sync + 'static>(step: &'static str) -> impl FnOnce(E) -> MemberError {
    move |error| MemberError::Mls { step, source: Box::new(error) }
}

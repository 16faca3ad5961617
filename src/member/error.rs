use portcullis_core::member::MemberError;
use portcullis_core::wire::DecodeError;
use portcullis_core::wire::uri::ClientUri;

use crate::provider::client::ClientError;

/// Why a device could not do what it was asked to. A refusal by the protocol or by policy is an answer, not an error.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The MLS client could not build or read something.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The provider door refused what has no answer of its own, or did not answer.
    #[error(transparent)]
    Door(#[from] ClientError),
    /// An event of the stream is no message of a hub.
    #[error("event is malformed")]
    Event(#[source] DecodeError),
    /// The client names no user.
    #[error("client `{0}` names no user")]
    NoUser(ClientUri),
    /// What was waited for did not come.
    #[error("`{device}` has waited in vain for {wanted}")]
    Silent {
        /// Who waited.
        device: ClientUri,
        /// For what.
        wanted: String,
    },
}

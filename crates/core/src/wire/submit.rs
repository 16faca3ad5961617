//! `submitMessage`: an application message for a room, and the hub's answer (draft-ietf-mimi-protocol, "Submit a
//! Message").

use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::time::Millis;

use super::frank::Frank;
use super::mls::MlsMessage;
use super::uri::UserUri;
use super::{Protocol, codec, wire};

/// A message and who its provider says has sent it. The hub cannot bind the two; receivers do.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct SubmitMessageRequest {
    /// MLS 1.0.
    pub protocol: Protocol,
    /// The message; a hub refuses all but [`Application`](super::mls::MlsKind::Application).
    pub message: MlsMessage,
    /// The user it is from.
    pub sender: UserUri,
}

/// The hub's answer to a message.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct SubmitMessageResponse {
    /// MLS 1.0.
    pub protocol: Protocol,
    /// How it went.
    pub outcome: SubmitOutcome,
}

/// What became of a message (reading D-30).
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
#[repr(u8)]
pub enum SubmitOutcome {
    /// It is durable and will be distributed.
    #[tls_codec(discriminant = 0)]
    Accepted {
        /// When the hub accepted it; strictly increasing in a room (reading D-32).
        #[tls_codec(with = "codec::millis")]
        accepted_at: Millis,
        /// Absent where the room or the message is not franked.
        frank: Option<Frank>,
    },
    /// It is not allowed.
    #[tls_codec(discriminant = 1)]
    NotAllowed,
    /// It is of an epoch that is too old (reading D-31).
    #[tls_codec(discriminant = 2)]
    EpochTooOld {
        /// The epoch the room is in.
        current: u64,
    },
}

wire!(SubmitMessageRequest, SubmitMessageResponse);

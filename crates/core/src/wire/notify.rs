//! `notify`: what a hub fans out to the providers of a room (draft-ietf-mimi-protocol, "Fanout Messages and Room
//! Events").

use std::io::{Read, Write};

use tls_codec::{Deserialize as TlsDeserialize, Error, Serialize as TlsSerialize, Size};

use crate::time::Millis;

use super::frank::Frank;
use super::mls::{MlsKind, MlsMessage};
use super::update::RatchetTreeOption;
use super::{DecodeError, Wire, codec, wire};

/// Most messages of one notify that are taken: four times what a hub of ours sends (reading D-38).
pub const MOST_MESSAGES: usize = 1024;

/// One accepted message, proposal or commit, or the Welcome of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanoutMessage {
    /// When the hub accepted it; strictly increasing in a room (reading D-32).
    pub timestamp: Millis,
    /// What it is.
    pub body: FanoutBody,
}

/// A message and what goes with its kind (reading D-36). Which variant it is follows from the message alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FanoutBody {
    /// An application message.
    Application {
        /// The message.
        message: MlsMessage,
        /// The hub's frank.
        frank: Option<Frank>,
    },
    /// A Welcome.
    Welcome {
        /// The Welcome.
        message: MlsMessage,
        /// The tree of the epoch it leads to.
        tree: RatchetTreeOption,
    },
    /// One proposal or more that were accepted together.
    Proposal {
        /// The first.
        message: MlsMessage,
        /// The others, in the order they were submitted.
        more: Vec<MlsMessage>,
    },
    /// A commit.
    Commit {
        /// The commit.
        message: MlsMessage,
        /// Proposals of the hub that an external commit made void, issued again for the new epoch.
        external_proposals: Vec<MlsMessage>,
    },
}

/// Reads the body of a notify, one [`FanoutMessage`] or more without count or length, each with its exact bytes.
///
/// # Errors
///
/// [`DecodeError`] when the body is empty, any of them does not decode, or there are more than [`MOST_MESSAGES`]: a batch
/// is accepted as a whole.
pub fn decode_batch(body: &[u8]) -> Result<Vec<(FanoutMessage, Vec<u8>)>, DecodeError> {
    let (mut batch, mut rest) = (Vec::new(), body);
    while batch.is_empty() || !rest.is_empty() {
        if batch.len() == MOST_MESSAGES {
            // Each is decided for itself, and all of them are written as one.
            let error = codec::malformed(format!("more than {MOST_MESSAGES} messages"));
            return Err(DecodeError::new(FanoutMessage::NAME, error));
        }
        let before = rest;
        let message =
            FanoutMessage::tls_deserialize(&mut rest).map_err(|error| DecodeError::new(FanoutMessage::NAME, error))?;
        let consumed = before.len() - rest.len();
        batch.push((message, before.get(..consumed).unwrap_or_default().to_vec()));
    }
    Ok(batch)
}

impl FanoutBody {
    /// The MLS message in it.
    pub fn message(&self) -> &MlsMessage {
        match self {
            Self::Application { message, .. }
            | Self::Welcome { message, .. }
            | Self::Proposal { message, .. }
            | Self::Commit { message, .. } => message,
        }
    }
}

impl Size for FanoutMessage {
    fn tls_serialized_len(&self) -> usize {
        let rest = match &self.body {
            FanoutBody::Application { frank, .. } => frank.tls_serialized_len(),
            FanoutBody::Welcome { tree, .. } => tree.tls_serialized_len(),
            FanoutBody::Proposal { more: messages, .. } | FanoutBody::Commit { external_proposals: messages, .. } => {
                messages.tls_serialized_len()
            }
        };
        codec::millis::tls_serialized_len(&self.timestamp) + self.body.message().tls_serialized_len() + rest
    }
}

impl TlsSerialize for FanoutMessage {
    fn tls_serialize<W: Write>(&self, writer: &mut W) -> Result<usize, Error> {
        let head =
            codec::millis::tls_serialize(&self.timestamp, writer)? + self.body.message().tls_serialize(writer)?;
        let rest = match &self.body {
            FanoutBody::Application { frank, .. } => frank.tls_serialize(writer)?,
            FanoutBody::Welcome { tree, .. } => tree.tls_serialize(writer)?,
            FanoutBody::Proposal { more: messages, .. } | FanoutBody::Commit { external_proposals: messages, .. } => {
                messages.tls_serialize(writer)?
            }
        };
        Ok(head + rest)
    }
}

impl TlsDeserialize for FanoutMessage {
    fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Self, Error> {
        let timestamp = codec::millis::tls_deserialize(reader)?;
        let message = MlsMessage::tls_deserialize(reader)?;
        let body = match message.kind() {
            MlsKind::Application => FanoutBody::Application { message, frank: Option::tls_deserialize(reader)? },
            MlsKind::Welcome => FanoutBody::Welcome { message, tree: RatchetTreeOption::tls_deserialize(reader)? },
            MlsKind::Proposal => FanoutBody::Proposal { message, more: Vec::tls_deserialize(reader)? },
            MlsKind::Commit => FanoutBody::Commit { message, external_proposals: Vec::tls_deserialize(reader)? },
            MlsKind::PrivateHandshake | MlsKind::GroupInfo | MlsKind::KeyPackage => {
                return Err(codec::malformed("a kind of message that is never fanned out"));
            }
        };
        Ok(Self { timestamp, body })
    }
}

wire!(FanoutMessage);

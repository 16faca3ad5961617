//! `update`: a commit or proposals for a room, and the hub's answer (draft-ietf-mimi-protocol, "Update").

use std::io::{Read, Write};

use tls_codec::{
    Deserialize as TlsDeserialize, Error, Serialize as TlsSerialize, Size, TlsDeserialize, TlsSerialize, TlsSize,
};

use crate::time::Millis;

use super::mls::{GroupInfo, Handshake, MlsMessage, RatchetTree, Welcome};
use super::{codec, wire};

/// The body of an update: a `HandshakeBundle` without a protocol byte (reading D-23).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateRequest {
    /// A commit and what joiners need.
    Commit(CommitBundle),
    /// One proposal or more, accepted or refused together (reading D-28). Never empty on the wire.
    Proposals(Vec<MlsMessage>),
}

/// A commit with what joiners of its new epoch need. Its message may still be a PrivateMessage, which a hub refuses.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct CommitBundle {
    /// The commit.
    pub commit: MlsMessage,
    /// Present when the commit adds clients.
    pub welcome: Option<Welcome>,
    /// The GroupInfo of the new epoch, without the tree.
    pub group_info: GroupInfoOption,
    /// The tree of the new epoch, or where it is.
    pub ratchet_tree: RatchetTreeOption,
}

/// A GroupInfo, or the parts of one that a hub cannot know (draft-mahy-mls-ratchet-tree-options).
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
#[repr(u8)]
pub enum GroupInfoOption {
    /// The whole GroupInfo.
    #[tls_codec(discriminant = 1)]
    Full(GroupInfo),
    /// What the hub needs to rebuild it.
    #[tls_codec(discriminant = 2)]
    Partial(PartialGroupInfo),
}

/// The parts of a GroupInfo that do not follow from the commit (reading D-26).
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct PartialGroupInfo {
    /// What became of the tree; MIMI forbids to embed it.
    pub ratchet_tree_presence: RatchetTreePresence,
    /// The extensions of the GroupInfo without ratchet_tree. external_pub is among them where external commits are
    /// allowed.
    pub extensions: Vec<Extension>,
    /// The committer's signature over the whole GroupInfo.
    #[tls_codec(with = "codec::opaque")]
    pub signature: Vec<u8>,
}

/// Whether the signed GroupInfo embeds the ratchet tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
#[repr(u8)]
pub enum RatchetTreePresence {
    /// It does not, and did not.
    NoRatchetTree = 0,
    /// It does, as before.
    Present = 1,
    /// It no longer does.
    Removed = 2,
    /// It does for the first time.
    Added = 3,
}

/// An MLS extension whose data is not looked into (RFC 9420, section 13).
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct Extension {
    /// The extension type.
    pub extension_type: u16,
    /// Its data.
    #[tls_codec(with = "codec::opaque")]
    pub data: Vec<u8>,
}

/// A ratchet tree, or where it is (draft-mahy-mls-ratchet-tree-options; reading D-25).
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
#[repr(u8)]
pub enum RatchetTreeOption {
    /// The tree itself.
    #[tls_codec(discriminant = 1)]
    Full(RatchetTree),
    /// The tree is at a URL. A hub refuses it.
    #[tls_codec(discriminant = 2)]
    HttpsUri {
        /// Where.
        #[tls_codec(with = "codec::text")]
        url: String,
        /// Undefined in the draft; kept as sent.
        #[tls_codec(with = "codec::opaque")]
        tree_signature: Vec<u8>,
    },
    /// The tree comes by some other way. A hub refuses it.
    #[tls_codec(discriminant = 3)]
    OutOfBand {
        /// Undefined in the draft; kept as sent.
        #[tls_codec(with = "codec::opaque")]
        tree_signature: Vec<u8>,
    },
    /// The hub has rebuilt the tree from the handshakes.
    #[tls_codec(discriminant = 4)]
    DistributionService,
}

/// The hub's answer to an update. Travels with HTTP status 200, whatever it says (reading D-13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateResponse {
    /// The update is durable and will be distributed.
    Success {
        /// For people.
        description: String,
        /// When the hub accepted it; strictly increasing in a room (reading D-32).
        accepted_at: Millis,
    },
    /// The update is for another epoch than the current one.
    WrongEpoch {
        /// For people.
        description: String,
        /// The epoch the room is in.
        current: u64,
    },
    /// The update is not allowed, or not valid as a whole.
    NotAllowed {
        /// Reason code and decision id, never the name of a policy (C-8).
        description: String,
    },
    /// Proposals are not valid.
    InvalidProposal {
        /// Reason code and decision id, never the name of a policy (C-8).
        description: String,
        /// References of the standalone proposals among them; those by value have none (reading D-29).
        references: Vec<Vec<u8>>,
    },
}

impl Size for UpdateRequest {
    fn tls_serialized_len(&self) -> usize {
        match self {
            Self::Commit(bundle) => bundle.tls_serialized_len(),
            Self::Proposals(proposals) => match proposals.split_first() {
                Some((first, more)) => first.tls_serialized_len() + more.tls_serialized_len(),
                None => 0,
            },
        }
    }
}

impl TlsSerialize for UpdateRequest {
    fn tls_serialize<W: Write>(&self, writer: &mut W) -> Result<usize, Error> {
        match self {
            Self::Commit(bundle) => bundle.tls_serialize(writer),
            Self::Proposals(proposals) => match proposals.split_first() {
                Some((first, more)) => Ok(first.tls_serialize(writer)? + more.tls_serialize(writer)?),
                None => Ok(0),
            },
        }
    }
}

impl TlsDeserialize for UpdateRequest {
    fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Self, Error> {
        let first = MlsMessage::tls_deserialize(reader)?;
        match first.handshake() {
            Some(Handshake::Commit) => Ok(Self::Commit(CommitBundle {
                commit: first,
                welcome: Option::tls_deserialize(reader)?,
                group_info: GroupInfoOption::tls_deserialize(reader)?,
                ratchet_tree: RatchetTreeOption::tls_deserialize(reader)?,
            })),
            Some(Handshake::Proposal) => {
                let mut proposals = vec![first];
                proposals.append(&mut Vec::tls_deserialize(reader)?);
                Ok(Self::Proposals(proposals))
            }
            None => Err(codec::malformed("neither a commit nor a proposal")),
        }
    }
}

impl UpdateResponse {
    fn code(&self) -> u8 {
        match self {
            Self::Success { .. } => 0,
            Self::WrongEpoch { .. } => 1,
            Self::NotAllowed { .. } => 2,
            Self::InvalidProposal { .. } => 3,
        }
    }

    /// The text for people: a code and a decision id.
    pub fn description(&self) -> &str {
        match self {
            Self::Success { description, .. }
            | Self::WrongEpoch { description, .. }
            | Self::NotAllowed { description }
            | Self::InvalidProposal { description, .. } => description,
        }
    }
}

impl Size for UpdateResponse {
    fn tls_serialized_len(&self) -> usize {
        let rest = match self {
            Self::Success { accepted_at, .. } => codec::millis::tls_serialized_len(accepted_at),
            Self::WrongEpoch { current, .. } => current.tls_serialized_len(),
            Self::NotAllowed { .. } => 0,
            Self::InvalidProposal { references, .. } => codec::opaques::tls_serialized_len(references),
        };
        self.code().tls_serialized_len() + codec::text::tls_serialized_len(self.description()) + rest
    }
}

impl TlsSerialize for UpdateResponse {
    fn tls_serialize<W: Write>(&self, writer: &mut W) -> Result<usize, Error> {
        let head = self.code().tls_serialize(writer)? + codec::text::tls_serialize(self.description(), writer)?;
        let rest = match self {
            Self::Success { accepted_at, .. } => codec::millis::tls_serialize(accepted_at, writer)?,
            Self::WrongEpoch { current, .. } => current.tls_serialize(writer)?,
            Self::NotAllowed { .. } => 0,
            Self::InvalidProposal { references, .. } => codec::opaques::tls_serialize(references, writer)?,
        };
        Ok(head + rest)
    }
}

impl TlsDeserialize for UpdateResponse {
    fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Self, Error> {
        let code = u8::tls_deserialize(reader)?;
        let description = codec::text::tls_deserialize(reader)?;
        match code {
            0 => Ok(Self::Success { description, accepted_at: codec::millis::tls_deserialize(reader)? }),
            1 => Ok(Self::WrongEpoch { description, current: u64::tls_deserialize(reader)? }),
            2 => Ok(Self::NotAllowed { description }),
            3 => Ok(Self::InvalidProposal { description, references: codec::opaques::tls_deserialize(reader)? }),
            unknown => Err(Error::UnknownValue(unknown.into())),
        }
    }
}

wire!(Vec<Extension>, UpdateRequest, UpdateResponse, GroupInfoOption, PartialGroupInfo, RatchetTreeOption);

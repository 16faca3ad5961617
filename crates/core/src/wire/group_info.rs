//! `groupInfo`: what a client needs to join by an external commit (draft-ietf-mimi-protocol, "Fetch GroupInfo").

use openmls::credentials::Credential;
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::time::Millis;

use super::external_sender::ExternalSender;
use super::mls::{GroupInfo, MlsMessage};
use super::update::RatchetTreeOption;
use super::uri::RoomUri;
use super::{Protocol, codec, wire, without_signature};

/// A request for the GroupInfo of a room, signed by the client that wants to join.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct GroupInfoRequest {
    /// MLS 1.0.
    pub protocol: Protocol,
    /// The suite of the signature and of the encryption of the answer.
    pub suite: u16,
    /// The key that verifies the signature; the external commit must come from it (reading D-46).
    #[tls_codec(with = "codec::opaque")]
    pub signature_key: Vec<u8>,
    /// Whose key it is.
    pub credential: Credential,
    /// The HPKE key to which the answer is sealed.
    #[tls_codec(with = "codec::opaque")]
    pub group_info_public_key: Vec<u8>,
    /// The code of a join link (reading D-43).
    #[tls_codec(with = "codec::optional_opaque")]
    pub joining_code: Option<Vec<u8>>,
    /// Over [`Self::tbs`], with the label `GroupInfoRequestTBS`.
    #[tls_codec(with = "codec::opaque")]
    pub signature: Vec<u8>,
}

/// The answer to a [`GroupInfoRequest`]. A refusal is not signed and says nothing more (reading D-44).
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct GroupInfoResponse {
    /// MLS 1.0.
    pub protocol: Protocol,
    /// Which room.
    pub room: RoomUri,
    /// How it went.
    pub outcome: GroupInfoOutcome,
}

/// What a request for a GroupInfo led to.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
#[repr(u8)]
pub enum GroupInfoOutcome {
    /// The sealed GroupInfo.
    #[tls_codec(discriminant = 1)]
    Success(SealedGroupInfo),
    /// The caller may not have it.
    #[tls_codec(discriminant = 2)]
    NotAuthorized,
    /// No such room, for callers who may know.
    #[tls_codec(discriminant = 3)]
    NoSuchRoom,
}

/// A GroupInfo that only the requesting client can open, and the hub's signature.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct SealedGroupInfo {
    /// The suite of signature and encryption.
    pub suite: u16,
    /// The hub's key; must stand among the external senders of the GroupInfo inside.
    pub hub_sender: ExternalSender,
    /// A [`GroupInfoRatchetTree`], by EncryptWithLabel with the label `GroupInfo and ratchet_tree encryption` and the
    /// bytes of the room's identifier as context (reading D-45).
    pub encrypted: HpkeCiphertext,
    /// Over [`GroupInfoResponse::tbs`], with the label `GroupInfoResponseTBS`.
    #[tls_codec(with = "codec::opaque")]
    pub signature: Vec<u8>,
}

/// `HPKECiphertext` (RFC 9420, section 7.6).
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct HpkeCiphertext {
    /// The encapsulated key.
    #[tls_codec(with = "codec::opaque")]
    pub kem_output: Vec<u8>,
    /// The ciphertext.
    #[tls_codec(with = "codec::opaque")]
    pub ciphertext: Vec<u8>,
}

/// `GroupInfoRatchetTreeTBE`: the plaintext of an answer.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct GroupInfoRatchetTree {
    /// The GroupInfo of the current epoch, without the tree.
    pub group_info: GroupInfo,
    /// The tree.
    pub ratchet_tree: RatchetTreeOption,
    /// Accepted proposals; those an external commit may cite come first.
    pub pending_proposals: Vec<PendingProposal>,
}

/// A proposal that waits for a commit.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct PendingProposal {
    /// The proposal.
    pub proposal: MlsMessage,
    /// When the hub accepted it.
    #[tls_codec(with = "codec::millis")]
    pub accepted_at: Millis,
}

impl GroupInfoRequest {
    /// What the signature is over: the request without it.
    pub fn tbs(&self) -> Vec<u8> {
        without_signature(self, &self.signature)
    }
}

impl GroupInfoResponse {
    /// What the signature is over: the answer without it. `None` for a refusal, which is not signed.
    pub fn tbs(&self) -> Option<Vec<u8>> {
        match &self.outcome {
            GroupInfoOutcome::Success(sealed) => Some(without_signature(self, &sealed.signature)),
            GroupInfoOutcome::NotAuthorized | GroupInfoOutcome::NoSuchRoom => None,
        }
    }
}

wire!(GroupInfoRequest, GroupInfoResponse, GroupInfoRatchetTree);

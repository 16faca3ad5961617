//! MLS objects inside MIMI bodies: the exact bytes, checked by parsing them once.
//!
//! A hub hashes, stores and forwards MLS objects byte for byte, so they are kept as they came; openmls says on the way
//! in that they are well formed.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

use openmls::framing::{ContentType, MlsMessageBodyIn, MlsMessageIn, ProtocolMessage};
use openmls::group::{GroupEpoch, GroupId};
use openmls::key_packages::KeyPackageIn;
use openmls::messages::group_info::VerifiableGroupInfo;
use openmls::treesync::RatchetTreeIn;
use tls_codec::{Deserialize as TlsDeserialize, Error, Serialize as TlsSerialize, Size};

use super::codec::malformed;
use super::{DecodeError, Wire, wire};

/// What an [`MlsMessage`] carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MlsKind {
    /// A proposal in a PublicMessage.
    Proposal,
    /// A commit in a PublicMessage.
    Commit,
    /// An application message in a PrivateMessage.
    Application,
    /// A proposal or commit in a PrivateMessage, which no hub can check.
    PrivateHandshake,
    /// A Welcome.
    Welcome,
    /// A GroupInfo.
    GroupInfo,
    /// A KeyPackage.
    KeyPackage,
}

/// What a PublicMessage or PrivateMessage does to a group, by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Handshake {
    /// It proposes.
    Proposal,
    /// It commits.
    Commit,
}

/// A PublicMessage, PrivateMessage, Welcome, GroupInfo or KeyPackage of MLS 1.0 behind its version and wire format
/// (RFC 9420, section 6).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MlsMessage {
    bytes: Arc<[u8]>,
    kind: MlsKind,
    handshake: Option<Handshake>,
    group_id: Option<Arc<[u8]>>,
    epoch: Option<u64>,
    authenticated_data: Option<Arc<[u8]>>,
}

/// Octets of version and wire format before the object itself.
const FRAME_BYTES: usize = 4;

impl MlsMessage {
    /// What the message carries.
    pub fn kind(&self) -> MlsKind {
        self.kind
    }

    /// The exact bytes, version and wire format included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The group it names; `None` for a Welcome and a KeyPackage.
    pub fn group_id(&self) -> Option<&[u8]> {
        self.group_id.as_deref()
    }

    /// The epoch it names; `None` for a Welcome and a KeyPackage.
    pub fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// The authenticated data of a PrivateMessage, which is sent in the clear; `None` for everything else.
    pub fn authenticated_data(&self) -> Option<&[u8]> {
        self.authenticated_data.as_deref()
    }

    /// SHA-256 over the exact bytes: tells repeats apart (reading D-40).
    pub fn hash(&self) -> [u8; 32] {
        sha256(&self.bytes)
    }

    /// Which handshake a PublicMessage or PrivateMessage says it is: decides which fields follow in an update.
    pub(super) fn handshake(&self) -> Option<Handshake> {
        self.handshake
    }

    /// Parses the message for openmls.
    ///
    /// # Errors
    ///
    /// None in practice: the same bytes parsed when this value was made.
    pub fn into_openmls(self) -> Result<MlsMessageIn, DecodeError> {
        MlsMessageIn::tls_deserialize_exact(&self.bytes).map_err(|error| DecodeError::new(Self::NAME, error))
    }

    /// Parses the message as a PublicMessage or PrivateMessage for openmls.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Malformed`] when it carries neither.
    pub fn protocol_message(&self) -> Result<ProtocolMessage, DecodeError> {
        self.clone()
            .into_openmls()?
            .try_into_protocol_message()
            .map_err(|_| DecodeError::Malformed(Self::NAME, malformed("neither a PublicMessage nor a PrivateMessage")))
    }

    /// The Welcome inside, if it carries one.
    pub fn welcome(&self) -> Option<Welcome> {
        self.inner(MlsKind::Welcome)
    }

    /// The GroupInfo inside, if it carries one.
    pub fn group_info(&self) -> Option<GroupInfo> {
        self.inner(MlsKind::GroupInfo)
    }

    /// The KeyPackage inside, if it carries one.
    pub fn key_package(&self) -> Option<KeyPackage> {
        self.inner(MlsKind::KeyPackage)
    }

    fn inner<T: Wire>(&self, kind: MlsKind) -> Option<T> {
        if self.kind == kind { T::decode(self.bytes.get(FRAME_BYTES..)?).ok() } else { None }
    }

    fn parse(bytes: Vec<u8>, message: MlsMessageIn) -> Result<Self, Error> {
        Ok(match message.extract() {
            MlsMessageBodyIn::PublicMessage(message) => {
                let (kind, handshake) = match message.content_type() {
                    ContentType::Proposal => (MlsKind::Proposal, Handshake::Proposal),
                    ContentType::Commit => (MlsKind::Commit, Handshake::Commit),
                    ContentType::Application => return Err(malformed("application data in a PublicMessage")),
                };
                let message_of = Self::bare(bytes, kind).of(message.group_id(), message.epoch());
                Self { handshake: Some(handshake), ..message_of }
            }
            MlsMessageBodyIn::PrivateMessage(message) => {
                let (kind, handshake) = match message.content_type() {
                    ContentType::Proposal => (MlsKind::PrivateHandshake, Some(Handshake::Proposal)),
                    ContentType::Commit => (MlsKind::PrivateHandshake, Some(Handshake::Commit)),
                    ContentType::Application => (MlsKind::Application, None),
                };
                let message_of = Self::bare(bytes, kind).of(message.group_id(), message.epoch());
                Self { handshake, authenticated_data: Some(message.aad().into()), ..message_of }
            }
            MlsMessageBodyIn::GroupInfo(group_info) => {
                Self::bare(bytes, MlsKind::GroupInfo).of(group_info.group_id(), group_info.epoch())
            }
            MlsMessageBodyIn::Welcome(_) => Self::bare(bytes, MlsKind::Welcome),
            MlsMessageBodyIn::KeyPackage(_) => Self::bare(bytes, MlsKind::KeyPackage),
        })
    }

    fn bare(bytes: Vec<u8>, kind: MlsKind) -> Self {
        Self { bytes: bytes.into(), kind, handshake: None, group_id: None, epoch: None, authenticated_data: None }
    }

    fn of(self, group_id: &GroupId, epoch: GroupEpoch) -> Self {
        Self { group_id: Some(group_id.as_slice().into()), epoch: Some(epoch.as_u64()), ..self }
    }
}

impl fmt::Debug for MlsMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MlsMessage")
            .field("kind", &self.kind)
            .field("epoch", &self.epoch)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

macro_rules! span {
    ($(#[$doc:meta])* $name:ident, $parsed:ty) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(Arc<[u8]>);

        impl $name {
            /// The exact bytes.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// Parses the object for openmls.
            ///
            /// # Errors
            ///
            /// None in practice: the same bytes parsed when this value was made.
            pub fn into_openmls(self) -> Result<$parsed, DecodeError> {
                <$parsed>::tls_deserialize_exact(&self.0).map_err(|error| DecodeError::new(Self::NAME, error))
            }

            fn parse(bytes: Vec<u8>, _: $parsed) -> Result<Self, Error> {
                Ok(Self(bytes.into()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({} bytes)"), self.0.len())
            }
        }
    };
}

span!(
    /// A Welcome without version and wire format, as an update carries it.
    Welcome, openmls::messages::Welcome
);
span!(
    /// A GroupInfo without version and wire format, as updates and groupInfo answers carry it.
    GroupInfo, VerifiableGroupInfo
);
span!(
    /// A KeyPackage without version and wire format, as keyMaterial answers carry it.
    KeyPackage, KeyPackageIn
);
span!(
    /// A ratchet tree, `optional<Node> ratchet_tree<V>` (RFC 9420, section 12.4.3.3; reading D-25), length included.
    RatchetTree, RatchetTreeIn
);

impl RatchetTree {
    /// A tree that was encoded here.
    pub(crate) fn encoded(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl Welcome {
    /// The references of the KeyPackages it welcomes, in its order.
    pub fn references(&self) -> Vec<Vec<u8>> {
        let Ok(welcome) = self.clone().into_openmls() else { return Vec::new() };
        welcome.secrets().iter().map(|secret| secret.new_member().as_slice().to_vec()).collect()
    }

    /// The Welcome as a message of its own, as fan-out carries it.
    pub fn message(&self) -> MlsMessage {
        framed(3, MlsKind::Welcome, &self.0)
    }
}

impl KeyPackage {
    /// The KeyPackage as a message of its own.
    pub fn message(&self) -> MlsMessage {
        framed(5, MlsKind::KeyPackage, &self.0)
    }
}

/// An object behind MLS version 1.0 and its wire format, of those that name no group.
fn framed(wire_format: u8, kind: MlsKind, object: &[u8]) -> MlsMessage {
    MlsMessage::bare([&[0, 1, 0, wire_format], object].concat(), kind)
}

/// A reader that remembers what passed through it.
struct Tee<'a> {
    reader: &'a mut dyn Read,
    seen: Vec<u8>,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.seen.extend_from_slice(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

macro_rules! kept_as_bytes {
    ($($name:ident ($bytes:tt) from $parsed:ty;)+) => {
        $(impl Size for $name {
            fn tls_serialized_len(&self) -> usize {
                self.$bytes.len()
            }
        }

        impl TlsSerialize for $name {
            fn tls_serialize<W: Write>(&self, writer: &mut W) -> Result<usize, Error> {
                writer.write_all(&self.$bytes)?;
                Ok(self.$bytes.len())
            }
        }

        impl TlsDeserialize for $name {
            fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Self, Error> {
                let mut tee = Tee { reader, seen: Vec::new() };
                let parsed = <$parsed>::tls_deserialize(&mut tee)?;
                Self::parse(tee.seen, parsed)
            }
        })+

        wire!($($name),+);
    };
}

kept_as_bytes! {
    MlsMessage(bytes) from MlsMessageIn;
    Welcome(0) from openmls::messages::Welcome;
    GroupInfo(0) from VerifiableGroupInfo;
    KeyPackage(0) from KeyPackageIn;
    RatchetTree(0) from RatchetTreeIn;
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

//! room_metadata: name, avatar and the like (draft-ietf-mimi-protocol).

use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::uri::RoomUri;
use crate::wire::{codec, wire};

use super::{Component, ComponentId};

/// `RoomMetaData`.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct RoomMetadata {
    /// The room itself; never changes.
    pub room: RoomUri,
    /// Its name.
    #[tls_codec(with = "codec::text")]
    pub name: String,
    /// What it is about, in several languages or formats.
    pub descriptions: Vec<RichDescription>,
    /// An https URL, or empty.
    #[tls_codec(with = "codec::text")]
    pub avatar: String,
    /// Its subject.
    #[tls_codec(with = "codec::text")]
    pub subject: String,
    /// Its mood.
    #[tls_codec(with = "codec::text")]
    pub mood: String,
}

/// A description in one language and format.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct RichDescription {
    /// Empty is `text/plain;charset=utf-8`.
    #[tls_codec(with = "codec::text")]
    pub media_type: String,
    /// A BCP 47 tag, or empty.
    #[tls_codec(with = "codec::text")]
    pub language: String,
    /// In that media type.
    #[tls_codec(with = "codec::opaque")]
    pub content: Vec<u8>,
}

impl Component for RoomMetadata {
    const ID: ComponentId = ComponentId::ROOM_METADATA;
}

wire!(RoomMetadata);

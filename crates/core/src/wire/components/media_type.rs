//! Media types as binary structs (draft-ietf-mls-extensions, "Content Advertisement").

use serde::{Deserialize, Serialize};
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::{codec, wire};

/// `MediaType`, such as `text/plain` with the parameter charset.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaType {
    /// Type and subtype.
    #[tls_codec(with = "codec::text")]
    pub media_type: String,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<MediaTypeParameter>,
}

/// A parameter of a media type.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaTypeParameter {
    /// Its name.
    #[tls_codec(with = "codec::text")]
    pub name: String,
    /// Its value, without quotation marks.
    #[tls_codec(with = "codec::text")]
    pub value: String,
}

/// `ApplicationFraming`: what stands around the content of an application message in a group that lists its media types
/// (draft-ietf-mls-extensions, content_media_types).
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct ApplicationFraming {
    /// What the content is.
    pub media_type: MediaType,
    /// The content.
    #[tls_codec(with = "codec::opaque")]
    pub content: Vec<u8>,
}

wire!(ApplicationFraming);

//! Media types as binary structs (draft-ietf-mls-extensions, "Content Advertisement").

use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::codec;

/// `MediaType`, such as `text/plain` with the parameter charset.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct MediaType {
    /// Type and subtype.
    #[tls_codec(with = "codec::text")]
    pub media_type: String,
    /// Its parameters.
    pub parameters: Vec<MediaTypeParameter>,
}

/// A parameter of a media type.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct MediaTypeParameter {
    /// Its name.
    #[tls_codec(with = "codec::text")]
    pub name: String,
    /// Its value, without quotation marks.
    #[tls_codec(with = "codec::text")]
    pub value: String,
}

//! Stage `wire`: bytes and the typed structs of MIMI.
//!
//! One file per endpoint body, one per component of the GroupContext. A body that decodes is well formed and consumed
//! to its last byte (reading D-1); whether it is also true or allowed is for the stages after this one.
//! Encoding what was decoded gives the same bytes: they are hashed and signed.

mod codec;

pub mod components;
pub mod consent;
pub mod directory;
pub mod external_sender;
pub mod frank;
pub mod group_info;
pub mod identifier_query;
pub mod key_material;
pub mod mls;
pub mod notify;
pub mod report_abuse;
pub mod submit;
pub mod target;
pub mod update;
pub mod uri;

/// A struct with one encoding in the TLS presentation language and MLS variable-size vectors (RFC 9420, section 2.1).
pub trait Wire: tls_codec::Serialize + tls_codec::Deserialize + Sized {
    /// What the drafts call the struct; named by [`DecodeError`].
    const NAME: &'static str;

    /// Reads exactly `bytes`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for bytes that are cut short, followed by others, or not canonical.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        // Only the `Read` path: the slice path of `tls_codec` asserts on truncated input in debug builds.
        Self::tls_deserialize_exact(bytes).map_err(|error| DecodeError::new(Self::NAME, error))
    }

    /// The bytes that [`Self::decode`] reads.
    ///
    /// # Panics
    ///
    /// If a vector holds 2^30 bytes or more, which the encoding cannot express. Bodies are limited to a few MiB before
    /// they are decoded, so nothing a peer sends leads here.
    fn encode(&self) -> Vec<u8> {
        match self.tls_serialize_detached() {
            Ok(bytes) => bytes,
            Err(error) => unreachable!("`{}` is too long to encode: {error}", Self::NAME),
        }
    }
}

/// Why bytes are not the struct they should be. Says whose bytes they are, never what they hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the struct does.
    #[error("`{0}` is cut short")]
    Truncated(&'static str),
    /// Bytes follow that do not belong to the struct.
    #[error("`{0}` is followed by further bytes")]
    Trailing(&'static str),
    /// An unknown code, a length that is not minimal, an identifier that is not canonical, or the like.
    #[error("`{0}` is malformed")]
    Malformed(&'static str, #[source] tls_codec::Error),
}

impl DecodeError {
    fn new(name: &'static str, error: tls_codec::Error) -> Self {
        match error {
            tls_codec::Error::EndOfStream => Self::Truncated(name),
            tls_codec::Error::TrailingData => Self::Trailing(name),
            error => Self::Malformed(name, error),
        }
    }
}

/// Which messaging protocol a body speaks: its first octet where it has one (reading D-23).
#[derive(Clone, Copy, Debug, PartialEq, Eq, tls_codec::TlsSize, tls_codec::TlsSerialize, tls_codec::TlsDeserialize)]
#[repr(u8)]
pub enum Protocol {
    /// MLS 1.0, RFC 9420.
    Mls10 = 1,
}

/// The encoding of `signed` up to its last field, the `opaque signature<V>` over exactly that.
fn without_signature<T: Wire>(signed: &T, signature: &[u8]) -> Vec<u8> {
    let mut bytes = signed.encode();
    bytes.truncate(bytes.len().saturating_sub(codec::opaque::tls_serialized_len(signature)));
    bytes
}

macro_rules! wire {
    ($($type:ty),+ $(,)?) => {
        $(impl $crate::wire::Wire for $type {
            const NAME: &'static str = stringify!($type);
        })+
    };
}
use wire;

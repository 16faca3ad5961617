//! `reportAbuse`: messages that a user complains about, with what proves them (draft-ietf-mimi-protocol, "Report
//! Abuse").

use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::time::Millis;

use super::components::Dictionary;
use super::frank::Frank;
use super::uri::UserUri;
use super::{codec, wire};

/// Most messages of one report (reading D-56).
pub const MOST_MESSAGES: usize = 16;

/// A complaint about a user.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct AbuseReport {
    /// Who complains; `None` (an empty identifier) for nobody who wants to be named.
    #[tls_codec(with = "codec::user_or_empty")]
    pub reporter: Option<UserUri>,
    /// Whom it is about.
    pub alleged: UserUri,
    /// Why.
    pub reason: AbuseType,
    /// The reporter's own words. What they are encoded in is nowhere said.
    #[tls_codec(with = "codec::opaque")]
    pub note: Vec<u8>,
    /// The messages; a hub takes no more than [`MOST_MESSAGES`].
    pub messages: Vec<AbusiveMessage>,
    /// Further components.
    pub extensions: Dictionary,
}

/// A message that was decrypted, and the hub's frank for it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct AbusiveMessage {
    /// Exactly what the sender's franking tag was made over (reading D-35).
    #[tls_codec(with = "codec::opaque")]
    pub content: Vec<u8>,
    /// As it was fanned out.
    pub frank: Frank,
    /// When the hub says that it accepted the message.
    #[tls_codec(with = "codec::millis")]
    pub accepted_at: Millis,
}

/// Why a user complains. The draft has a place for it and no values: any is taken and kept (reading D-56).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct AbuseType(pub u8);

wire!(AbuseReport, AbusiveMessage);

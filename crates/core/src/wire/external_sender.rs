//! `ExternalSender`: a provider's key for proposals and answers from outside the group (RFC 9420, section 12.1.8.1).

use openmls::credentials::Credential;
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use super::{codec, wire};

/// Who may propose from outside, and the key that proves it. The hub's own key also signs groupInfo answers.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct ExternalSender {
    /// The key.
    #[tls_codec(with = "codec::opaque")]
    pub signature_key: Vec<u8>,
    /// Whose it is.
    pub credential: Credential,
}

wire!(ExternalSender);

//! join_link_policy and join_links: codes that let their holder join (draft-ietf-mimi-room-policy -04; reading P-5).

use serde::{Deserialize, Serialize};
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::{codec, wire};

use super::{Component, ComponentId};

/// `JoinLinkPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinLinkPolicy {
    /// A link is made only when it is asked for.
    #[tls_codec(with = "codec::flag")]
    pub on_request: bool,
    /// The link.
    #[tls_codec(with = "codec::opaque")]
    #[serde(with = "as_text")]
    pub join_link: Vec<u8>,
    /// Several users may use one link.
    #[tls_codec(with = "codec::flag")]
    pub multiuser: bool,
    /// Seconds until a link expires.
    pub expiration_seconds: u32,
}

/// `JoinLinksData`.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct JoinLinks {
    /// The links; an update removes them by their position.
    #[tls_codec(with = "codec::opaques")]
    pub links: Vec<Vec<u8>>,
}

/// `JoinLinksUpdate`: removals, then additions.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct JoinLinksUpdate {
    /// Positions of those that go.
    pub removed: Vec<u32>,
    /// Those that come, appended in this order.
    #[tls_codec(with = "codec::opaques")]
    pub added: Vec<Vec<u8>>,
}

impl Component for JoinLinkPolicy {
    const ID: ComponentId = ComponentId::JOIN_LINK_POLICY;
}

impl Component for JoinLinks {
    const ID: ComponentId = ComponentId::JOIN_LINKS;
}

/// As people write it: a link that is no text cannot be written so.
mod as_text {
    use serde::de::Deserialize;
    use serde::ser::Error;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(link: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(link).map_err(S::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Ok(String::deserialize(deserializer)?.into_bytes())
    }
}

wire!(JoinLinkPolicy, JoinLinks, JoinLinksUpdate);

//! link_preview_policy: previews of links (draft-ietf-mimi-room-policy).

use std::io::{Read, Write};

use tls_codec::{
    Deserialize as TlsDeserialize, Error, Serialize as TlsSerialize, Size, TlsDeserialize, TlsSerialize, TlsSize,
};

use crate::wire::{codec, wire};

use super::{Component, ComponentId, Conditional, Optionality};

/// `LinkPreviewPolicy`. Clients enforce it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkPreviewPolicy {
    /// Clients may look for links in what users write; never required.
    #[tls_codec(with = "not_required")]
    pub autodetect: Optionality,
    /// Senders may send a preview.
    pub send_link_previews: Optionality,
    /// Receivers may fetch a preview on their own.
    pub automatic_link_previews: Optionality,
    /// Previews may be fetched through a proxy, and through which.
    pub proxy_use: Conditional<Proxies>,
}

/// Proxies for link previews (reading P-2).
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxies {
    /// Their URIs.
    #[tls_codec(with = "codec::texts")]
    pub uris: Vec<String>,
}

impl Component for LinkPreviewPolicy {
    const ID: ComponentId = ComponentId::LINK_PREVIEW_POLICY;
}

wire!(LinkPreviewPolicy);

mod not_required {
    use super::{Error, Optionality, Read, Size, TlsDeserialize, TlsSerialize, Write, codec};

    pub(super) fn tls_serialized_len(optionality: &Optionality) -> usize {
        optionality.tls_serialized_len()
    }

    pub(super) fn tls_serialize<W: Write>(optionality: &Optionality, writer: &mut W) -> Result<usize, Error> {
        optionality.tls_serialize(writer)
    }

    pub(super) fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Optionality, Error> {
        match Optionality::tls_deserialize(reader)? {
            Optionality::Required => Err(codec::malformed("looking for links cannot be required")),
            other => Ok(other),
        }
    }
}

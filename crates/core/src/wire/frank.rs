//! Franking: what binds a message to the hub's acceptance of it, so that a report can be checked later
//! (draft-ietf-mimi-protocol, "Franking").

use aws_lc_rs::hmac;
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::time::Millis;

use super::components::ComponentId;
use super::uri::{RoomUri, UserUri};
use super::{Wire, codec, wire};

/// The hub's frank for one message.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct Frank {
    /// HMAC-SHA256 over the sender's franking tag and the context, under a key that only the hub has.
    pub server_frank: [u8; 32],
    /// The cipher suite whose scheme signed.
    pub signature_suite: u16,
    /// Over [`FrankingTbs`], with the label `FrankingIntegrityTBS`, by the room's franking agent.
    #[tls_codec(with = "codec::opaque")]
    pub signature: Vec<u8>,
}

/// What the hub knew when it accepted the message. Never sent: receivers rebuild it from the message's content.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct FrankingContext {
    /// The sender that was submitted.
    pub sender: UserUri,
    /// The room.
    pub room: RoomUri,
    /// When the hub accepted it.
    #[tls_codec(with = "codec::millis")]
    pub accepted_at: Millis,
}

/// What the franking agent signs.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct FrankingTbs {
    /// As in [`Frank`].
    pub server_frank: [u8; 32],
    /// As in [`Frank`].
    pub signature_suite: u16,
    /// The context.
    pub context: FrankingContext,
}

/// `SafeAAD`: the whole authenticated data of a message in a room that uses it (draft-ietf-mls-extensions); its items
/// strictly ascend by component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SafeAad(super::components::Dictionary);

/// The tag a sender commits to its message with: HMAC-SHA256 keyed with the content's salt over the application data.
pub fn franking_tag(salt: &[u8; 16], application_data: &[u8]) -> [u8; 32] {
    hmac_sha256(salt, &[application_data])
}

/// The hub's commitment to the tag it saw and the context it saw it in.
pub fn server_frank(hub_key: &[u8; 32], franking_tag: &[u8; 32], context: &FrankingContext) -> [u8; 32] {
    hmac_sha256(hub_key, &[franking_tag, &context.encode()])
}

impl SafeAad {
    /// Authenticated data that carries a franking tag and nothing else.
    pub fn with_frank(franking_tag: &[u8; 32]) -> Self {
        Self([(ComponentId::FRANK_AAD, franking_tag.to_vec())].into_iter().collect())
    }

    /// The item of a component.
    pub fn item(&self, component: ComponentId) -> Option<&[u8]> {
        self.0.get(component)
    }

    /// The components that have an item.
    pub fn components(&self) -> impl Iterator<Item = ComponentId> {
        self.0.iter().map(|(component, _)| component)
    }

    /// The sender's franking tag; `None` when it is absent or not 32 octets.
    pub fn franking_tag(&self) -> Option<[u8; 32]> {
        self.item(ComponentId::FRANK_AAD)?.try_into().ok()
    }
}

impl tls_codec::Size for SafeAad {
    fn tls_serialized_len(&self) -> usize {
        self.0.tls_serialized_len()
    }
}

impl tls_codec::Serialize for SafeAad {
    fn tls_serialize<W: std::io::Write>(&self, writer: &mut W) -> Result<usize, tls_codec::Error> {
        self.0.tls_serialize(writer)
    }
}

impl tls_codec::Deserialize for SafeAad {
    fn tls_deserialize<R: std::io::Read>(reader: &mut R) -> Result<Self, tls_codec::Error> {
        // `SafeAADItem` and `ComponentData` have one layout and one rule of order.
        tls_codec::Deserialize::tls_deserialize(reader).map(Self)
    }
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut tag = [0; 32];
    tag.copy_from_slice(context.sign().as_ref());
    tag
}

wire!(Frank, FrankingContext, FrankingTbs, SafeAad);

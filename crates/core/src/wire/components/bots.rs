//! bot_policy: the bots of a room (draft-ietf-mimi-room-policy).

use serde::{Deserialize, Serialize};
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::{codec, wire};

use super::{Component, ComponentId};

/// `BotPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BotPolicy {
    /// The bots.
    pub bots: Vec<Bot>,
}

/// A bot.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bot {
    /// Its name.
    #[tls_codec(with = "codec::text")]
    pub name: String,
    /// What it does.
    #[tls_codec(with = "codec::text")]
    pub description: String,
    /// Its home page.
    #[tls_codec(with = "codec::text")]
    pub homepage: String,
    /// It runs inside a participant's client.
    #[tls_codec(with = "codec::flag")]
    pub local_client_bot: bool,
    /// The role it has.
    pub role_index: u32,
    /// It may write to one participant alone.
    #[tls_codec(with = "codec::flag")]
    pub can_target: bool,
    /// It may write something else to each participant.
    #[tls_codec(with = "codec::flag")]
    pub per_user_content: bool,
}

impl Component for BotPolicy {
    const ID: ComponentId = ComponentId::BOT_POLICY;
}

wire!(BotPolicy);

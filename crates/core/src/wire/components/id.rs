//! Component numbers.

use std::fmt;

use serde::{Deserialize, Serialize};
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

/// The number of a component. Unknown ones are carried and ignored.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ComponentId(pub u16);

macro_rules! component_ids {
    ($($(#[$doc:meta])* $constant:ident = $number:literal, $name:literal;)+) => {
        impl ComponentId {
            $($(#[$doc])* pub const $constant: Self = Self($number);)+

            /// The draft's name for it.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)+
                    _ => None,
                }
            }
        }
    };
}

component_ids! {
    /// Which components the group uses.
    APP_COMPONENTS = 0x0001, "app_components";
    /// Which components may stand in authenticated data.
    SAFE_AAD = 0x0002, "safe_aad";
    /// Which media types application messages may have.
    CONTENT_MEDIA_TYPES = 0x0003, "content_media_types";
    /// Marks a KeyPackage of last resort.
    LAST_RESORT_KEY_PACKAGE = 0x0004, "last_resort_key_package";
    /// Acknowledgements between clients.
    APP_ACK = 0x0005, "app_ack";
    /// The sender's franking tag, in authenticated data.
    FRANK_AAD = 0x0020, "frank_aad";
    /// The hub's franking key.
    FRANKING_AGENT = 0x0021, "franking_agent";
    /// Who takes part, in which role.
    PARTICIPANT_LIST = 0x0022, "participant_list";
    /// Name, avatar and the like.
    ROOM_METADATA = 0x0023, "room_metadata";
    /// How MLS is to be operated.
    MLS_OPERATIONAL_POLICY = 0x0024, "mls_operational_policy";
    /// The roles and what they may do.
    ROLES_LIST = 0x0025, "roles_list";
    /// Who may join without being added.
    PREAUTH_LIST = 0x0026, "preauth_list";
    /// Membership style and limits.
    BASE_ROOM_POLICY = 0x0027, "base_room_policy";
    /// Delivery and read receipts.
    STATUS_NOTIFICATION_POLICY = 0x0028, "status_notification_policy";
    /// How join links are made.
    JOIN_LINK_POLICY = 0x0029, "join_link_policy";
    /// The join links.
    JOIN_LINKS = 0x002a, "join_links";
    /// Previews of links.
    LINK_PREVIEW_POLICY = 0x002b, "link_preview_policy";
    /// Where files go and how large they may be.
    ASSET_POLICY = 0x002c, "asset_policy";
    /// Whether the room is logged, and by whom.
    LOGGING_POLICY = 0x002d, "logging_policy";
    /// Who may share history.
    CHAT_HISTORY_POLICY = 0x002e, "chat_history_policy";
    /// Bots.
    BOT_POLICY = 0x002f, "bot_policy";
    /// Expiry of messages.
    MESSAGE_EXPIRATION_POLICY = 0x0030, "message_expiration_policy";
}

impl fmt::Debug for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "component 0x{:04x}", self.0),
        }
    }
}

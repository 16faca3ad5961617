//! The policies of a template that say nothing of who takes part: components of their own, in YAML as they stand on the wire.

use serde::{Deserialize, Serialize};

use crate::wire::DecodeError;
use crate::wire::components::{
    AssetPolicy, BotPolicy, Component, ComponentId, Dictionary, HistoryPolicy, JoinLinkPolicy, LinkPreviewPolicy,
    LoggingPolicy, MessageExpirationPolicy, StatusNotificationPolicy,
};

/// What a room says of each; nothing where it is left out (reading P-24).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PolicySpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    status_notification: Option<StatusNotificationPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    join_links: Option<JoinLinkPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_preview: Option<LinkPreviewPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assets: Option<AssetPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logging: Option<LoggingPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_history: Option<HistoryPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bots: Option<BotPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_expiration: Option<MessageExpirationPolicy>,
}

impl PolicySpec {
    pub(super) fn of(components: &Dictionary) -> Result<Self, DecodeError> {
        Ok(Self {
            status_notification: components.read()?,
            join_links: components.read()?,
            link_preview: components.read()?,
            assets: components.read()?,
            logging: components.read()?,
            chat_history: components.read()?,
            bots: components.read()?,
            message_expiration: components.read()?,
        })
    }

    pub(super) fn write(&self, into: &mut Dictionary) {
        fn put<T: Component>(policy: Option<&T>, into: &mut Dictionary) {
            if let Some(policy) = policy {
                into.write(policy);
            }
        }
        put(self.status_notification.as_ref(), into);
        put(self.join_links.as_ref(), into);
        put(self.link_preview.as_ref(), into);
        put(self.assets.as_ref(), into);
        put(self.logging.as_ref(), into);
        put(self.chat_history.as_ref(), into);
        put(self.bots.as_ref(), into);
        put(self.message_expiration.as_ref(), into);
    }

    /// Which there are: the base policy lists them.
    pub(super) fn ids(&self) -> Vec<ComponentId> {
        let mut components = Dictionary::default();
        self.write(&mut components);
        components.iter().map(|(id, _)| id).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

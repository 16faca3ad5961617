//! status_notification_policy: delivery and read receipts (draft-ietf-mimi-room-policy).

use serde::{Deserialize, Serialize};
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::wire;

use super::{Component, ComponentId, Optionality};

/// `StatusNotificationPolicy`. Clients enforce it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusNotificationPolicy {
    /// Notifications that a message was delivered.
    pub delivery_notifications: Optionality,
    /// Notifications that a message was read.
    pub read_receipts: Optionality,
}

impl Component for StatusNotificationPolicy {
    const ID: ComponentId = ComponentId::STATUS_NOTIFICATION_POLICY;
}

wire!(StatusNotificationPolicy);

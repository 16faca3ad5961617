//! The components of draft-ietf-mls-extensions that are lists.

use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::wire;

use super::{Component, ComponentId, MediaType};

/// app_components: the components that the group uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct AppComponents {
    /// Their numbers.
    pub components: Vec<ComponentId>,
}

/// safe_aad: the components that may stand in authenticated data.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct SafeAadComponents {
    /// Their numbers.
    pub components: Vec<ComponentId>,
}

/// content_media_types: the media types that application messages may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct ContentMediaTypes {
    /// At least one.
    pub media_types: Vec<MediaType>,
}

impl Component for AppComponents {
    const ID: ComponentId = ComponentId::APP_COMPONENTS;
}

impl Component for SafeAadComponents {
    const ID: ComponentId = ComponentId::SAFE_AAD;
}

impl Component for ContentMediaTypes {
    const ID: ComponentId = ComponentId::CONTENT_MEDIA_TYPES;
}

wire!(AppComponents, SafeAadComponents, ContentMediaTypes);

//! What a leaf says of its client: what that can do, and what its certificate says.

use openmls::treesync::LeafNode;
use openmls::versions::ProtocolVersion;

use crate::identity::credential::certified;
use crate::wire::components::{AppComponents, Component, ContentMediaTypes, SafeAadComponents};

use super::{LeafCapabilities, Says};

/// All of it.
pub(super) fn says(leaf: &LeafNode) -> Says {
    Says { capabilities: capabilities(leaf), certified: certified(leaf.credential()) }
}

/// What a leaf says its client can do.
pub(super) fn capabilities(leaf: &LeafNode) -> LeafCapabilities {
    let capabilities = leaf.capabilities();
    LeafCapabilities {
        versions: capabilities
            .versions()
            .iter()
            .map(|version| match version {
                ProtocolVersion::Mls10 => 1,
                ProtocolVersion::Other(number) => *number,
            })
            .collect(),
        suites: capabilities.ciphersuites().iter().map(|suite| suite.value()).collect(),
        extensions: capabilities.extensions().iter().map(|extension| u16::from(*extension)).collect(),
        proposals: capabilities.proposals().iter().map(|proposal| u16::from(*proposal)).collect(),
        credentials: capabilities.credentials().iter().map(|credential| u16::from(*credential)).collect(),
        components: listed(leaf, |list: AppComponents| list.components),
        safe_aad: listed(leaf, |list: SafeAadComponents| list.components),
        media_types: listed(leaf, |list: ContentMediaTypes| list.media_types),
    }
}

/// A list in the leaf's app_data_dictionary. One that nobody can read lists nothing.
fn listed<T: Component, E>(leaf: &LeafNode, items: fn(T) -> Vec<E>) -> Option<Vec<E>> {
    let data = leaf.extensions().app_data_dictionary()?.dictionary().get(&T::ID.0)?;
    Some(T::decode(data).map(items).unwrap_or_default())
}

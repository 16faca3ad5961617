//! Check 24: a leaf to come can do what the group requires. openmls asks this of a commit only; a pending proposal
//! that fails it would make every later commit fail.

use openmls::credentials::CredentialType;
use openmls::extensions::Extension;
use openmls::group::PublicGroup;
use openmls::treesync::LeafNode;
use openmls::versions::ProtocolVersion;

use crate::mls::key_package::capabilities;
use crate::wire::key_material::RequiredCapabilities;

use super::CheckId;

pub(in crate::mls) fn check(group: &PublicGroup, leaf: &LeafNode) -> Result<(), CheckId> {
    let context = group.group_context();
    let can = capabilities(leaf);
    let used = |extension: &Extension| u16::from(extension.extension_type());
    let mut required = RequiredCapabilities {
        extension_types: context.extensions().iter().map(used).collect(),
        // The only credential type of members (reading D-7).
        credential_types: vec![CredentialType::Basic.into()],
        ..RequiredCapabilities::default()
    };
    required.extension_types.extend(leaf.extensions().iter().map(used));
    if let Some(group) = context.extensions().required_capabilities() {
        required.extension_types.extend(group.extension_types().iter().map(|kind| u16::from(*kind)));
        required.proposal_types.extend(group.proposal_types().iter().map(|kind| u16::from(*kind)));
        required.credential_types.extend(group.credential_types().iter().map(|kind| u16::from(*kind)));
    }
    // ratchet_tree, required_capabilities, external_pub and external_senders are not for leaves.
    let own = leaf.extensions().iter().map(used).any(|kind| (2..=5).contains(&kind));
    let speaks = context.protocol_version() == ProtocolVersion::Mls10
        && can.versions.contains(&1)
        && can.suites.contains(&u16::from(group.ciphersuite()));
    if speaks && !own && can.satisfy(&required) { Ok(()) } else { Err(CheckId::LeafSupport) }
}

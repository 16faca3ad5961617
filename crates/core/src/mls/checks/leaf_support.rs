//! Check 24: a leaf to come can do what the group requires, and all leaves take each other's credentials. openmls asks
//! the first of a commit only, so that a pending proposal that fails it would make every later commit fail; and it
//! compares what a commit adds with the tree before it only, though nobody could join a tree whose leaves do not agree.

use std::collections::BTreeSet;

use openmls::extensions::Extension;
use openmls::group::PublicGroup;
use openmls::prelude::LeafNodeIndex;
use openmls::treesync::LeafNode;
use openmls::versions::ProtocolVersion;

use crate::mls::GroupView;
use crate::mls::says::capabilities;
use crate::wire::key_material::RequiredCapabilities;

use super::CheckId;

/// Checks `leaf` against the group and `others`, the leaves that pending proposals bring.
pub(in crate::mls) fn check(
    group: &PublicGroup,
    view: &GroupView,
    others: &[&LeafNode],
    leaf: &LeafNode,
) -> Result<(), CheckId> {
    let context = group.group_context();
    let can = capabilities(leaf);
    let used = |extension: &Extension| u16::from(extension.extension_type());
    let mut required = RequiredCapabilities {
        extension_types: context.extensions().iter().map(used).collect(),
        ..RequiredCapabilities::default()
    };
    required.extension_types.extend(leaf.extensions().iter().map(used));
    if let Some(group) = context.extensions().required_capabilities() {
        required.extension_types.extend(group.extension_types().iter().map(|kind| u16::from(*kind)));
        required.proposal_types.extend(group.proposal_types().iter().map(|kind| u16::from(*kind)));
        required.credential_types.extend(group.credential_types().iter().map(|kind| u16::from(*kind)));
    }
    // ratchet_tree, required_capabilities, external_pub, external_senders and last_resort are not for leaves.
    let own = leaf.extensions().iter().map(used).any(|kind| (2..=5).contains(&kind) || kind == 10);
    let speaks = context.protocol_version() == ProtocolVersion::Mls10
        && can.versions.contains(&1)
        && can.suites.contains(&u16::from(group.ciphersuite()));
    let agree = takes_all(members(group, view).chain(others.iter().copied()).chain([leaf]));
    if speaks && !own && can.satisfy(&required) && agree { Ok(()) } else { Err(CheckId::LeafSupport) }
}

/// Checks the leaves of a whole group against each other (RFC 9420, section 7.3).
pub(in crate::mls) fn agree(group: &PublicGroup, view: &GroupView) -> Result<(), CheckId> {
    if takes_all(members(group, view)) { Ok(()) } else { Err(CheckId::LeafSupport) }
}

/// Whether each of the leaves lists the credential types that they use.
fn takes_all<'a>(leaves: impl Iterator<Item = &'a LeafNode> + Clone) -> bool {
    let used: BTreeSet<u16> = leaves.clone().map(|leaf| leaf.credential().credential_type().into()).collect();
    let mut leaves = leaves;
    leaves.all(|leaf| {
        let taken = leaf.capabilities().credentials();
        used.iter().all(|kind| taken.iter().any(|taken| u16::from(*taken) == *kind))
    })
}

fn members<'a>(group: &'a PublicGroup, view: &'a GroupView) -> impl Iterator<Item = &'a LeafNode> + Clone {
    view.leaves.iter().filter_map(|leaf| group.leaf(LeafNodeIndex::new(leaf.index)))
}

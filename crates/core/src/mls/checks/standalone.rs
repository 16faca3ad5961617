//! Check 9: a standalone proposal fits the tree and everything that is pending. openmls only authenticates it.
//!
//! Every commit has to cite all pending proposals, so one that no commit can hold would block the group for good.

use std::collections::BTreeSet;

use openmls::messages::proposals::Proposal;
use openmls::treesync::LeafNode;
use tls_codec::{Deserialize as _, Serialize, VLBytes};

use crate::mls::Effect;
use crate::mls::component_updates::{ComponentUpdate, apply, changed};
use crate::mls::error::HandshakeError;
use crate::mls::group::Group;
use crate::mls::proposals::Pending;
use crate::time::Millis;

use super::sizes::MAX_PENDING;
use super::{CheckId, components, components_of, leaf_support, lifetimes};

/// Checks `proposal` against the group, its pending proposals and those `accepted` before it from the same bundle.
pub(in crate::mls) fn check(
    group: &Group,
    accepted: &[Pending],
    proposal: &Pending,
    now: Millis,
) -> Result<(), HandshakeError> {
    let invalid = HandshakeError::proposals;
    let others: Vec<&Pending> = group.pending.iter().chain(accepted).collect();
    if others.len() >= MAX_PENDING {
        return Err(CheckId::Sizes.into());
    }
    if others.iter().any(|other| other.reference() == proposal.reference()) {
        return Err(invalid(CheckId::Standalone));
    }
    match proposal.proposal() {
        Proposal::Add(add) => {
            let key_package = add.key_package();
            if key_package.ciphersuite() != group.suite {
                return Err(invalid(CheckId::Standalone));
            }
            lifetimes::check(std::iter::once(key_package), now)?;
            leaf_support::check(&*group.public()?, &group.view, &to_come(&others), key_package.leaf_node())
                .map_err(invalid)?;
            fresh_keys(group, &others, proposal, None).map_err(invalid)
        }
        Proposal::Update(update) => {
            leaf_support::check(&*group.public()?, &group.view, &to_come(&others), update.leaf_node())
                .map_err(invalid)?;
            free_leaf(&others, proposal).map_err(invalid)?;
            fresh_keys(group, &others, proposal, proposal.part.leaf()).map_err(invalid)
        }
        Proposal::Remove(_) | Proposal::SelfRemove => free_leaf(&others, proposal).map_err(invalid),
        Proposal::AppDataUpdate(_) => {
            let updates: Vec<ComponentUpdate> =
                others.iter().copied().chain([proposal]).filter_map(|other| components::of(&other.part)).collect();
            let changes = apply(&group.view.components, &updates).map_err(|_| invalid(CheckId::Components))?;
            components_of(&changed(&group.view.components, changes)).map_err(invalid)
        }
        // A pre-shared key or an unknown proposal that one member cannot process would block that member; extensions
        // are changed by nobody (P-13), and a room that must move gets a new group (C-6).
        Proposal::PreSharedKey(_)
        | Proposal::ReInit(_)
        | Proposal::ExternalInit(_)
        | Proposal::GroupContextExtensions(_)
        | Proposal::AppEphemeral(_)
        | Proposal::Custom(_) => Err(CheckId::ProposalTypes.into()),
    }
}

/// A leaf has one pending operation. A SelfRemove may follow a Remove or an Update, and a Remove an Update: it then
/// makes the earlier one void.
fn free_leaf(others: &[&Pending], proposal: &Pending) -> Result<(), CheckId> {
    let rank = |effect: &Effect| match effect {
        Effect::Update { .. } => 1,
        Effect::Remove { .. } => 2,
        Effect::SelfRemove { .. } => 3,
        _ => 0,
    };
    let leaf = proposal.part.leaf();
    let taken = others
        .iter()
        .filter(|other| other.part.leaf() == leaf)
        .any(|other| rank(&other.part.effect) >= rank(&proposal.part.effect));
    if taken { Err(CheckId::LeafOperations) } else { Ok(()) }
}

/// The keys of a leaf to come are in use nowhere else; an Update of the leaf `own` may keep its signature key.
fn fresh_keys(group: &Group, others: &[&Pending], proposal: &Pending, own: Option<u32>) -> Result<(), CheckId> {
    let (mut signatures, mut encryptions) = (BTreeSet::new(), BTreeSet::new());
    for member in group.public()?.members() {
        if Some(member.index.u32()) != own {
            signatures.insert(member.signature_key);
        }
        encryptions.insert(member.encryption_key);
    }
    for other in others {
        if let Some(keys) = keys(other.proposal()) {
            signatures.insert(keys.signature);
            encryptions.extend(keys.encryption);
        }
    }
    let Some(new) = keys(proposal.proposal()) else { return Ok(()) };
    let distinct: BTreeSet<&Vec<u8>> = new.encryption.iter().collect();
    let fresh = !signatures.contains(&new.signature)
        && distinct.len() == new.encryption.len()
        && new.encryption.iter().all(|key| !encryptions.contains(key));
    if fresh { Ok(()) } else { Err(CheckId::SignatureKeys) }
}

/// The leaves that pending proposals bring.
fn to_come<'a>(others: &[&'a Pending]) -> Vec<&'a LeafNode> {
    let leaf = |other: &&'a Pending| match other.proposal() {
        Proposal::Add(add) => Some(add.key_package().leaf_node()),
        Proposal::Update(update) => Some(update.leaf_node()),
        _ => None,
    };
    others.iter().filter_map(leaf).collect()
}

/// The signature key and the HPKE keys of a leaf to come.
struct Keys {
    signature: Vec<u8>,
    encryption: Vec<Vec<u8>>,
}

fn keys(proposal: &Proposal) -> Option<Keys> {
    let of = |leaf: &LeafNode| Keys {
        signature: leaf.signature_key().as_slice().to_vec(),
        encryption: vec![raw(leaf.encryption_key())],
    };
    match proposal {
        Proposal::Add(add) => {
            let mut keys = of(add.key_package().leaf_node());
            keys.encryption.push(add.key_package().hpke_init_key().as_slice().to_vec());
            Some(keys)
        }
        Proposal::Update(update) => Some(of(update.leaf_node())),
        _ => None,
    }
}

/// The octets of a key that openmls shows as a vector only.
fn raw(key: &impl Serialize) -> Vec<u8> {
    let bytes = key.tls_serialize_detached().unwrap_or_default();
    VLBytes::tls_deserialize_exact(bytes).map(Vec::from).unwrap_or_default()
}

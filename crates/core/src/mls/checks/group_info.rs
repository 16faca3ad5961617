//! Check 6: the GroupInfo that comes with a commit is that of the new epoch.
//!
//! It is also the only cross-check a hub has on its own result for the components and on a confirmation tag that was
//! tampered with on its way: the committer has signed both.

use openmls::ciphersuite::signature::Signature;
use openmls::extensions::{ExtensionType, Extensions};
use openmls::group::PublicGroup;
use openmls::messages::group_info::{GroupInfo, VerifiableGroupInfo};
use openmls::prelude::LeafNodeIndex;
use tls_codec::{Deserialize as _, Serialize as _, VLByteSlice, VLBytes};

use crate::mls::crypto::HubCrypto;
use crate::mls::labels::verify_with_label;
use crate::wire::update::{GroupInfoOption, PartialGroupInfo, RatchetTreePresence};

use super::CheckId;

const REFUSED: CheckId = CheckId::GroupInfo;

/// Checks a GroupInfo, whole or partial, against the new epoch, and returns it whole and raw.
pub(in crate::mls) fn check(
    next: &PublicGroup,
    signer: LeafNodeIndex,
    option: &GroupInfoOption,
) -> Result<Vec<u8>, CheckId> {
    let extensions = match option {
        GroupInfoOption::Full(group_info) => {
            group_info.clone().into_openmls().map_err(|_| REFUSED)?.extensions().clone()
        }
        GroupInfoOption::Partial(partial) => parse(partial)?,
    };
    self::extensions(&extensions)?;
    let unsigned = unsigned(next, signer, extensions)?;
    let signature = match option {
        // Context, tag and signer stand before the signature, and must be ours byte for byte.
        GroupInfoOption::Full(group_info) => {
            let signature = group_info.as_bytes().strip_prefix(unsigned.as_slice()).ok_or(REFUSED)?;
            VLBytes::tls_deserialize_exact(signature).map_err(|_| REFUSED)?.into()
        }
        GroupInfoOption::Partial(partial) => partial.signature.clone(),
    };
    let key = next.leaf(signer).ok_or(REFUSED)?.signature_key().as_slice();
    let suite = next.ciphersuite().into();
    verify_with_label(&HubCrypto::default(), suite, key, "GroupInfoTBS", &unsigned, &signature).map_err(|_| REFUSED)?;
    let signature = VLByteSlice(&signature).tls_serialize_detached().map_err(|_| REFUSED)?;
    Ok([unsigned, signature].concat())
}

/// A GroupInfo must let others join by external commit, and MIMI forbids to embed the tree.
pub(in crate::mls) fn extensions(extensions: &Extensions<GroupInfo>) -> Result<(), CheckId> {
    let joinable = extensions.external_pub().is_some();
    if joinable && !extensions.contains(ExtensionType::RatchetTree) { Ok(()) } else { Err(REFUSED) }
}

fn parse(partial: &PartialGroupInfo) -> Result<Extensions<GroupInfo>, CheckId> {
    match partial.ratchet_tree_presence {
        RatchetTreePresence::NoRatchetTree => {}
        RatchetTreePresence::Present | RatchetTreePresence::Removed | RatchetTreePresence::Added => {
            return Err(REFUSED);
        }
    }
    let bytes = partial.extensions.tls_serialize_detached().map_err(|_| REFUSED)?;
    Extensions::tls_deserialize_exact(bytes).map_err(|_| REFUSED)
}

/// The bytes of a GroupInfo up to its signature.
fn unsigned(next: &PublicGroup, signer: LeafNodeIndex, extensions: Extensions<GroupInfo>) -> Result<Vec<u8>, CheckId> {
    let (context, tag) = (next.group_context().clone(), next.confirmation_tag().clone());
    let whole = VerifiableGroupInfo::new(context, extensions, tag, signer, Signature::from(Vec::new()));
    let mut bytes = whole.tls_serialize_detached().map_err(|_| REFUSED)?;
    // The empty signature is one octet of length.
    bytes.pop();
    Ok(bytes)
}

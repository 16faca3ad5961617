//! Check 6: the GroupInfo that comes with a commit is that of the new epoch.
//!
//! It is also the only cross-check a hub has on its own result for the components and on a confirmation tag that was
//! tampered with on its way: the committer has signed both.

use openmls::ciphersuite::signable::Verifiable;
use openmls::ciphersuite::signature::Signature;
use openmls::extensions::{ExtensionType, Extensions};
use openmls::group::PublicGroup;
use openmls::messages::group_info::{GroupInfo, VerifiableGroupInfo};
use openmls::prelude::LeafNodeIndex;
use tls_codec::{Deserialize as _, Serialize as _, VLBytes};

use crate::mls::crypto::HubCrypto;
use crate::wire::update::{GroupInfoOption, PartialGroupInfo, RatchetTreePresence};

use super::CheckId;

const REFUSED: CheckId = CheckId::GroupInfo;

/// Checks a GroupInfo, whole or partial, against the new epoch, and returns it whole and raw.
pub(in crate::mls) fn check(
    next: &PublicGroup,
    signer: LeafNodeIndex,
    option: &GroupInfoOption,
) -> Result<Vec<u8>, CheckId> {
    let (extensions, signature) = match option {
        GroupInfoOption::Full(group_info) => {
            let parsed = group_info.clone().into_openmls().map_err(|_| REFUSED)?;
            let extensions = parsed.extensions().clone();
            // Context, tag and signer stand before the signature, and must be ours byte for byte.
            let unsigned = unsigned(next, signer, extensions.clone())?;
            let signature = group_info.as_bytes().strip_prefix(unsigned.as_slice()).ok_or(REFUSED)?;
            (extensions, VLBytes::tls_deserialize_exact(signature).map_err(|_| REFUSED)?.into())
        }
        GroupInfoOption::Partial(partial) => (parse(partial)?, partial.signature.clone()),
    };
    self::extensions(&extensions)?;
    let key = next.leaf(signer).ok_or(REFUSED)?.signature_key().clone();
    let key = key.into_signature_public_key_enriched(next.ciphersuite().signature_algorithm());
    let whole = assemble(next, signer, extensions, signature);
    let raw = whole.tls_serialize_detached().map_err(|_| REFUSED)?;
    whole.verify(&HubCrypto::default(), &key).map_err(|_| REFUSED)?;
    Ok(raw)
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

fn assemble(
    next: &PublicGroup,
    signer: LeafNodeIndex,
    extensions: Extensions<GroupInfo>,
    signature: Vec<u8>,
) -> VerifiableGroupInfo {
    let (context, tag) = (next.group_context().clone(), next.confirmation_tag().clone());
    VerifiableGroupInfo::new(context, extensions, tag, signer, Signature::from(signature))
}

/// The bytes of a GroupInfo up to its signature.
fn unsigned(next: &PublicGroup, signer: LeafNodeIndex, extensions: Extensions<GroupInfo>) -> Result<Vec<u8>, CheckId> {
    let mut bytes = assemble(next, signer, extensions, Vec::new()).tls_serialize_detached().map_err(|_| REFUSED)?;
    // The empty signature is one octet of length.
    bytes.pop();
    Ok(bytes)
}

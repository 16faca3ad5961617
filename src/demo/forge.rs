//! What an attacker between a client and its hub could try.

use anyhow::{Context as _, bail};
use portcullis_core::wire::Wire as _;
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::update::{CommitBundle, UpdateRequest};

/// A PublicMessage of a member ends in `opaque signature<V>`, then confirmation tag and membership tag, which are MACs
/// of 32 bytes after a length of one byte (RFC 9420, sections 6.1 and 6.2; ciphersuite 1).
const TAGS_BYTES: usize = 2 * (1 + 32);

/// The same commit with one bit of its signature flipped.
pub(super) fn forged(request: &UpdateRequest) -> anyhow::Result<UpdateRequest> {
    let UpdateRequest::Commit(bundle) = request else { bail!("only commits are forged") };
    let mut bytes = bundle.commit.as_bytes().to_vec();
    let last = bytes.len().checked_sub(TAGS_BYTES + 1).and_then(|last| bytes.get_mut(last));
    *last.context("commit is too short")? ^= 1;
    let commit = MlsMessage::decode(&bytes).context("forged commit does not decode")?;
    Ok(UpdateRequest::Commit(CommitBundle { commit, ..bundle.clone() }))
}

//! An external commit ends the epoch without the Removes that members had proposed in it. The hub proposes them again
//! for the new epoch, in the same transaction, so that nobody whose rights have ended gets them back (reading D-53).
//! What the hub cannot propose is the change of the participant list (correction C-6): a member does that.

use std::sync::Arc;

use portcullis_core::mls::{Change, Effect, Group, Leaf, Sender, SigningKey, external_proposal};
use portcullis_core::wire::mls::MlsMessage;

use super::moderation;
use super::rooms::Hosted;
use super::{GatewayError, Inner};

/// A Remove by the hub, for the new epoch.
pub(super) struct Reissued {
    pub(super) message: MlsMessage,
    /// Its ProposalRef.
    pub(super) reference: Vec<u8>,
}

/// The Removes that are due again after `change`, whose group is in `snapshot`; `None` when there are such, and the hub is
/// none of the room's external senders.
pub(super) fn removes(
    inner: &Inner,
    hosted: &Hosted,
    change: &Change,
    snapshot: &[u8],
) -> Result<Option<Vec<Reissued>>, GatewayError> {
    let Sender::Joiner { .. } = &change.sender else { return Ok(Some(Vec::new())) };
    // A client that was to go for it was not there is there, in the place of its former leaf.
    let back =
        change.joiner().filter(|joiner| moderation::owed_of(hosted, joiner).is_some()).map(|joiner| joiner.index);
    let mut leaves: Vec<u32> = hosted
        .group
        .pending()
        .iter()
        .filter_map(|part| match &part.effect {
            Effect::Remove { leaf, client, .. } | Effect::SelfRemove { leaf, client, .. } => {
                Some((*leaf, client.clone()))
            }
            _ => None,
        })
        .filter(|(leaf, client)| {
            if back == Some(*leaf) {
                return false;
            }
            // A client that has come back in the place of its former leaf has another key.
            let at = |leaves: &[Arc<Leaf>]| {
                let found = leaves.iter().find(|left| left.index == *leaf && left.client == *client);
                found.map(|found| found.signature_key.clone())
            };
            at(&change.after.leaves).is_some_and(|key| at(&change.before.leaves) == Some(key))
        })
        .map(|(leaf, _)| leaf)
        .collect();
    leaves.dedup();
    if leaves.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let Some((own, key)) = position(inner, hosted)? else { return Ok(None) };
    let mut group = Group::restore(snapshot).map_err(GatewayError::internal)?;
    let again = leaves.into_iter().map(|leaf| {
        let message = external_proposal::remove(&change.after, own, leaf, key).map_err(GatewayError::internal)?;
        let part = group.queue(&message).map_err(GatewayError::internal)?;
        Ok(Reissued { message, reference: part.reference.unwrap_or_default() })
    });
    again.collect::<Result<_, GatewayError>>().map(Some)
}

/// Where the hub stands among the external senders of a room, if it does, and the key that it has there: the one in use when its
/// group started.
pub(super) fn position<'a>(inner: &'a Inner, hosted: &Hosted) -> Result<Option<(u32, &'a SigningKey)>, GatewayError> {
    let senders = hosted.group.external_senders().map_err(GatewayError::internal)?;
    let keys: Vec<(Vec<u8>, &SigningKey)> = inner.keys.hub.iter().map(|key| (key.public(), key)).collect();
    let own = senders.iter().enumerate().find_map(|(at, sender)| {
        let (_, key) = keys.iter().find(|(public, _)| *public == sender.signature_key)?;
        Some((u32::try_from(at).ok()?, *key))
    });
    Ok(own)
}

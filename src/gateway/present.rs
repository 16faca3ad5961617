//! Clients of ours that a change brings in or comes from: one that its backend has deleted still has its keys, so that
//! only who is registered, and by what it was registered with, is let in; when it is decided, and once more when it is
//! written.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_core::mls::{Effect, GroupView, Leaf, Part, Proposer};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, UserUri};
use portcullis_store::{Conn, StoreError, Tx, devices, key_packages};

use super::rooms::Hosted;
use super::{GatewayError, Inner};

/// Clients of ours that come in, each with its user and the KeyPackage that it comes by, if it was claimed.
#[derive(Clone, Debug, Default)]
pub(super) struct Newcomers(Vec<(ClientUri, UserUri, Option<Vec<u8>>)>);

impl Newcomers {
    /// Those that `parts` add, and the client that joins.
    pub(super) fn of<'a>(inner: &Inner, parts: impl Iterator<Item = &'a Part>, joiner: Option<&Leaf>) -> Self {
        let added = parts.filter_map(|part| match &part.effect {
            Effect::Add { client, user, key_package_ref, .. } => {
                let claimed = !matches!(part.proposer, Proposer::Joiner { .. });
                Some((client.clone(), user.clone(), claimed.then(|| key_package_ref.clone())))
            }
            _ => None,
        });
        let joiner = joiner.map(|leaf| (leaf.client.clone(), leaf.user.clone(), None));
        Self(added.chain(joiner).filter(|(client, ..)| inner.is_ours(&client.domain())).collect())
    }

    /// Lets none of them be deleted until the transaction has ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] when one of them is not registered any longer, or its KeyPackage went with it.
    pub(super) fn hold(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let clients: Vec<ClientUri> = self.0.iter().map(|(client, ..)| client.clone()).collect();
        let (held, claimed) = (devices::hold_all(tx, &clients)?, self.claimed(tx)?);
        let here = |(client, user, reference): &(ClientUri, UserUri, Option<Vec<u8>>)| {
            held.get(client) == Some(user)
                && reference.as_ref().is_none_or(|reference| claimed.get(reference) == Some(client))
        };
        if self.0.iter().all(here) { Ok(()) } else { Err(StoreError::Missing) }
    }

    fn claimed(&self, conn: &mut Conn) -> Result<BTreeMap<Vec<u8>, ClientUri>, StoreError> {
        let references: Vec<Vec<u8>> = self.0.iter().filter_map(|(.., reference)| reference.clone()).collect();
        key_packages::claimed(conn, &references)
    }
}

/// Proposals that are pending in a room of ours, are cited by `parts`, and hold no longer because of a device that was
/// deleted: it proposed them, or they add it.
pub(super) fn void(inner: &Inner, hosted: &Hosted, parts: &[Part]) -> Result<BTreeSet<Vec<u8>>, GatewayError> {
    let cited = || parts.iter().filter_map(|part| part.reference.as_ref().map(|reference| (reference, part)));
    let mut void: BTreeSet<Vec<u8>> =
        cited().filter(|(_, part)| acts_for_nobody(hosted, part)).map(|(reference, _)| reference.clone()).collect();
    let added: Vec<(&Vec<u8>, &Part, &ClientUri, &UserUri)> = cited()
        .filter_map(|(reference, part)| match &part.effect {
            Effect::Add { client, user, .. } if inner.is_ours(&client.domain()) => {
                Some((reference, part, client, user))
            }
            _ => None,
        })
        .collect();
    if added.is_empty() {
        return Ok(void);
    }
    let newcomers = Newcomers::of(inner, added.iter().map(|(_, part, ..)| *part), None);
    let (registered, claimed) = inner.store.read(|conn| {
        let mut registered = BTreeMap::new();
        for (client, ..) in &newcomers.0 {
            registered.insert(client.clone(), devices::registration(conn, client)?);
        }
        Ok::<_, StoreError>((registered, newcomers.claimed(conn)?))
    })?;
    let accepted_at = |reference: &Vec<u8>| -> Option<Millis> {
        hosted.pending.iter().find(|pending| pending.reference == *reference).map(|pending| pending.accepted_at)
    };
    void.extend(added.into_iter().filter_map(|(reference, part, client, user)| {
        let known = registered.get(client).and_then(Option::as_ref).filter(|(owner, _)| owner == user);
        let stands = known.is_some_and(|(_, since)| match (&part.effect, &part.proposer) {
            // It has proposed itself, after it was registered.
            (_, Proposer::Joiner { .. }) => accepted_at(reference).is_some_and(|at| *since <= at),
            (Effect::Add { key_package_ref, .. }, _) => claimed.get(key_package_ref) == Some(client),
            _ => true,
        });
        (!stands).then(|| reference.clone())
    }));
    Ok(void)
}

/// Whether a client that is gone proposes more than to take out clients of its user.
pub(super) fn acts_for_nobody(hosted: &Hosted, part: &Part) -> bool {
    let Proposer::Member { leaf, user, .. } = &part.proposer else { return false };
    let takes_out = matches!(&part.effect,
        Effect::Remove { user: of, .. } | Effect::SelfRemove { user: of, .. } if of == user);
    !takes_out && is_gone(hosted, hosted.view(), *leaf)
}

/// Whether the client at a leaf is gone.
pub(super) fn is_gone(hosted: &Hosted, view: &GroupView, index: u32) -> bool {
    let restrictions = &hosted.restrictions;
    !restrictions.gone.is_empty() && view.leaves.iter().any(|leaf| leaf.index == index && restrictions.is_gone(leaf))
}

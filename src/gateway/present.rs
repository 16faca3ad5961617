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

    /// Notes that those are there who come by themselves.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the database.
    pub(super) fn see(&self, tx: &mut Tx<'_>, now: Millis) -> Result<(), StoreError> {
        let mut themselves = self.0.iter().filter(|(.., reference)| reference.is_none());
        themselves.try_for_each(|(client, ..)| devices::see(tx, client, now))
    }

    /// Lets none of them be deleted until the transaction has ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] when one of them is not registered any longer, or is taken for lost, or its KeyPackage went with
    /// it.
    pub(super) fn hold(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let clients: Vec<ClientUri> = self.0.iter().map(|(client, ..)| client.clone()).collect();
        let (held, claimed) = (devices::hold_all(tx, &clients)?, self.claimed(tx)?);
        let lost = devices::lost(tx, &clients)?;
        let here = |(client, user, reference): &(ClientUri, UserUri, Option<Vec<u8>>)| {
            held.get(client) == Some(user)
                && !lost.contains(client)
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
/// deleted or lost: it proposed them, or they add it.
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
        let clients: Vec<ClientUri> = newcomers.0.iter().map(|(client, ..)| client.clone()).collect();
        let (mut registered, lost) = (BTreeMap::new(), devices::lost(conn, &clients)?);
        for client in clients.into_iter().filter(|client| !lost.contains(client)) {
            let registration = devices::registration(conn, &client)?;
            registered.insert(client, registration);
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

/// Whether a client that is gone proposes more than that it goes, or another one that is gone: whoever has a stolen device has
/// no say about its owner's others.
pub(super) fn acts_for_nobody(hosted: &Hosted, part: &Part) -> bool {
    let Proposer::Member { leaf: own, .. } = &part.proposer else { return false };
    let is_gone = |leaf: u32| is_gone(hosted, hosted.view(), leaf);
    let takes_out = match &part.effect {
        Effect::Remove { leaf, .. } | Effect::SelfRemove { leaf, .. } => leaf == own || is_gone(*leaf),
        _ => false,
    };
    !takes_out && is_gone(*own)
}

/// Whether the client at a leaf is gone.
pub(super) fn is_gone(hosted: &Hosted, view: &GroupView, index: u32) -> bool {
    let restrictions = &hosted.restrictions;
    !restrictions.gone.is_empty() && view.leaves.iter().any(|leaf| leaf.index == index && restrictions.is_gone(leaf))
}

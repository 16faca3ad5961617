//! Who is owed what: events in the room's order, rows for other providers, rows for the streams of our own devices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_core::mls::{Change, Effect, Leaf, StagedChange};
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::Capability;
use portcullis_core::wire::frank::Frank;
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::notify::{FanoutBody, FanoutMessage};
use portcullis_core::wire::update::{CommitBundle, RatchetTreeOption};
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri};
use portcullis_store::events::{Appended, EventKind, NewEvent};
use portcullis_store::rooms::Accepted;
use portcullis_store::{StoreError, Tx, events, outbox, routes, streams};

use super::rooms::Hosted;
use super::{GatewayError, Inner};

/// One event of a room with everyone who must get it.
pub(super) struct Delivery {
    kind: EventKind,
    epoch: u64,
    body: FanoutBody,
    audience: Audience,
}

/// Other providers, and our own devices.
#[derive(Default)]
struct Audience {
    peers: BTreeSet<Domain>,
    devices: BTreeSet<ClientUri>,
}

impl Audience {
    fn of<'a>(inner: &Inner, leaves: impl Iterator<Item = &'a Arc<Leaf>>) -> Self {
        let mut audience = Self::default();
        for leaf in leaves {
            audience.add(inner, leaf.client.domain(), &leaf.client);
        }
        audience
    }

    fn add(&mut self, inner: &Inner, provider: Domain, client: &ClientUri) {
        if inner.is_ours(&provider) {
            self.devices.insert(client.clone());
        } else {
            self.peers.insert(provider);
        }
    }
}

impl Delivery {
    /// Appends the event to the room and owes it to everyone, in the caller's transaction.
    pub(super) fn write(&self, tx: &mut Tx<'_>, room: &RoomUri, accepted_at: Millis) -> Result<(), StoreError> {
        let event = self.event(accepted_at, self.body.clone());
        let appended = events::append(tx, room, &event)?;
        self.owe(tx, room, appended)
    }

    /// The same for an application message, with the number that the room has given it and the hub's frank.
    pub(super) fn write_as(
        &self,
        tx: &mut Tx<'_>,
        room: &RoomUri,
        accepted: Accepted,
        frank: Option<Frank>,
    ) -> Result<(), StoreError> {
        let message = self.body.message().clone();
        let event = self.event(accepted.at, FanoutBody::Application { message, frank });
        let appended = events::put(tx, room, accepted.seq, &event)?;
        self.owe(tx, room, appended)
    }

    fn event(&self, accepted_at: Millis, body: FanoutBody) -> NewEvent {
        NewEvent {
            kind: self.kind,
            epoch: self.epoch,
            accepted_at,
            message_hash: body.message().hash(),
            fanout: FanoutMessage { timestamp: accepted_at, body }.encode(),
        }
    }

    fn owe(&self, tx: &mut Tx<'_>, room: &RoomUri, appended: Appended) -> Result<(), StoreError> {
        let own = room.domain();
        for peer in &self.audience.peers {
            outbox::enqueue(tx, room, peer, &own, appended)?;
        }
        streams::push_event(tx, &self.audience.devices, room, appended.seq)
    }
}

/// The commit to everyone who had a client before it, then the Welcome to everyone it lets in. A provider without
/// a client before the commit gets only the Welcome (correction C-7). `external_proposals` are the hub's own, stapled to
/// the commit that voided what they repeat.
pub(super) fn of_commit(
    inner: &Inner,
    hosted: &Hosted,
    (bundle, external_proposals): (&CommitBundle, Vec<MlsMessage>),
    staged: &StagedChange,
) -> Result<Vec<Delivery>, GatewayError> {
    let change = &staged.change;
    let mut deliveries = vec![Delivery {
        kind: EventKind::Commit,
        epoch: change.before.epoch,
        body: FanoutBody::Commit { message: bundle.commit.clone(), external_proposals },
        audience: Audience::of(inner, still_here(hosted)),
    }];
    if let Some(welcome) = &bundle.welcome {
        let tree = staged.group().ratchet_tree().map_err(GatewayError::internal)?;
        deliveries.push(Delivery {
            kind: EventKind::Welcome,
            epoch: change.after.epoch,
            body: FanoutBody::Welcome { message: welcome.message(), tree: RatchetTreeOption::Full(tree) },
            audience: welcomed(inner, change)?,
        });
    }
    Ok(deliveries)
}

/// The proposals of one bundle as one event.
pub(super) fn of_proposals(inner: &Inner, hosted: &Hosted, messages: &[MlsMessage]) -> Vec<Delivery> {
    let Some((first, more)) = messages.split_first() else { return Vec::new() };
    vec![Delivery {
        kind: EventKind::Proposal,
        epoch: hosted.view().epoch,
        body: FanoutBody::Proposal { message: first.clone(), more: more.to_vec() },
        audience: Audience::of(inner, still_here(hosted)),
    }]
}

/// Clients in the group that are not gone.
fn still_here(hosted: &Hosted) -> impl Iterator<Item = &Arc<Leaf>> {
    hosted.view().leaves.iter().filter(|leaf| !hosted.restrictions.is_gone(leaf))
}

/// An application message, withheld from users who are blocked or whose role may not receive messages: from our own
/// devices one by one, from another provider only when none of its users may have it (room policy, canReceiveMessage).
pub(super) fn of_message(inner: &Inner, hosted: &Hosted, epoch: u64, message: &MlsMessage) -> Delivery {
    let may_receive = |leaf: &&Arc<Leaf>| {
        !hosted.restrictions.is_gone(leaf)
            && hosted.effective.holds(&hosted.state, &leaf.user, Capability::RECEIVE_MESSAGE)
    };
    Delivery {
        kind: EventKind::Message,
        epoch,
        body: FanoutBody::Application { message: message.clone(), frank: None },
        audience: Audience::of(inner, hosted.view().leaves.iter().filter(may_receive)),
    }
}

/// Whose KeyPackages the commit's Adds used: as the claims recorded it, else by the client's own name (reading D-42).
fn welcomed(inner: &Inner, change: &Change) -> Result<Audience, GatewayError> {
    let added: BTreeMap<Vec<u8>, &ClientUri> = change
        .parts
        .iter()
        .filter_map(|part| match &part.effect {
            Effect::Add { client, key_package_ref, .. } => Some((key_package_ref.clone(), client)),
            _ => None,
        })
        .collect();
    let references: Vec<Vec<u8>> = added.keys().cloned().collect();
    let routes = inner.store.read(|conn| routes::lookup(conn, &references))?;
    let mut audience = Audience::default();
    for (reference, client) in added {
        let provider = routes.get(&reference).cloned().unwrap_or_else(|| client.domain());
        audience.add(inner, provider, client);
    }
    Ok(audience)
}

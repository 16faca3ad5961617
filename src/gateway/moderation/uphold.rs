//! What takes clients out of a group, carried out. Of several replicas that try, one makes the proposals: the others find
//! that the room has moved on.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_core::mls::{Change, Effect, GroupView, Leaf, external_proposal};
use portcullis_core::policy::Question;
use portcullis_core::room::{self, RoomState};
use portcullis_core::time::Millis;
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::proposals::{self, PendingProposal};
use portcullis_store::restrictions::{self, GoneLeaf, Grounds, Place, Restriction};
use portcullis_store::{StoreError, Tx, rooms};
use serde_json::json;
use uuid::Uuid;

use super::super::decide::{Case, Decision, question};
use super::super::fan_out;
use super::super::reissue;
use super::super::rooms::Hosted;
use super::super::{GatewayError, Inner};

/// How often a room is looked at again because it moved on meanwhile.
const ATTEMPTS: usize = 16;
/// Most proposals that wait for a commit when the hub adds its own: members must have room for theirs.
pub(in super::super) const MOST_PENDING: usize = 192;

/// What a group that has moved on has settled.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Settled {
    /// Whose clients are out.
    done: Vec<Restriction>,
    /// What has served its purpose, for nobody it is about is listed any longer.
    ended: Vec<Restriction>,
    /// Who leaves, although an external commit has voided that, and leaves of clients that have come back beside them.
    imposed: Vec<(Restriction, Grounds)>,
}

impl Settled {
    pub(in super::super) fn is_empty(&self) -> bool {
        self.done.is_empty() && self.ended.is_empty() && self.imposed.is_empty()
    }

    /// An external commit voids what takes leaving users off the list, and the hub cannot propose that again (correction
    /// C-6): they are out all the same, until a member does (reading D-53).
    pub(in super::super) fn left(&mut self, hosted: &Hosted, decision: Uuid) {
        let left = hosted.effective.leaving().iter().map(|user| {
            let reason = "left_the_room".to_owned();
            let grounds = Grounds { by: user.to_string(), reason, decision: Some(decision), ..Grounds::default() };
            (Restriction::Removal(user.clone()), grounds)
        });
        self.imposed.extend(left);
    }

    /// A client that has lost its state and its keys cannot take its former leaf out by its external commit: the hub does. With
    /// its keys it has put the new leaf in the place of the former, and nothing has to go any more.
    pub(in super::super) fn came_back(&mut self, hosted: &Hosted, change: &Change, decision: Uuid) {
        let Some(joiner) = change.joiner() else { return };
        self.done.extend(owed_of(hosted, joiner));
        let former = change.after.leaves.iter().filter(|leaf| leaf.client == joiner.client && ***leaf != *joiner);
        self.imposed.extend(former.map(|leaf| {
            let reason = "came_back_with_another_key".to_owned();
            let grounds =
                Grounds { by: joiner.user.to_string(), reason, decision: Some(decision), ..Grounds::default() };
            (Restriction::Leaf(GoneLeaf::new(leaf.client.clone(), leaf.signature_key.clone())), grounds)
        }));
    }

    /// Notes it, in the transaction that moves the room on.
    pub(in super::super) fn write(&self, tx: &mut Tx<'_>, room: &RoomUri, at: Millis) -> Result<(), StoreError> {
        let place = Place::from(room);
        self.done.iter().try_for_each(|restriction| restrictions::settle(tx, &place, restriction, at))?;
        self.ended.iter().try_for_each(|restriction| restrictions::end(tx, &place, restriction, at).map(drop))?;
        let mut imposed = self.imposed.iter();
        imposed.try_for_each(|(goes, grounds)| restrictions::impose(tx, &place, goes, grounds, at).map(drop))
    }
}

/// What would take out a client that comes back with the keys of its former leaf.
pub(in super::super) fn owed_of(hosted: &Hosted, joiner: &Leaf) -> Option<Restriction> {
    let gone = Restriction::Leaf(GoneLeaf::new(joiner.client.clone(), joiner.signature_key.clone()));
    hosted.restrictions.owed.contains_key(&gone).then_some(gone)
}

/// What of the restrictions of a room the group `view`, with its participants in `state`, has carried out.
pub(in super::super) fn settled(hosted: &Hosted, view: &GroupView, state: &RoomState) -> Settled {
    let restrictions = &hosted.restrictions;
    let out = |restriction: &&Restriction| !view.leaves.iter().any(|leaf| restriction.takes_out(leaf));
    let gone = |restriction: &&Restriction| {
        let listed = || state.participants().keys().any(|user| restriction.ends_rights_of(user));
        ends_off_the_list(restriction) && out(restriction) && !listed()
    };
    Settled {
        done: restrictions.owed.keys().filter(out).cloned().collect(),
        ended: restrictions.here.iter().filter(gone).cloned().collect(),
        imposed: Vec::new(),
    }
}

/// Whether it has served its purpose once the user is off the participant list.
pub(in super::super) fn ends_off_the_list(restriction: &Restriction) -> bool {
    match restriction {
        Restriction::Removal(_) | Restriction::Provider(_) | Restriction::Deprovisioned(_) => true,
        Restriction::Ban(_) | Restriction::Kick(_) | Restriction::Device(_) | Restriction::Leaf(_) => false,
        Restriction::Freeze | Restriction::LegalHold | Restriction::Mute(_) => false,
    }
}

/// Clients that are to go, by users, and are in no proposal yet.
fn due(hosted: &Hosted) -> BTreeMap<UserUri, Vec<u32>> {
    let pending = hosted.group.pending();
    let proposed: BTreeSet<u32> = pending
        .iter()
        .filter_map(|part| match part.effect {
            Effect::Remove { leaf, .. } | Effect::SelfRemove { leaf, .. } => Some(leaf),
            _ => None,
        })
        .collect();
    let owed = &hosted.restrictions.owed;
    let mut due: BTreeMap<UserUri, Vec<u32>> = BTreeMap::new();
    let most = MOST_PENDING.saturating_sub(pending.len());
    let leaves = hosted
        .view()
        .leaves
        .iter()
        .filter(|leaf| !proposed.contains(&leaf.index) && owed.keys().any(|owed| owed.takes_out(leaf)));
    for leaf in leaves.take(most) {
        due.entry(leaf.user.clone()).or_default().push(leaf.index);
    }
    due
}

/// Proposals of the hub that a commit can carry, and policy allows.
struct Ready {
    messages: Vec<MlsMessage>,
    decision: Decision,
    references: Vec<Vec<u8>>,
}

/// Proposes what is owed in a room of ours and not proposed, and notes what a commit has carried out.
///
/// # Errors
///
/// [`GatewayError`]; it is tried again.
pub(in super::super) fn uphold(inner: &Inner, room: &RoomUri) -> Result<(), GatewayError> {
    if !inner.hosts(room) {
        return Ok(());
    }
    for _ in 0..ATTEMPTS {
        let hosted = match inner.hosted(room) {
            Ok(hosted) => hosted,
            Err(GatewayError::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        };
        match step(inner, &hosted)? {
            Ok(()) => return Ok(()),
            Err(StoreError::EpochMoved { .. }) => inner.rooms.forget_as(room, hosted.seen),
            Err(error) => return Err(error.into()),
        }
    }
    Err(GatewayError::busy("the room changes faster than its restrictions can be carried out"))
}

fn step(inner: &Inner, hosted: &Hosted) -> Result<Result<(), StoreError>, GatewayError> {
    let settled = settled(hosted, hosted.view(), &hosted.state);
    let (ready, obstacles) = prepare(inner, hosted, &due(hosted))?;
    let news: Vec<(Restriction, String)> =
        obstacles.into_iter().filter(|(owed, why)| hosted.restrictions.owed.get(owed) != Some(why)).collect();
    if ready.is_none() && settled.is_empty() && news.is_empty() {
        return Ok(Ok(()));
    }
    let (room, seen, now) = (hosted.room.clone(), hosted.seen, inner.clock.now());
    let hub = UserUri::provider(&room.domain());
    let ready = ready.map(|Ready { messages, decision, references }| {
        let deliveries = fan_out::of_proposals(inner, hosted, &messages);
        let pending: Vec<PendingProposal> = references
            .into_iter()
            .zip(&messages)
            .map(|(reference, message)| decision.proposal(reference, message, &hub))
            .collect();
        (pending, deliveries, decision.record)
    });
    let written = inner.store.write(hosted.room.as_str(), move |tx: &mut Tx<'_>| {
        // As much as that the room is as it was seen.
        let accepted_at = rooms::accept_proposals(tx, &room, seen, now)?;
        if let Some((pending, deliveries, record)) = &ready {
            for proposal in pending {
                proposals::add(tx, &room, seen.epoch, &PendingProposal { accepted_at, ..proposal.clone() })?;
            }
            for delivery in deliveries {
                delivery.write(tx, &room, accepted_at)?;
            }
            tx.stage(record)?;
        }
        settled.write(tx, &room, now)?;
        for (restriction, why) in &news {
            if restrictions::obstruct(tx, &Place::from(&room), restriction, why)? && !why.is_empty() {
                tx.stage(&AuditRecord {
                    room: Some(room.clone()),
                    reason: why.clone(),
                    detail: json!({ "restriction": restriction.name(), "subject": restriction.subject() }),
                    ..AuditRecord::new(Uuid::now_v7(), now, "moderation.obstructed", Outcome::Alarm)
                })?;
            }
        }
        Ok(())
    });
    inner.rooms.forget_as(&hosted.room, hosted.seen);
    Ok(written)
}

/// What the hub proposes, and what is in the way of the rest, by what is owed; empty for what no longer is.
fn prepare(
    inner: &Inner,
    hosted: &Hosted,
    due: &BTreeMap<UserUri, Vec<u32>>,
) -> Result<(Option<Ready>, BTreeMap<Restriction, String>), GatewayError> {
    let mut obstacles = BTreeMap::new();
    if due.is_empty() {
        // Somebody else has proposed it, or it was the room that was in the way.
        let cleared = hosted.restrictions.owed.iter().filter(|(_, why)| !why.is_empty());
        obstacles.extend(cleared.map(|(owed, _)| (owed.clone(), String::new())));
        return Ok((None, obstacles));
    }
    let all: Vec<u32> = due.values().flatten().copied().collect();
    let mut ready = propose(inner, hosted, &all)?;
    let mut obstructed: BTreeMap<&UserUri, String> = BTreeMap::new();
    if let Err(why) = &ready {
        // One of them may be all that is in the way: a room that needs its last administrator, say.
        let mut good: Vec<u32> = Vec::new();
        let mut last = Err(why.clone());
        for (user, leaves) in due {
            let with: Vec<u32> = good.iter().chain(leaves).copied().collect();
            match propose(inner, hosted, &with)? {
                Ok(possible) => (good, last) = (with, Ok(possible)),
                Err(why) => drop(obstructed.insert(user, why)),
            }
        }
        ready = last;
    }
    for owed in hosted.restrictions.owed.keys() {
        let why = obstructed.iter().find(|(user, _)| owed.concerns(user)).map(|(_, why)| why.clone());
        obstacles.insert(owed.clone(), why.unwrap_or_default());
    }
    Ok((ready.ok(), obstacles))
}

/// Removes of these leaves by the hub, or why there can be none.
fn propose(inner: &Inner, hosted: &Hosted, leaves: &[u32]) -> Result<Result<Ready, String>, GatewayError> {
    let (view, now) = (hosted.view(), inner.clock.now());
    let Some((own, key)) = reissue::position(inner, hosted)? else {
        return Ok(Err("hub_is_no_external_sender".to_owned()));
    };
    let messages: Vec<MlsMessage> = leaves
        .iter()
        .map(|leaf| external_proposal::remove(view, own, *leaf, key).map_err(GatewayError::internal))
        .collect::<Result<_, _>>()?;
    let proposed = match hosted.group.inspect_proposals(&messages, now) {
        Ok(proposed) => proposed,
        Err(error) => return Ok(Err(format!("mls.{}", error.reason()))),
    };
    let actions = match room::proposed_actions(view, &hosted.state, &hosted.group.pending(), &proposed.parts) {
        Ok(prospect) => prospect.actions,
        Err(violation) => return Ok(Err(format!("room.{}", violation.code()))),
    };
    let hub = hosted.room.domain();
    let case = Case {
        kind: "decision.proposal",
        room: Some(&hosted.room),
        actor: Some(UserUri::provider(&hub).to_string()),
        peer: hub.clone(),
        epoch: Some(view.epoch),
        exchange: messages.first().map(MlsMessage::hash),
        now,
    };
    let group = (view.suite, view.epoch);
    let questions: Vec<Question<'_>> =
        actions.iter().map(|action| question(&hosted.facts, action, group, &hub, now)).collect();
    let decision = case.decide(&inner.policy.active(), &questions);
    if !decision.allow {
        return Ok(Err(decision.record.reason));
    }
    let references = proposed.references().map(<[u8]>::to_vec).collect();
    Ok(Ok(Ready { messages, decision, references }))
}

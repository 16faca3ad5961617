//! From a change to its actions.

use std::sync::Arc;

use crate::mls::component_updates::{self, ComponentUpdate};
use crate::mls::{Change, ComponentOperation, Effect, GroupView, Leaf, Part, Sender};
use crate::wire::components::{Capability, ComponentId, Participant, ParticipantList};

use super::membership::{Joiner, Membership};
use super::operations::{Operations, Origin};
use super::settings::by_role;
use super::state::UNLISTED;
use super::{Action, Actor, Admission, Breach, RoomState, Rule, Violation, capable, invariants, settings};

/// What a commit does to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consequences {
    /// In the order list, clients, components, rest.
    pub actions: Vec<Action>,
    /// The room after the commit.
    pub room: RoomState,
}

/// What proposals would do to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prospect {
    /// What the new ones do.
    pub actions: Vec<Action>,
    /// The group as it would be if they were committed with those that are pending.
    pub after: GroupView,
}

/// What a commit does to a room.
///
/// `room` is the room before the commit. `admission` is what the answer to the joiner's groupInfo request granted
/// (reading D-46); members need none. What the commit cites was decided when it was proposed: its actions carry the
/// reference. The committer answers for its own part of the commit, and if it has none, for committing.
///
/// # Errors
///
/// A [`Violation`] of a rule that no role and no policy can lift.
pub fn actions(change: &Change, room: &RoomState, admission: Option<&Admission>) -> Result<Consequences, Violation> {
    let joiner = match &change.sender {
        Sender::Member { .. } => None,
        Sender::Joiner { user, .. } => {
            admitted(change, room, admission).map_err(|violation| violation.about(user))?;
            let code = admission.and_then(Admission::code);
            change.joiner().map(|leaf| Joiner { applicant: leaf.into(), code })
        }
    };
    let Consequences { mut actions, room: post } =
        judge(&change.parts, room, (&change.before, &change.after), joiner, true)?;
    let committer = Actor::User(change.sender.user().clone());
    let origin = Origin { actor: committer.clone(), client: None, external: joiner.is_some(), reference: None };
    if joiner.is_some() && room.uses(Capability::SEND_MLS_EXTERNAL_COMMIT) {
        actions.push(by_role(Rule::External, Capability::SEND_MLS_EXTERNAL_COMMIT, &origin, room));
    }
    if !actions.iter().any(|action| action.actor == committer && action.reference.is_none()) {
        actions.push(only_sent(&origin, room));
    }
    Ok(Consequences { actions, room: post })
}

/// What new proposals would do to a room, together with those that are pending: whatever is accepted must still be
/// possible to commit. Only the actions of the new ones are given, and at least one for each who proposes.
///
/// # Errors
///
/// A [`Violation`] of a rule that no role and no policy can lift; [`Breach::Blocked`] for a user whose removal or ban
/// is pending and who proposes more than taking its own clients out (reading D-51).
pub fn proposed_actions(
    before: &GroupView,
    room: &RoomState,
    pending: &[Part],
    new: &[Part],
) -> Result<Prospect, Violation> {
    let blocked = room.blocked(pending);
    for part in new {
        let Actor::User(user) = Origin::of(part)?.actor else { continue };
        let own_client = matches!(&part.effect,
            Effect::Remove { user: of, .. } | Effect::SelfRemove { user: of, .. } if *of == user);
        if blocked.contains(&user) && !own_client {
            return Err(Violation::from(Breach::Blocked).about(&user).proposed_as(part.reference.as_ref()));
        }
    }
    let parts: Vec<Part> = pending.iter().chain(new).cloned().collect();
    let after = as_if_committed(before, room, &parts)?;
    let Consequences { mut actions, .. } = judge(&parts, room, (before, &after), None, false)?;
    actions.retain(|action| new.iter().any(|part| part.reference == action.reference));
    for part in new {
        let origin = Origin::of(part)?;
        if !actions.iter().any(|action| action.actor == origin.actor) {
            actions.push(only_sent(&origin, room));
        }
    }
    Ok(Prospect { actions, after })
}

/// A27 of somebody who does nothing of its own, so that it too is decided about.
fn only_sent(origin: &Origin, room: &RoomState) -> Action {
    let action = by_role(Rule::Maintain, Capability::SEND_MLS_UPDATE_PROPOSAL, origin, room);
    Action { alternative_granted: true, ..action }
}

fn judge(
    parts: &[Part],
    room: &RoomState,
    (before, after): (&GroupView, &GroupView),
    joiner: Option<Joiner<'_>>,
    committed: bool,
) -> Result<Consequences, Violation> {
    let operations = Operations::of(parts, room)?;
    let post = room.next(before, after)?;
    let leaves = &before.leaves;
    let membership = Membership { operations: &operations, before: room, post: &post, leaves, joiner, committed };
    let mut actions = membership.actions()?;
    actions.extend(settings::actions(&operations.components, room, &post, after)?);
    actions.extend(upkeep(&operations, room));
    actions.extend(from_outside(parts, room)?);
    invariants::check(parts, &operations, room, &post, after)?;
    capable::check(parts, (room, &post), (before, after))?;
    Ok(Consequences { actions, room: post })
}

/// A27: Updates and PSKs, which take a capability only where a room uses it (reading P-21).
fn upkeep(operations: &Operations, room: &RoomState) -> Vec<Action> {
    let action = |capability, origin: &Origin| Action {
        alternative_granted: !room.uses(capability),
        ..by_role(Rule::Maintain, capability, origin, room)
    };
    operations
        .upkeep
        .iter()
        .map(|upkeep| match upkeep.psk {
            true => action(Capability::SEND_MLS_PSK_PROPOSAL, &upkeep.origin),
            false => action(Capability::SEND_MLS_UPDATE_PROPOSAL, &upkeep.origin),
        })
        .collect()
}

/// A28: proposals from outside the group, by the switch of the operational parameters and by P-21.
fn from_outside(parts: &[Part], room: &RoomState) -> Result<Vec<Action>, Violation> {
    let allowed = room.operational().is_none_or(|operational| operational.external_proposal_allowed);
    let mut actions = Vec::new();
    for part in parts {
        let origin = Origin::of(part)?;
        if !origin.external || origin.reference.is_none() {
            continue;
        }
        if !allowed {
            return Err(origin.violation(Breach::ExternalProposal));
        }
        if room.uses(Capability::SEND_MLS_EXTERNAL_PROPOSAL) {
            actions.push(by_role(Rule::External, Capability::SEND_MLS_EXTERNAL_PROPOSAL, &origin, room));
        }
    }
    Ok(actions)
}

/// Whether the joiner is the client that was admitted, and does nothing but join.
fn admitted(change: &Change, room: &RoomState, admission: Option<&Admission>) -> Result<(), Violation> {
    room.external_commits_allowed()?;
    let Sender::Joiner { user, .. } = &change.sender else { return Ok(()) };
    let covered = admission.zip(change.joiner()).is_some_and(|(admission, leaf)| admission.covers(leaf));
    if !covered {
        return Err(Breach::NotAdmitted.into());
    }
    for part in &change.parts {
        let joins = match &part.effect {
            Effect::SelfRemove { .. } => part.reference.is_some(),
            Effect::ExternalInit | Effect::Component { id: ComponentId::PARTICIPANT_LIST, .. } => {
                part.reference.is_none()
            }
            Effect::Remove { user: of, .. } => part.reference.is_none() && of == user,
            _ => false,
        };
        if !joins {
            return Err(Violation::from(Breach::ExternalContent).proposed_as(part.reference.as_ref()));
        }
    }
    let operations = Operations::of(&change.parts, room)?;
    match operations.list.keys().find(|listed| *listed != user) {
        Some(_) => Err(Breach::ExternalContent.into()),
        None => Ok(()),
    }
}

/// The group as it would be if `parts` were committed by a member.
fn as_if_committed(before: &GroupView, room: &RoomState, parts: &[Part]) -> Result<GroupView, Violation> {
    let mut after = before.clone();
    let operations = Operations::of(parts, room)?;
    let kept = room.list().iter().filter(|listed| !operations.list.contains_key(&listed.user)).cloned();
    let moved = operations.list.values().filter(|moved| moved.to != UNLISTED);
    let moved = moved.map(|moved| Participant { user: moved.user.clone(), role_index: moved.to });
    let participants = kept.chain(moved).collect();
    after.components.write(&ParticipantList { participants });
    for part in parts {
        match &part.effect {
            Effect::Remove { leaf, .. } | Effect::SelfRemove { leaf, .. } => {
                after.leaves.retain(|kept| kept.index != *leaf);
            }
            Effect::Add { client, user, says, .. } => {
                let index = after.leaves.iter().map(|leaf| leaf.index).max().map_or(0, |last| last.saturating_add(1));
                let (client, user, says) = (client.clone(), user.clone(), Arc::clone(says));
                after.leaves.push(Leaf { index, client, user, signature_key: Vec::new(), says }.into());
            }
            Effect::Component { id: ComponentId::PARTICIPANT_LIST, .. } => {}
            Effect::Component {
                id: id @ ComponentId::JOIN_LINKS,
                operation: operation @ ComponentOperation::Update(_),
            } => {
                // Not replaced, but added to and taken from.
                let update = ComponentUpdate { component: *id, operation: operation.clone() };
                let mut changes =
                    component_updates::apply(&before.components, &[update]).map_err(|_| Breach::Malformed)?;
                changes.remove(id).flatten().and_then(|links| after.components.insert(*id, links));
            }
            Effect::Component { id, operation: ComponentOperation::Update(data) } => {
                after.components.insert(*id, data.clone());
            }
            Effect::Component { id, operation: ComponentOperation::Remove } => {
                after.components.remove(*id);
            }
            Effect::Update { leaf, says, .. } => {
                let renewed = after.leaves.iter_mut().filter(|kept| kept.index == *leaf);
                renewed.for_each(|kept| Arc::make_mut(kept).says = Arc::clone(says));
            }
            Effect::ExternalInit | Effect::GroupContextExtensions | Effect::ReInit | Effect::Psk | Effect::Other(_) => {
            }
        }
    }
    Ok(after)
}

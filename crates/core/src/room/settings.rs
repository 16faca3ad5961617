//! A17..A23: changes of components other than the participant list.

use crate::mls::GroupView;
use crate::wire::components::{Capability, ComponentId, RoomMetadata};

use super::operations::{ComponentChange, Origin};
use super::{Action, Breach, RoomState, Rule, Violation, well_formed};

/// What the component changes do.
///
/// # Errors
///
/// Components that this build does not carry out, or whose new data is not well formed.
pub(super) fn actions(
    changes: &[ComponentChange],
    before: &RoomState,
    post: &RoomState,
    after: &GroupView,
) -> Result<Vec<Action>, Violation> {
    let mut actions = Vec::new();
    for change in changes {
        well_formed::component(change.id, after.components.get(change.id), post)
            .map_err(|breach| change.origin.violation(breach))?;
        if [ComponentId::JOIN_LINKS, ComponentId::JOIN_LINK_POLICY].contains(&change.id) {
            well_formed::join_links(post, &after.components).map_err(|breach| change.origin.violation(breach))?;
        }
        match change.id {
            ComponentId::ROOM_METADATA => {
                for capability in metadata(before, post).map_err(|breach| change.origin.violation(breach))? {
                    actions.push(plain(Rule::ChangeMetadata, capability, change, before));
                }
            }
            ComponentId::ROLES_LIST => {
                actions.push(plain(Rule::ChangeRoles, Capability::CHANGE_ROLE_DEFINITIONS, change, before));
            }
            ComponentId::PREAUTH_LIST => {
                actions.push(plain(Rule::ChangePreauth, Capability::CHANGE_PREAUTHORIZED_USER_LIST, change, before));
            }
            ComponentId::BASE_ROOM_POLICY => {
                if before.base_policy().parent_room != post.base_policy().parent_room {
                    return Err(change.origin.violation(Breach::Parent));
                }
                actions.push(plain(Rule::ChangeBasePolicy, Capability::CHANGE_ROOM_MEMBERSHIP_STYLE, change, before));
            }
            ComponentId::JOIN_LINKS => {
                for capability in join_links(before, post) {
                    actions.push(reserved(Rule::ChangeJoinLinks, capability, change, before));
                }
            }
            ComponentId::MLS_OPERATIONAL_POLICY => {
                actions.push(reserved(
                    Rule::ChangeOperational,
                    Capability::CHANGE_MLS_OPERATIONAL_POLICIES,
                    change,
                    before,
                ));
            }
            _ => {
                actions.push(reserved(Rule::ChangePolicy, Capability::CHANGE_OTHER_POLICY_ATTRIBUTE, change, before));
            }
        }
    }
    Ok(actions)
}

/// A17: one capability for each field that changes; the room's identifier never does.
fn metadata(before: &RoomState, post: &RoomState) -> Result<Vec<Capability>, Breach> {
    let new = post.metadata().ok_or(Breach::ComponentRemoval)?;
    let Some(old) = before.metadata() else {
        return Ok(FIELDS.iter().map(|(capability, _)| *capability).collect());
    };
    if old.room != new.room {
        return Err(Breach::Metadata);
    }
    Ok(FIELDS.iter().filter(|(_, same)| !same(old, new)).map(|(capability, _)| *capability).collect())
}

/// A23: one capability for links that come, another for those that go.
fn join_links(before: &RoomState, post: &RoomState) -> Vec<Capability> {
    let missing = |of: &RoomState, from: &RoomState| {
        of.join_links().links.iter().any(|link| !from.join_links().links.contains(link))
    };
    let comes = missing(post, before).then_some(Capability::CREATE_JOIN_CODE);
    let goes = missing(before, post).then_some(Capability::DELETE_JOIN_CODE);
    comes.into_iter().chain(goes).collect()
}

type Same = fn(&RoomMetadata, &RoomMetadata) -> bool;

const FIELDS: [(Capability, Same); 5] = [
    (Capability::CHANGE_ROOM_NAME, |a, b| a.name == b.name),
    (Capability::CHANGE_ROOM_DESCRIPTION, |a, b| a.descriptions == b.descriptions),
    (Capability::CHANGE_ROOM_AVATAR, |a, b| a.avatar == b.avatar),
    (Capability::CHANGE_ROOM_SUBJECT, |a, b| a.subject == b.subject),
    (Capability::CHANGE_ROOM_MOOD, |a, b| a.mood == b.mood),
];

fn plain(rule: Rule, capability: Capability, change: &ComponentChange, before: &RoomState) -> Action {
    by_role(rule, capability, &change.origin, before)
}

/// An action by a reserved capability; where no role has it, another one stands in (reading P-12).
fn reserved(rule: Rule, capability: Capability, change: &ComponentChange, before: &RoomState) -> Action {
    let stand_in = before.alternative(rule, capability, before.role_of(&change.origin.actor.uri()));
    Action { alternative_granted: stand_in, ..plain(rule, capability, change, before) }
}

/// An action that concerns no user but its actor, whose role it leaves alone.
pub(super) fn by_role(rule: Rule, capability: Capability, origin: &Origin, before: &RoomState) -> Action {
    let role = before.role_of(&origin.actor.uri());
    Action {
        rule,
        capability,
        actor: origin.actor.clone(),
        target: None,
        from_role: role,
        to_role: role,
        transition_authorized: true,
        alternative_granted: false,
        preauthorized: false,
        external: origin.external,
        reference: origin.reference.clone(),
    }
}

//! Check 8: every user with a client in the group is in its participant list. Roles are for the room to judge; a user
//! who is listed without a client is merely inactive.

use std::collections::BTreeSet;

use crate::mls::{ComponentOperation, Effect, GroupView, Leaf, Part};
use crate::wire::Wire as _;
use crate::wire::components::{ComponentId, ParticipantListUpdate};

use super::CheckId;

pub(in crate::mls) fn check(group: &GroupView) -> Result<(), CheckId> {
    listed(group, |_| true)
}

/// The same for what `parts` make of `before`, for which it held.
pub(in crate::mls) fn check_next(before: &GroupView, parts: &[Part], after: &GroupView) -> Result<(), CheckId> {
    if !all_stay(parts) {
        return check(after);
    }
    let mut known = before.leaves.iter().peekable();
    listed(after, |leaf| {
        while known.next_if(|known| known.index < leaf.index).is_some() {}
        known.peek().is_none_or(|known| known.index != leaf.index || known.user != leaf.user)
    })
}

/// Whether nobody is taken off the list.
fn all_stay(parts: &[Part]) -> bool {
    parts.iter().all(|part| match &part.effect {
        Effect::Component { id: ComponentId::PARTICIPANT_LIST, operation: ComponentOperation::Update(data) } => {
            ParticipantListUpdate::decode(data).is_ok_and(|update| update.removed.is_empty())
        }
        Effect::Component { id: ComponentId::PARTICIPANT_LIST, operation: ComponentOperation::Remove } => false,
        _ => true,
    })
}

/// Whether the users of those leaves are listed.
fn listed(group: &GroupView, mut of: impl FnMut(&Leaf) -> bool) -> Result<(), CheckId> {
    let mut users: BTreeSet<_> = group.leaves.iter().filter(|leaf| of(leaf)).map(|leaf| &leaf.user).collect();
    if users.is_empty() {
        return Ok(());
    }
    let Ok(Some(list)) = group.components.participants() else { return Err(CheckId::Participants) };
    for participant in &list.participants {
        users.remove(&participant.user);
    }
    if users.is_empty() { Ok(()) } else { Err(CheckId::Participants) }
}

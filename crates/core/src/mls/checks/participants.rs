//! Check 8: every user with a client in the group is in its participant list. Roles are for the room to judge; a user
//! who is listed without a client is merely inactive.

use std::collections::HashSet;

use crate::mls::{ComponentOperation, Effect, GroupView, Part};
use crate::wire::Wire as _;
use crate::wire::components::{ComponentId, ParticipantList, ParticipantListUpdate};

use super::CheckId;

/// Whether nobody is taken off the list.
pub(in crate::mls) fn all_stay(parts: &[Part]) -> bool {
    parts.iter().all(|part| match &part.effect {
        Effect::Component { id: ComponentId::PARTICIPANT_LIST, operation: ComponentOperation::Update(data) } => {
            ParticipantListUpdate::decode(data).is_ok_and(|update| update.removed.is_empty())
        }
        Effect::Component { id: ComponentId::PARTICIPANT_LIST, operation: ComponentOperation::Remove } => false,
        _ => true,
    })
}

pub(in crate::mls) fn check(after: &GroupView) -> Result<(), CheckId> {
    let Ok(Some(list)) = after.components.read::<ParticipantList>() else { return Err(CheckId::Participants) };
    let listed: HashSet<_> = list.participants.iter().map(|participant| &participant.user).collect();
    let all = after.leaves.iter().all(|leaf| listed.contains(&leaf.user));
    if all { Ok(()) } else { Err(CheckId::Participants) }
}

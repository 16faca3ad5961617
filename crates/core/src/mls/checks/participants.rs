//! Check 8: every user with a client in the group is in its participant list. Roles are for the room to judge; a user
//! who is listed without a client is merely inactive.

use std::collections::HashSet;

use crate::mls::GroupView;
use crate::wire::components::ParticipantList;

use super::CheckId;

pub(in crate::mls) fn check(after: &GroupView) -> Result<(), CheckId> {
    let Ok(Some(list)) = after.components.read::<ParticipantList>() else { return Err(CheckId::Participants) };
    let listed: HashSet<_> = list.participants.iter().map(|participant| &participant.user).collect();
    let all = after.leaves.iter().all(|leaf| listed.contains(&leaf.user));
    if all { Ok(()) } else { Err(CheckId::Participants) }
}

//! How a room starts.

use crate::mls::GroupView;
use crate::wire::components::ComponentId;
use crate::wire::uri::{RoomUri, UserUri};

use super::{Breach, RoomError, RoomState, Violation, invariants, well_formed};

/// Reads the first group of `room`, which holds clients of its creator only, and checks what must hold from the start
/// (invariants 3 to 12).
///
/// # Errors
///
/// [`RoomError`]: the components are not those of a room, another user has a client, or a policy component is not well
/// formed or not carried out here.
pub fn found(group: &GroupView, room: &RoomUri, creator: &UserUri) -> Result<RoomState, RoomError> {
    let state = running(group, room)?;
    if !state.clients().keys().eq([creator]) {
        return Err(Violation::from(Breach::Founding).about(creator).into());
    }
    invariants::check_founding(&state, group)?;
    Ok(state)
}

/// Reads the group of `room` in any epoch, and checks what each epoch must hold: that it is the group of this room, and
/// that each component is well formed and carried out here. What only a change can break is for its own checks.
///
/// # Errors
///
/// [`RoomError`] as [`found`].
pub fn running(group: &GroupView, room: &RoomUri) -> Result<RoomState, RoomError> {
    let state = RoomState::read(group)?;
    if state.metadata().is_some_and(|metadata| metadata.room != *room) {
        return Err(Violation::from(Breach::Metadata).into());
    }
    for (id, data) in group.components.iter() {
        // Fixed from the start: no commit can change them.
        let fixed = matches!(
            id,
            ComponentId::APP_COMPONENTS
                | ComponentId::SAFE_AAD
                | ComponentId::CONTENT_MEDIA_TYPES
                | ComponentId::FRANKING_AGENT
        );
        if !fixed {
            well_formed::component(id, Some(data), &state).map_err(Violation::from)?;
        }
    }
    Ok(state)
}

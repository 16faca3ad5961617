//! Invariant 9: who is in a dependent room takes part in its parent (reading P-18). Only the hub of both sees that.

use crate::wire::components::Capability;
use crate::wire::uri::UserUri;

use super::{Action, Breach, Effective, RoomState, Violation};

/// The parent of a dependent room, as its group says it is and as accepted proposals and moderators have made it.
#[derive(Clone, Copy, Debug)]
pub struct Parent<'a> {
    /// The room.
    pub state: &'a RoomState,
    /// Whose rights in it have ended.
    pub effective: &'a Effective,
}

impl Parent<'_> {
    /// Whether whom `actions` bring into the dependent room takes part here.
    ///
    /// # Errors
    ///
    /// [`Breach::NotInParent`] for the first who does not.
    pub fn admits(&self, actions: &[Action]) -> Result<(), Violation> {
        for action in actions {
            if let Some(user) = action.brings_in().filter(|user| !self.has(user)) {
                return Err(Violation::from(Breach::NotInParent).about(&user).proposed_as(action.reference.as_ref()));
            }
        }
        Ok(())
    }

    /// Whether the dependent room `post` is for some of the participants here only. A room that has lost nobody but has become
    /// all of its parent, because the parent has, stays as it is: `before` is the room before the change, `None` for one that
    /// starts.
    ///
    /// # Errors
    ///
    /// [`Breach::NotInParent`], [`Breach::WholeParent`].
    pub fn holds(&self, before: Option<&RoomState>, post: &RoomState) -> Result<(), Violation> {
        let came = |user: &&UserUri| !before.is_some_and(|before| before.takes_part(user));
        let mut new = users(post).filter(came).peekable();
        if new.peek().is_none() {
            return Ok(());
        }
        if let Some(stranger) = new.find(|user| !self.has(user)) {
            return Err(Violation::from(Breach::NotInParent).about(stranger));
        }
        match users(self.state).any(|user| !post.takes_part(user)) {
            true => Ok(()),
            false => Err(Breach::WholeParent.into()),
        }
    }

    /// Whether `user` may found rooms that depend on this one, by the capability that stands in where no role has the one for
    /// it (reading P-20).
    pub fn stands_in(&self, user: &UserUri) -> bool {
        !self.state.uses(Capability::CREATE_SUBGROUP) && self.state.holds(user, Capability::ADD_PARTICIPANT)
    }

    fn has(&self, user: &UserUri) -> bool {
        self.state.takes_part(user) && !self.effective.blocks(user)
    }
}

/// Who takes part, without providers.
fn users(room: &RoomState) -> impl Iterator<Item = &UserUri> {
    room.participants().keys().filter(|user| !user.is_provider() && !room.is_banned(user))
}

//! What ties rooms of ours to their people and to each other, where a change touches it: that the same users have one room of
//! fixed membership, and that who is in a dependent room takes part in its parent. It is written with the change.

use std::sync::Arc;

use portcullis_core::room::{Action, Breach, Parent, RoomState, Violation};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::restrictions::Grounds;
use portcullis_store::rooms::Seen;
use portcullis_store::{StoreError, Tx, answers, ties};
use serde_json::json;
use uuid::Uuid;

use super::decide::Decision;
use super::rooms::Hosted;
use super::{GatewayError, Inner};

/// The ties that a change of a room touches.
#[derive(Clone, Debug)]
pub(super) struct Ties {
    /// The parent, as the change was held against it.
    parent: Option<(RoomUri, Seen)>,
    /// Whose fixed room it is after the change, where that is another matter than before.
    fixed: Option<Option<[u8; 32]>>,
    /// Who takes part no longer.
    out: Vec<UserUri>,
    grounds: Grounds,
}

impl Ties {
    /// What `actions` touch of a room that `decision` lets them happen in; `post` is the room after a commit, `None` for
    /// proposals.
    pub(super) fn of(
        inner: &Inner,
        hosted: &Hosted,
        actions: &[Action],
        post: Option<&RoomState>,
        decision: &Decision,
    ) -> Result<Result<Self, Violation>, GatewayError> {
        let parent = match &hosted.state.base_policy().parent_room {
            None => None,
            Some(room) => {
                let parent = inner.hosted(room)?;
                let seen = self::parent(&parent);
                let held = seen.admits(actions).and_then(|()| {
                    let post = post.map(|post| seen.holds(Some(&hosted.state), post));
                    post.unwrap_or(Ok(()))
                });
                if let Err(violation) = held {
                    return Ok(Err(violation));
                }
                Some((room.clone(), parent.seen))
            }
        };
        let fixed = post.map(members).filter(|members| *members != self::members(&hosted.state));
        if let Some(Some(members)) = &fixed
            && inner.store.read(|conn| ties::fixed_room(conn, members))?.is_some_and(|other| other != hosted.room)
        {
            return Ok(Err(Breach::FixedRoomExists.into()));
        }
        let out = actions.iter().filter_map(Action::takes_out).collect();
        let by = decision.record.actor.clone().unwrap_or_default();
        let reason = "left_the_parent_room".to_owned();
        let grounds = Grounds { by, reason, decision: Some(decision.id()), ..Grounds::default() };
        Ok(Ok(Self { parent, fixed, out, grounds }))
    }

    /// Holds the parent as it was seen, in the transaction of the change and before the room itself is touched: who changes the
    /// parent goes on to its dependent rooms, and two who met each other halfway would wait for each other.
    ///
    /// # Errors
    ///
    /// [`StoreError::EpochMoved`] when the parent has moved on, [`StoreError::NoRoom`] when there is none.
    pub(super) fn hold(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.parent.as_ref().map_or(Ok(()), |(parent, seen)| ties::hold(tx, parent, *seen))
    }

    /// Writes it, in the transaction of the change, after [`Self::hold`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] when the users have got another fixed room meanwhile.
    pub(super) fn write(&self, tx: &mut Tx<'_>, room: &RoomUri, now: Millis) -> Result<(), StoreError> {
        if let Some(members) = &self.fixed {
            ties::fix(tx, room, members.as_ref())?;
        }
        self.out.iter().try_for_each(|user| follow_out(tx, room, user, &self.grounds, now))
    }
}

/// Ends the rights of who takes part in `parent` no longer in the rooms that depend on it, each with its record.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub(super) fn follow_out(
    tx: &mut Tx<'_>,
    parent: &RoomUri,
    user: &UserUri,
    grounds: &Grounds,
    now: Millis,
) -> Result<(), StoreError> {
    for room in ties::cascade(tx, parent, user, grounds, now)? {
        tx.stage(&AuditRecord {
            room: Some(room),
            actor: Some(grounds.by.clone()),
            policy: grounds.policies.clone(),
            reason: "left_the_parent_room".to_owned(),
            detail: json!({ "user": user, "parent": parent, "case": grounds.case, "decision": grounds.decision }),
            ..AuditRecord::new(Uuid::now_v7(), now, "moderation.remove", Outcome::Info)
        })?;
    }
    Ok(())
}

/// The room as the parent of another one.
pub(super) fn parent(hosted: &Arc<Hosted>) -> Parent<'_> {
    Parent { state: &hosted.state, effective: &hosted.effective }
}

/// The users of a room of fixed membership, as one digest; `None` for any other room.
pub(super) fn members(state: &RoomState) -> Option<[u8; 32]> {
    let users = state.participants().keys().filter(|user| !user.is_provider());
    state.base_policy().fixed_membership.then(|| digest(users))
}

/// The digest of users in the order of their identifiers.
pub(super) fn digest<'a>(users: impl Iterator<Item = &'a UserUri>) -> [u8; 32] {
    answers::scope(&users.map(|user| user.as_str().as_bytes()).collect::<Vec<_>>())
}

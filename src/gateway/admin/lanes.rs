//! What people do with lanes of the outbox at the admin door.

use portcullis_core::policy::AdminAct;
use portcullis_store::{StoreError, Tx, outbox};

use super::{AdminError, Changed, Operator, Wish};
use crate::gateway::lanes::{self, Lane};
use crate::gateway::{Gateway, GatewayError, Kept, Once};

/// What may be done with a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneChange {
    /// Try it again now, parked or not.
    Retry,
    /// Leave out what it is stuck on, up to this position of the lane; without one, its first message.
    Skip(Option<u64>),
    /// Send the room's events once more, from this number on.
    Resend(u64),
}

impl LaneChange {
    fn act(self) -> AdminAct {
        match self {
            Self::Retry => AdminAct::RetryLane,
            Self::Skip(_) => AdminAct::SkipLane,
            Self::Resend(_) => AdminAct::ResendLane,
        }
    }
}

impl Gateway {
    /// Changes a lane and answers ([`Changed`]) the number of messages that were left out or are owed again. `reason` is
    /// for the record, in the person's own words.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`]; [`GatewayError::NotFound`] when there is no such lane, [`GatewayError::Conflict`] when it
    /// is not in a state that takes the change.
    pub async fn change_lane(
        &self,
        once: Once,
        operator: Operator,
        lane: Lane,
        change: LaneChange,
        reason: String,
    ) -> Result<Kept, AdminError> {
        let by = operator.actor();
        let (about, room, why) = (Some(lane.peer.clone()), Some(lane.room.clone()), Some(reason.clone()));
        let wish = Wish { operator, act: change.act(), about, room, user: None, why };
        let changed = self.allowed(once, wish, move |inner, decision| {
            let (id, record, now) = (decision.id(), decision.record, inner.clock.now());
            let key = lane.room.to_string();
            let found = inner.store.read(|conn| outbox::find(conn, &lane.room, &lane.peer));
            found.map_err(|error: StoreError| GatewayError::from(error))?.ok_or(GatewayError::NotFound)?;
            let written = inner.store.write(&key, move |tx: &mut Tx<'_>| {
                let count = match change {
                    LaneChange::Retry => lanes::retry(tx, &lane, &by, &reason, now).map(|()| 0),
                    LaneChange::Skip(through) => lanes::skip(tx, &lane, through, &by, &reason, now),
                    LaneChange::Resend(from) => lanes::resend(tx, &lane, from, &by, &reason, now),
                }?;
                tx.stage(&record)?;
                once.keep(tx, Changed { value: count, decision: id })
            });
            written.map_err(|error| match error {
                StoreError::Missing => GatewayError::Conflict,
                error => error.into(),
            })
        });
        changed.await
    }
}

//! What moderators do at the admin door.

use portcullis_core::policy::AdminAct;
use portcullis_core::wire::uri::RoomUri;
use portcullis_store::restrictions::{self, Grounds, Place, Restriction};
use portcullis_store::{Conn, StoreError, Tx};

use super::{AdminError, Changed, Operator, Wish};
use crate::gateway::moderation::{self, Change, Stands};
use crate::gateway::{Gateway, GatewayError, Kept, Once};
use crate::peer::causes;

impl Gateway {
    /// Imposes something on a room, or on all, or lifts it, and answers ([`Changed`], [`Stands`]) what stands then. It is in force when
    /// this gives the answer; what takes clients out of a group has been proposed by then, if that was possible.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`]; [`GatewayError::Decode`] for a provider in the place of a user, or for a domain of our own;
    /// [`GatewayError::NotFound`] for a room of which nothing is known here, [`GatewayError::Conflict`] when what is to be lifted is not in force.
    pub async fn moderate(
        &self,
        once: Once,
        operator: Operator,
        place: Place,
        change: Change,
        (reason, case): (String, String),
    ) -> Result<Kept, AdminError> {
        let by = operator.actor();
        let room = match &place {
            Place::Room(room) => Some(room.clone()),
            Place::Everywhere => None,
        };
        // Policy decides about a room of ours by our own domain, and about a user or a provider by theirs.
        let about = room.as_ref().map(RoomUri::domain).or_else(|| change.provider());
        let (act, user, why) = (change.act(&place), change.user().cloned(), Some(reason.clone()));
        let wish = Wish { operator, act, about, room: room.clone(), user, why };
        let changed = self.allowed(once, wish, move |inner, decision| {
            change.check(&inner.domains).map_err(GatewayError::decode)?;
            let (id, record, now) = (decision.id(), decision.record, inner.clock.now());
            let grounds = Grounds { by, reason, case, policies: record.policy.clone(), decision: Some(id) };
            let lane = room.as_ref().map_or("admin", RoomUri::as_str).to_owned();
            let hosted = room.as_ref().is_none_or(|room| inner.hosts(room));
            let written = inner.store.write(&lane, move |tx: &mut Tx<'_>| {
                let imposed = moderation::change(tx, &place, &change, &grounds, now)?;
                tx.stage(&record)?;
                once.keep(tx, Changed { value: Stands { imposed, hosted }, decision: id })
            });
            let kept = written.map_err(|error| match error {
                StoreError::Missing => GatewayError::Conflict,
                StoreError::NoRoom => GatewayError::NotFound,
                error => error.into(),
            })?;
            if let Some(room) = &room
                && let Err(error) = moderation::uphold(inner, room)
            {
                tracing::warn!(%room, cause = causes(&error), "clients that are to go are not proposed yet");
            }
            Ok(kept)
        });
        changed.await
    }

    /// What is imposed on a room, or everywhere, and what was; at most `limit` behind `after`.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`].
    pub async fn imposed(
        &self,
        operator: Operator,
        place: Place,
        after: Option<Restriction>,
        limit: u32,
    ) -> Result<Vec<Stands>, AdminError> {
        let hosted = match &place {
            Place::Room(room) => self.0.hosts(room),
            Place::Everywhere => true,
        };
        let read = move |conn: &mut Conn| restrictions::at(conn, &place, after.as_ref(), limit);
        let all = self.view(operator, AdminAct::ViewRestrictions, read).await?;
        Ok(all.into_iter().map(|imposed| Stands { imposed, hosted }).collect())
    }
}

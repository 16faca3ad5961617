//! Codes by which people join rooms, at the admin door.

use portcullis_core::policy::AdminAct;
use portcullis_core::wire::uri::RoomUri;
use portcullis_store::Tx;
use portcullis_store::join_codes::{self as stored, JoinCode};
use uuid::Uuid;

use super::{AdminError, Changed, Operator, Wish};
use crate::gateway::join_codes::{self, MadeJoinCode, NewJoinCode};
use crate::gateway::{Gateway, GatewayError, Kept, Once};

impl Gateway {
    /// Makes a code by which people join a room of ours, and answers ([`Changed`]) with it ([`MadeJoinCode`]). The code is told
    /// once: a repetition is answered without it.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`]; [`GatewayError::NotFound`] for a room that we do not host, [`GatewayError::Decode`] for a role
    /// that nobody may take by a code.
    pub async fn create_join_code(&self, once: Once, operator: Operator, new: NewJoinCode) -> Result<Kept, AdminError> {
        let by = operator.actor();
        let (about, room) = (Some(new.room.domain()), Some(new.room.clone()));
        let why = Some(new.reason.clone());
        let wish = Wish { operator, act: AdminAct::CreateJoinCode, about, room, user: None, why };
        let made = self.allowed(once, wish, move |inner, decision| {
            if !inner.hosts(&new.room) {
                return Err(GatewayError::NotFound);
            }
            let (id, record, now) = (decision.id(), decision.record, inner.clock.now());
            let made = inner.store.read(|conn| {
                let made = join_codes::make(conn, &new, &by, now);
                Ok::<_, GatewayError>(made?)
            })?;
            Ok(inner.store.write(new.room.as_str(), move |tx: &mut Tx<'_>| {
                join_codes::keep(tx, &made)?;
                tx.stage(&record)?;
                let again = MadeJoinCode { code: None, ..made.clone() };
                let told = Changed { value: made.clone(), decision: id };
                once.keep_but(tx, Changed { value: again, decision: id }, told)
            })?)
        });
        made.await
    }

    /// Lets nobody use a code any longer, and answers ([`Changed`]) what is kept of it ([`MadeJoinCode`]).
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`]; [`GatewayError::NotFound`] when the room has no such code that is not revoked.
    pub async fn revoke_join_code(
        &self,
        once: Once,
        operator: Operator,
        (room, id): (RoomUri, Uuid),
        reason: String,
    ) -> Result<Kept, AdminError> {
        let by = operator.actor();
        let (about, why) = (Some(room.domain()), Some(reason.clone()));
        let wish = Wish { operator, act: AdminAct::RevokeJoinCode, about, room: Some(room.clone()), user: None, why };
        let revoked = self.allowed(once, wish, move |inner, decision| {
            let (decided, record, now) = (decision.id(), decision.record, inner.clock.now());
            Ok(inner.store.write(&room.to_string(), move |tx: &mut Tx<'_>| {
                let kept = join_codes::revoke(tx, &room, id, (&by, &reason), now)?;
                tx.stage(&record)?;
                once.keep(tx, Changed { value: MadeJoinCode { kept, code: None }, decision: decided })
            })?)
        });
        revoked.await
    }

    /// The codes of a room, good or not, the oldest first; at most `limit` behind `after`.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`].
    pub async fn join_codes(
        &self,
        operator: Operator,
        room: RoomUri,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<JoinCode>, AdminError> {
        let read = move |conn: &mut _| stored::of_room(conn, &room, after, limit);
        self.view(operator, AdminAct::ViewJoinCodes, read).await
    }
}

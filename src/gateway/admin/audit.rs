//! What people read of the audit log at the admin door.

use portcullis_core::policy::AdminAct;
use portcullis_store::{Conn, StoreError};

use super::{AdminError, Operator, Wish};
use crate::gateway::access::Reading;
use crate::gateway::{Gateway, Once};

impl Gateway {
    /// Reads from the audit log what policy lets this person read, and gives it once it is on the record who reads it.
    /// `read` says how many entries it was.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`], and what `read` fails with.
    pub async fn read_log<T: Send + 'static>(
        &self,
        operator: Operator,
        reading: Reading,
        read: impl FnOnce(&mut Conn) -> Result<(T, u64), StoreError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let wish = Wish { operator, act: AdminAct::ReadAudit, about: None, room: None, user: None, why: None };
        let given = self.allowed(Once::unnamed(), wish, move |inner, decision| {
            let (found, entries) = inner.store.read(read)?;
            reading.note(&inner.store, decision.record, entries)?;
            Ok(found)
        });
        given.await
    }
}

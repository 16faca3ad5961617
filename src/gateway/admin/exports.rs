//! What people do with exports of the audit log at the admin door.

use portcullis_core::policy::AdminAct;
use portcullis_store::Tx;

use super::{AdminError, Changed, Operator, Wish};
use crate::gateway::exports::{self, Letters};
use crate::gateway::{Gateway, Kept, Once};

/// How many records are sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records(pub u64);

impl Gateway {
    /// Has dead letters be sent once more and answers ([`Changed`]) their number ([`Records`]). `reason` is for the
    /// record, in the person's own words.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`]; [`GatewayError::NotFound`](crate::gateway::GatewayError::NotFound) when there are none.
    pub async fn redeliver(
        &self,
        once: Once,
        operator: Operator,
        letters: Letters,
        reason: String,
    ) -> Result<Kept, AdminError> {
        let by = operator.actor();
        let act = AdminAct::RedeliverExport;
        let wish = Wish { operator, act, about: None, room: None, user: None, why: Some(reason.clone()) };
        let changed = self.allowed(once, wish, move |inner, decision| {
            let (id, record, now) = (decision.id(), decision.record, inner.clock.now());
            let key = letters.sink.clone();
            let written = inner.store.write(&key, move |tx: &mut Tx<'_>| {
                let count = exports::redeliver(tx, &letters, &by, &reason, now)?;
                tx.stage(&record)?;
                once.keep(tx, Changed { value: Records(count), decision: id })
            });
            Ok(written?)
        });
        changed.await
    }
}

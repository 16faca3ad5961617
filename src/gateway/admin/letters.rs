//! What people do with what other providers are to be told of consent.

use portcullis_core::policy::AdminAct;
use portcullis_core::wire::uri::Domain;
use portcullis_store::{Tx, consents};

use super::{AdminError, Changed, Operator, Wish};
use crate::gateway::{Gateway, Kept, Once};

/// What may be done with the letters to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterChange {
    /// Tell it once more what it has refused.
    Retry,
    /// Give up what it has refused.
    Skip,
}

impl Gateway {
    /// Changes the parked letters to a provider and answers ([`Changed`]) their number. `reason` is for the record, in the
    /// person's own words.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`]; [`GatewayError::NotFound`](crate::gateway::GatewayError::NotFound) when there are none to
    /// give up, or when the provider was never told anything.
    pub async fn change_letters(
        &self,
        once: Once,
        operator: Operator,
        peer: Domain,
        change: LetterChange,
        reason: String,
    ) -> Result<Kept, AdminError> {
        let act = match change {
            LetterChange::Retry => AdminAct::RetryLane,
            LetterChange::Skip => AdminAct::SkipLane,
        };
        let wish = Wish { operator, act, about: Some(peer.clone()), room: None, user: None, why: Some(reason) };
        let changed = self.allowed(once, wish, move |inner, decision| {
            let (id, record, now) = (decision.id(), decision.record, inner.clock.now());
            let key = peer.to_string();
            let written = inner.store.write(&key, move |tx: &mut Tx<'_>| {
                let count = match change {
                    LetterChange::Retry => consents::retry(tx, &peer, now),
                    LetterChange::Skip => consents::drop_parked(tx, &peer),
                }?;
                tx.stage(&record)?;
                once.keep(tx, Changed { value: count, decision: id })
            });
            Ok(written?)
        });
        changed.await
    }
}

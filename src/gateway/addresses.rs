//! Which provider has the users of an e-mail address, asked by people and by users of ours. What a domain has said of itself is on
//! the record before anything follows from it.

use std::sync::Arc;

use portcullis_core::time::Millis;
use portcullis_core::wire::uri::Domain;
use portcullis_store::Tx;
use portcullis_store::audit::{AuditRecord, Outcome};
use serde_json::json;
use uuid::Uuid;

use super::{GatewayError, Inner};
use crate::addresses::{Resolved, Unresolved};

/// The record of what a domain has said when it was asked on behalf of `actor`.
pub fn asked_record(mail: &Domain, actor: &str, said: &Result<Resolved, Unresolved>, now: Millis) -> AuditRecord {
    let (provider, outcome) = match said {
        Ok(resolved) => (Some(resolved.provider.clone()), "resolved"),
        Err(why) => (None, why.name()),
    };
    AuditRecord {
        actor: Some(actor.to_owned()),
        peer: provider.clone(),
        reason: outcome.to_owned(),
        detail: json!({ "domain": mail, "provider": provider }),
        ..AuditRecord::new(Uuid::now_v7(), now, "address.asked", Outcome::Info)
    }
}

impl Inner {
    /// Asks a domain on behalf of `actor`, whom policy has let do so.
    pub(super) async fn ask_domain(
        self: &Arc<Self>,
        mail: &Domain,
        actor: String,
    ) -> Result<Result<Resolved, Unresolved>, GatewayError> {
        let said = self.addresses.ask(self.peers.list(), mail, self.clock.now()).await;
        if said == Err(Unresolved::Busy) {
            return Err(GatewayError::busy("as many domains are being asked as may"));
        }
        let record = asked_record(mail, &actor, &said, self.clock.now());
        let write =
            move |inner: &Arc<Self>| Ok(inner.store.append(&actor, move |tx: &mut Tx<'_>| tx.stage(&record))?);
        self.blocking(Vec::new(), write).await?;
        Ok(said)
    }
}

//! What held for the users whom a recorded decision concerned, with where each of it came from: by the bundle that decided, and
//! what was known of them then.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use portcullis_core::policy::{Attribute, Engine, Person, Recalled, RecordHead, RoleSet};
use portcullis_core::wire::uri::UserUri;
use portcullis_store::audit::AuditRecord;
use portcullis_store::{Conn, StoreError, people};
use serde_json::Value;

use super::again;
use crate::gateway::{Gateway, GatewayError};

/// How many of the questions of a record are looked at.
const MOST_QUESTIONS: usize = 32;

impl Gateway {
    /// What held for the users whom a recorded decision concerned; nothing where that is not kept.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] of the database.
    pub async fn decided_by(&self, record: AuditRecord) -> Result<BTreeMap<UserUri, Vec<Attribute>>, GatewayError> {
        let work = move |inner: &Arc<crate::gateway::Inner>| {
            let active = inner.policy.active();
            let own = (record.bundle == Some(active.bundle.digest())).then(|| Engine::new(&active.bundle));
            Ok(inner.store.read(|conn| of_record(conn, &record, own))?)
        };
        self.0.aside(work).await
    }
}

fn of_record(
    conn: &mut Conn,
    record: &AuditRecord,
    own: Option<Engine>,
) -> Result<BTreeMap<UserUri, Vec<Attribute>>, StoreError> {
    let mut found = BTreeMap::new();
    let (Some(bundle), Some(actions)) = (record.bundle, record.detail.get("actions").and_then(Value::as_array)) else {
        return Ok(found);
    };
    let engine = match own {
        Some(own) => own,
        None => match again::kept(conn, &bundle)? {
            Ok(bundle) => Engine::new(&bundle),
            Err(_) => return Ok(found),
        },
    };
    let head = RecordHead {
        room: record.room.as_ref(),
        actor: record.actor.as_deref(),
        peer: record.peer.as_ref(),
        epoch: record.epoch,
        at: record.at,
    };
    for action in actions.iter().take(MOST_QUESTIONS) {
        // What holds for users has nothing to do with their roles in the room.
        let Ok(recalled) = Recalled::read(&head, action, |_| Some(RoleSet::default())) else { continue };
        let mut known = HashMap::new();
        for (user, id) in recalled.people() {
            let kept = people::facts(conn, id)?.and_then(|kept| Person::decode(&kept));
            known.extend(kept.map(|person| (user.folded(), person)));
        }
        let engine = engine.with_people(Arc::new(known));
        for user in recalled.concerned() {
            found.entry(user.clone()).or_insert_with(|| engine.attributes(&user));
        }
    }
    Ok(found)
}

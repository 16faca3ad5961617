//! Who reads the audit log: on the record themselves, in a write lane of their own, so that no reader holds up a room.

use data_encoding::HEXLOWER;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri};
use portcullis_store::audit::{AuditRecord, Filter, Order, Outcome};
use portcullis_store::{Store, StoreError, Tx};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The write lane of readers.
const LANE: &str = "access";

/// The family of kinds that records about readers are of.
pub const FAMILY: &str = "access";

/// One reading of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Kind of the record about it: `access.query` and the like.
    pub kind: &'static str,
    /// What was asked for.
    pub asked: Value,
}

impl Reading {
    /// Writes down who has read, and how many entries that were. Blocks. Nobody may be given what was read before.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot be written.
    pub fn note(&self, store: &Store, by: AuditRecord, entries: u64) -> Result<(), StoreError> {
        let detail = json!({ "asked": self.asked, "entries": entries });
        let record = AuditRecord { kind: self.kind.to_owned(), outcome: Outcome::Info, detail, ..by };
        store.write(LANE, move |tx: &mut Tx<'_>| tx.stage(&record))
    }
}

/// What can be asked for, as it is written down.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    since: Option<Millis>,
    until: Option<Millis>,
    kind: Option<String>,
    but: Option<String>,
    outcome: Option<String>,
    decisions: Option<bool>,
    room: Option<RoomUri>,
    actor: Option<String>,
    client: Option<ClientUri>,
    peer: Option<Domain>,
    policy: Option<String>,
    reason: Option<String>,
    bundle: Option<String>,
    trace: Option<String>,
    decision: Option<Uuid>,
    exchange: Option<String>,
    order: String,
}

/// The filter that was [`asked`] for; `None` for what nobody can ask.
pub fn filter(asked: &Value) -> Option<Filter> {
    let asked = Asked::deserialize(asked).ok()?;
    let hash = |text: Option<String>| match text {
        Some(text) => Some(Some(HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()?)),
        None => Some(None),
    };
    let outcome = match asked.outcome {
        Some(name) => Some(Outcome::ALL.into_iter().find(|outcome| outcome.name() == name)?),
        None => None,
    };
    let order = match asked.order.as_str() {
        "oldest" => Order::Oldest,
        "newest" => Order::Newest,
        _ => return None,
    };
    Some(Filter {
        since: asked.since,
        until: asked.until,
        kind: asked.kind,
        but: asked.but,
        outcome,
        decisions: asked.decisions.unwrap_or(false),
        room: asked.room,
        actor: asked.actor,
        client: asked.client,
        peer: asked.peer,
        policy: asked.policy,
        reason: asked.reason,
        bundle: hash(asked.bundle)?,
        trace: asked.trace,
        decision: asked.decision,
        exchange: hash(asked.exchange)?,
        order,
        ..Filter::default()
    })
}

/// What a filter asks for, without its place in the log.
pub fn asked(filter: &Filter) -> Value {
    let hex = |hash: Option<[u8; 32]>| hash.map(|hash| HEXLOWER.encode(&hash));
    let order = match filter.order {
        Order::Oldest => "oldest",
        Order::Newest => "newest",
    };
    let fields = json!({
        "since": filter.since,
        "until": filter.until,
        "kind": filter.kind,
        "but": filter.but,
        "outcome": filter.outcome.map(Outcome::name),
        "decisions": filter.decisions.then_some(true),
        "room": filter.room.as_ref().map(RoomUri::as_str),
        "actor": filter.actor,
        "client": filter.client.as_ref().map(ClientUri::as_str),
        "peer": filter.peer.as_ref().map(Domain::as_str),
        "policy": filter.policy,
        "reason": filter.reason,
        "bundle": hex(filter.bundle),
        "trace": filter.trace,
        "decision": filter.decision,
        "exchange": hex(filter.exchange),
        "order": order,
    });
    let Value::Object(fields) = fields else { return fields };
    Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_what_it_was_when_it_is_read_back() {
        let full = Filter {
            since: Some(Millis(1)),
            until: Some(Millis(2)),
            decisions: true,
            order: Order::Newest,
            kind: Some("decision.*".to_owned()),
            but: Some(FAMILY.to_owned()),
            outcome: Some(Outcome::Alarm),
            room: RoomUri::parse("mimi://a.example/r/x").ok(),
            actor: Some("operator:ops".to_owned()),
            client: ClientUri::parse("mimi://a.example/d/alice/phone").ok(),
            peer: Domain::parse("b.example").ok(),
            policy: Some("first".to_owned()),
            reason: Some("MUTED".to_owned()),
            bundle: Some([3; 32]),
            trace: Some("12".to_owned()),
            decision: Some(Uuid::from_u128(4)),
            exchange: Some([5; 32]),
            ..Filter::default()
        };
        for wanted in [full, Filter::default()] {
            assert_eq!(filter(&asked(&wanted)), Some(wanted));
        }
        for wrong in [json!({}), json!({ "order": "any" }), json!({ "order": "oldest", "more": 1 }), json!(7)] {
            assert_eq!(filter(&wrong), None, "{wrong}");
        }
    }
}

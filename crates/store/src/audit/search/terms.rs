//! What an entry is found by: values of its fields.

use std::collections::BTreeSet;

use portcullis_core::wire::uri::ClientUri;

use super::super::commitment::{Openings, sha256};
use super::super::leaf::Leaf;
use super::super::{Filter, Outcome};

/// A value of a field, as the index has it: the first half of SHA-256(field ‖ value). No two values share one, and no
/// name stands in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Term(pub(crate) [u8; Self::BYTES]);

#[derive(Clone, Copy)]
enum Field {
    Kind,
    Family,
    Outcome,
    Decided,
    Room,
    Actor,
    Client,
    Peer,
    Decision,
    Exchange,
    Policy,
    Reason,
    Trace,
    Bundle,
}

impl Term {
    const BYTES: usize = 16;

    fn new(field: Field, value: &[u8]) -> Self {
        let mut term = [0; Self::BYTES];
        term.iter_mut().zip(sha256(&[&[field as u8], value])).for_each(|(octet, hashed)| *octet = hashed);
        Self(term)
    }

    pub(crate) fn outcome(outcome: Outcome) -> Self {
        Self::new(Field::Outcome, &[outcome.code()])
    }

    /// The part of a kind before its first dot.
    fn family(kind: &str) -> Self {
        Self::new(Field::Family, kind.split('.').next().unwrap_or_default().as_bytes())
    }
}

/// All terms of an entry. Of one whose openings were erased, those of its leaf.
pub(crate) fn terms(leaf: &Leaf, openings: &Openings) -> BTreeSet<Term> {
    let text = |name| openings.field(name);
    let term = |field, text: Option<String>| text.map(|text| Term::new(field, text.as_bytes()));
    let decision = text("decision");
    let actor = text("actor");
    let mut terms: BTreeSet<Term> = [
        Some(Term::new(Field::Kind, leaf.kind.as_bytes())),
        Some(Term::family(&leaf.kind)),
        Some(Term::outcome(leaf.outcome)),
        leaf.exchange.map(|hash| Term::new(Field::Exchange, &hash)),
        leaf.bundle.map(|hash| Term::new(Field::Bundle, &hash)),
        decision.is_some().then(|| Term::new(Field::Decided, &[])),
        term(Field::Decision, decision),
        term(Field::Room, text("room")),
        term(Field::Peer, text("peer")),
        term(Field::Reason, text("reason")),
        term(Field::Trace, text("trace")),
        term(Field::Client, actor.clone().filter(|actor| ClientUri::parse(actor).is_ok())),
        term(Field::Actor, actor),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Ok(serde_json::Value::Array(names)) = openings.value("policy") {
        terms.extend(names.iter().filter_map(|name| Some(Term::new(Field::Policy, name.as_str()?.as_bytes()))));
    }
    // Most details name no client, and reading them all takes long.
    let names_one = |json: &str| NAMES_CLIENT.iter().any(|name| json.contains(name));
    if openings.0.get("detail").is_some_and(|detail| names_one(&detail.json)) {
        let detail = openings.value("detail").unwrap_or_default();
        let named = NAMES_CLIENT.iter().filter_map(|name| detail.get(name)?.as_str());
        terms.extend(named.map(|client| Term::new(Field::Client, client.as_bytes())));
    }
    terms
}

/// What clients are called in details.
const NAMES_CLIENT: [&str; 2] = ["client", "device"];

/// Whether `filter` wants an entry, wherever it stands.
pub fn matches(filter: &Filter, leaf: &Leaf, openings: &Openings) -> bool {
    let (all, none) = wanted(filter);
    let terms = terms(leaf, openings);
    all.iter().all(|term| terms.contains(term))
        && !none.iter().any(|term| terms.contains(term))
        && filter.since.is_none_or(|since| leaf.at >= since)
        && filter.until.is_none_or(|until| leaf.at < until)
}

/// The terms that an entry must have, and those that it must not have.
pub(super) fn wanted(filter: &Filter) -> (Vec<Term>, Vec<Term>) {
    let text = |field, value: &Option<String>| value.as_ref().map(|value| Term::new(field, value.as_bytes()));
    let kind = filter.kind.as_ref().map(|kind| match kind.strip_suffix(".*") {
        Some(family) => Term::family(family),
        None => Term::new(Field::Kind, kind.as_bytes()),
    });
    let all = [
        filter.decision.map(|id| Term::new(Field::Decision, id.to_string().as_bytes())),
        filter.exchange.map(|hash| Term::new(Field::Exchange, &hash)),
        text(Field::Trace, &filter.trace),
        filter.client.as_ref().map(|client| Term::new(Field::Client, client.as_str().as_bytes())),
        text(Field::Actor, &filter.actor),
        filter.room.as_ref().map(|room| Term::new(Field::Room, room.as_str().as_bytes())),
        text(Field::Policy, &filter.policy),
        text(Field::Reason, &filter.reason),
        filter.peer.as_ref().map(|peer| Term::new(Field::Peer, peer.as_str().as_bytes())),
        kind,
        filter.outcome.map(Term::outcome),
        filter.bundle.map(|hash| Term::new(Field::Bundle, &hash)),
        filter.decisions.then(|| Term::new(Field::Decided, &[])),
    ];
    let none = filter.but.as_ref().map(|family| Term::family(family));
    (all.into_iter().flatten().collect(), none.into_iter().collect())
}

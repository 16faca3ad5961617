//! Who can, what can, where can: one question over all users of a room, all capabilities, or all rooms, with what is not
//! known left open. What is left of the policies then are the conditions under which it is allowed.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::{
    Effect, Entities, PartialEntities, PartialEntityUid, PartialRequest, Policy, PolicyId, PolicySet, TpeResponse,
};
use serde_json::{Map, Value};

use crate::wire::components::Capability;

use super::bundle::Bundle;
use super::cases::{Ask, RoomAsk, Suite};
use super::clauses::Evaluator;
use super::enforcement::Enforcement;
use super::engine::Engine;
use super::entities::Asked;
use super::expressions::Known;
use super::partial;
use super::policies::PolicyMeta;

/// Over what a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The participants of the room.
    Users,
    /// All capabilities.
    Actions,
    /// All rooms of the suite.
    Rooms,
}

/// What of a request stays open beside who, what and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpenFact {
    /// The time.
    Now,
    /// The size of the message.
    Bytes,
}

impl OpenFact {
    /// Its name in the context of a request.
    fn name(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Bytes => "messageBytes",
        }
    }
}

/// Whether something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Possible {
    /// Whatever is open.
    Yes,
    /// Under conditions.
    If,
    /// Not whatever is open.
    No,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The user, the capability or the room.
    pub subject: String,
    /// Whether it is allowed.
    pub possible: Possible,
    /// The policies that decide, as far as that does not depend on what is open.
    pub by: Vec<String>,
    /// What must hold, or must not.
    pub conditions: Vec<Condition>,
    /// Who can stop it.
    pub enforcement: Enforcement,
    /// What it depends on and was not named: a `target` of what is done to somebody, the role (`to_role`) that a change of
    /// role leads to.
    pub unnamed: Vec<&'static str>,
}

/// What a policy makes of something that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The policy.
    pub policy: String,
    /// Whether it forbids when the condition holds; else it permits.
    pub forbids: bool,
    /// The condition, as Cedar writes it.
    pub text: String,
}

impl Bundle {
    /// Asks the question of a case over all users, capabilities or rooms of its suite; `None` if the case is not about a
    /// room, or there is none of that number.
    pub fn query(&self, suite: &Suite, number: usize, over: Over, open: &BTreeSet<OpenFact>) -> Option<Vec<Answer>> {
        let Ask::Room(asked) = suite.ask(number)? else { return None };
        let engine = suite.engine(&Engine::new(self));
        let variants: Vec<(String, RoomAsk)> = match over {
            Over::Users => {
                let known = asked.room.facts.roles.as_ref();
                let users = known.into_iter().flat_map(|known| known.participants.keys());
                users.map(|user| (user.to_string(), asked.by(user))).collect()
            }
            Over::Actions => {
                Capability::NAMED.iter().map(|(capability, name)| ((*name).to_owned(), asked.to(*capability))).collect()
            }
            Over::Rooms => {
                let rooms = suite.rooms();
                rooms.map(|(name, room)| (format!("{name} {}", room.facts.room), asked.at(Arc::clone(room)))).collect()
            }
        };
        let answers = variants.into_iter().map(|(subject, ask)| self.answer(&engine, subject, ask, open));
        Some(answers.collect())
    }

    fn answer(&self, engine: &Engine, subject: String, ask: RoomAsk, open: &BTreeSet<OpenFact>) -> Answer {
        let (enforcement, unnamed) = (Enforcement::of(ask.capability), ask.unnamed());
        let ask = Ask::Room(Box::new(ask));
        let question = ask.question();
        let left = engine.put(&question).filter(|_| !open.is_empty()).and_then(|(act, asked)| {
            let asked = asked.ok()?;
            let here: BTreeSet<&PolicyId> = engine.candidates(act, &asked).collect();
            self.left(here.into_iter().filter_map(|id| self.metas.get(id)), &asked, open)
        });
        let Some(left) = left else {
            // Partial evaluation is an aid: where nothing is open the engine decides, and so it does what that cannot take.
            let verdict = engine.decide_any(&question);
            let possible = if verdict.allow { Possible::Yes } else { Possible::No };
            return Answer { subject, possible, by: verdict.determining, conditions: Vec::new(), enforcement, unnamed };
        };
        // A policy that fails denies, whatever the others say.
        let failing: Vec<String> =
            left.iter().filter(|one| one.fails).map(|one| one.condition.policy.clone()).collect();
        if !failing.is_empty() {
            let (possible, conditions) = (Possible::No, Vec::new());
            return Answer { subject, possible, by: failing, conditions, enforcement, unnamed };
        }
        let of = |forbids: bool, known: Known| {
            left.iter().filter(move |one| one.condition.forbids == forbids && one.known == known)
        };
        let ids = |forbids| of(forbids, Known::True).map(|one| one.condition.policy.clone()).collect::<Vec<_>>();
        let (by_forbids, by_permits) = (ids(true), ids(false));
        let is_permitted = !by_permits.is_empty();
        let maybe = of(false, Known::Open).filter(|_| !is_permitted).chain(of(true, Known::Open));
        let conditions: Vec<Condition> = maybe.map(|one| one.condition.clone()).collect();
        let hopeless = !is_permitted && of(false, Known::Open).next().is_none();
        if !by_forbids.is_empty() || hopeless {
            return Answer {
                subject,
                possible: Possible::No,
                by: by_forbids,
                conditions: Vec::new(),
                enforcement,
                unnamed,
            };
        }
        let possible = if conditions.is_empty() { Possible::Yes } else { Possible::If };
        Answer { subject, possible, by: by_permits, conditions, enforcement, unnamed }
    }

    /// What is left of the policies when nothing but the open facts is unknown.
    fn left<'m>(
        &self,
        metas: impl Iterator<Item = &'m PolicyMeta>,
        asked: &Asked,
        open: &BTreeSet<OpenFact>,
    ) -> Option<Vec<Left>> {
        let context = Filled::of(asked, open);
        let policies = metas.map(|meta| context.fill(&meta.policy)).collect::<Option<Vec<Policy>>>()?;
        let policies = PolicySet::from_policies(policies).ok()?;
        let request = &asked.request;
        let principal = PartialEntityUid::from_concrete(request.principal()?.clone());
        let resource = PartialEntityUid::from_concrete(request.resource()?.clone());
        let request = PartialRequest::new(principal, request.action()?.clone(), resource, None, &self.schema).ok()?;
        // The schema brings its own actions, with all their groups.
        let described = asked.entities.iter().filter(|entity| entity.uid().type_name().basename() != "Action").cloned();
        let entities = Entities::from_entities(described, Some(&self.schema)).ok()?;
        let entities = PartialEntities::from_concrete(entities, &self.schema).ok()?;
        let response = policies.tpe(&request, &entities, &self.schema).ok()?;
        Some(Left::all(&response))
    }
}

/// What is left of a policy.
struct Left {
    known: Known,
    /// Whether it fails whatever is open.
    fails: bool,
    condition: Condition,
}

impl Left {
    fn all(response: &TpeResponse<'_>) -> Vec<Self> {
        let left = response.policies().map(|policy| {
            let text: Vec<String> = partial::clauses(&policy).iter().map(|(_, expr)| expr.to_string()).collect();
            let condition = Condition {
                policy: policy.id().to_string(),
                forbids: policy.effect() == Effect::Forbid,
                text: text.join(" && "),
            };
            Self { known: partial::known(&policy), fails: partial::fails(&policy), condition }
        });
        let mut left: Vec<Self> = left.collect();
        left.sort_by(|a, b| a.condition.policy.cmp(&b.condition.policy));
        left
    }
}

/// The context of a request, as far as it is known: Cedar takes all of it or nothing for unknown, so what is known is
/// written into the policies.
struct Filled {
    /// In Cedar's JSON.
    known: Map<String, Value>,
    open: BTreeSet<&'static str>,
}

impl Filled {
    fn of(asked: &Asked, open: &BTreeSet<OpenFact>) -> Self {
        let open: BTreeSet<&'static str> = open.iter().map(|fact| fact.name()).collect();
        let mut evaluator = Evaluator::default();
        let names = ["now", "side", "source", "suite", "epoch", "messageBytes", "change", "granted", "target"];
        let known = names.into_iter().filter(|name| !open.contains(name)).filter_map(|name| {
            let value = evaluator.show(&format!("context.{name}"), asked)?;
            Some((name.to_owned(), expression(&value)?))
        });
        Self { known: known.collect(), open }
    }

    fn fill(&self, policy: &Policy) -> Option<Policy> {
        let mut json = policy.to_json().ok()?;
        self.fill_in(&mut json);
        Policy::from_json(Some(PolicyId::new(policy.id())), json).ok()
    }

    fn fill_in(&self, json: &mut Value) {
        let name = |of: &Value| {
            let attribute = (of.get("left")? == &serde_json::json!({ "Var": "context" })).then(|| of.get("attr"))??;
            attribute.as_str().map(str::to_owned)
        };
        if let Some(known) = json.get(".").and_then(name).and_then(|name| self.known.get(&name)) {
            *json = known.clone();
        } else if let Some(name) = json.get("has").and_then(name).filter(|name| !self.open.contains(name.as_str())) {
            *json = serde_json::json!({ "Value": self.known.contains_key(&name) });
        } else {
            match json {
                Value::Object(fields) => fields.values_mut().for_each(|field| self.fill_in(field)),
                Value::Array(items) => items.iter_mut().for_each(|item| self.fill_in(item)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
    }
}

/// An expression in Cedar's JSON.
fn expression(text: &str) -> Option<Value> {
    let policy = Policy::parse(None, format!("permit (principal, action, resource) when {{ {text} }};")).ok()?;
    policy.to_json().ok()?.pointer("/conditions/0/body").cloned()
}

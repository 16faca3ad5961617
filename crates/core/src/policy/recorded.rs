//! A question as a record holds it, so that it can be asked again long after: with what stands elsewhere in the record left
//! out, and what is usual. Roles are named by [`super::RoleSet::id`].

mod read;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::time::Millis;
use crate::wire::uri::{Domain, RoomUri, UserUri};

use super::facts::{AdminQuestion, DoorAct, DoorQuestion, Question, Side};
use super::verdict::Verdict;

pub use read::{Recalled, Told, Unasked};

/// What a person's subject stands behind where records name who acted.
const OPERATOR: &str = "operator:";

/// What a record says beside its questions.
#[derive(Clone, Copy, Debug)]
pub struct RecordHead<'a> {
    /// The room.
    pub room: Option<&'a RoomUri>,
    /// Who acted.
    pub actor: Option<&'a str>,
    /// The provider it came from.
    pub peer: Option<&'a Domain>,
    /// MLS epoch of the message.
    pub epoch: Option<u64>,
    /// When.
    pub at: Millis,
}

/// One question on its way into a record.
struct Entry(Map<String, Value>);

impl Entry {
    fn of(fields: Value) -> Self {
        match fields {
            Value::Object(fields) => Self(fields),
            _ => Self(Map::new()),
        }
    }

    /// Puts what is not usual.
    fn put(&mut self, name: &str, unusual: Option<impl Into<Value>>) {
        if let Some(value) = unusual {
            self.0.insert(name.to_owned(), value.into());
        }
    }

    /// What hangs on neither kind of question: when, and who of those concerned was suspended beside the bundle's settings.
    fn finish<const N: usize>(
        mut self,
        (now, head): (Millis, &RecordHead<'_>),
        suspended: &BTreeSet<Domain>,
        concerned: [Option<Domain>; N],
    ) -> Map<String, Value> {
        self.put("now", (now != head.at).then_some(now.0));
        if !suspended.is_empty() {
            let found: BTreeSet<Domain> =
                concerned.into_iter().flatten().filter(|domain| suspended.contains(domain)).collect();
            self.put("suspended", (!found.is_empty()).then(|| json!(found)));
        }
        self.0
    }
}

impl Question<'_> {
    /// The question for a record with that `head`, decided while these providers were `suspended` beside those that the
    /// settings of the bundle suspend.
    pub fn recorded(&self, head: &RecordHead<'_>, suspended: &BTreeSet<Domain>) -> Map<String, Value> {
        let Self { room, target, from_role, .. } = *self;
        let actor = self.actor.uri();
        let mut entry = Entry::of(json!({
            "capability": self.capability.to_string(),
            "actor": self.actor.to_string(),
            "from_role": from_role,
            "to_role": self.to_role,
            "transition_authorized": self.transition_authorized,
            "source": self.source,
        }));
        entry.put("target", target.map(UserUri::as_str));
        entry.put("alternative", self.alternative_granted.then_some(true));
        entry.put("preauthorized", self.preauthorized.then_some(true));
        entry.put("external", self.external.then_some(true));
        entry.put("suite", (self.suite != 0).then_some(self.suite));
        entry.put("epoch", (self.epoch != head.epoch.unwrap_or_default()).then_some(self.epoch));
        entry.put("message_bytes", (self.message_bytes != 0).then_some(self.message_bytes));
        entry.put("side", (room.side == Side::Follower).then_some("follower"));
        entry.put("room", (head.room != Some(&room.room)).then(|| room.room.as_str()));
        if let Some(known) = &room.roles {
            entry.put("roles", Some(known.roles.id()));
            for (name, user, usual) in roles_of(&actor, target, from_role) {
                let role = known.participants.get(user).copied();
                entry.put(name, (role != usual).then(|| json!(role)));
            }
        }
        let mut imposed: Vec<&str> = Vec::new();
        let people = [("actor_muted", "actor_barred", Some(&actor)), ("target_muted", "target_barred", target)];
        for (muted, barred, user) in people {
            let Some(user) = user else { continue };
            imposed.extend(room.muted.contains(user).then_some(muted));
            imposed.extend(room.barred.contains(user).then_some(barred));
        }
        imposed.extend(room.frozen.then_some("frozen"));
        imposed.extend(room.legal_hold.then_some("legal_hold"));
        entry.put("imposed", (!imposed.is_empty()).then_some(imposed));
        if suspended.is_empty() {
            return entry.finish((self.now, head), suspended, []);
        }
        let concerned =
            [Some(actor.domain()), Some(self.source.clone()), Some(room.room.domain()), target.map(UserUri::domain)];
        entry.finish((self.now, head), suspended, concerned)
    }
}

/// The people of a question whose roles policies read, by what a record calls their roles, and the roles that they have where
/// it does not say: who acts on itself has the role that the question begins with.
fn roles_of<'a>(
    actor: &'a UserUri,
    target: Option<&'a UserUri>,
    from_role: u32,
) -> impl Iterator<Item = (&'static str, &'a UserUri, Option<u32>)> {
    let from = (from_role != 0).then_some(from_role);
    let of_actor = if target.is_none_or(|target| target == actor) { from } else { None };
    let of_target = target.map(|target| ("target_role", target, from));
    [("actor_role", actor, of_actor)].into_iter().chain(of_target)
}

impl DoorQuestion<'_> {
    /// As [`Question::recorded`].
    pub fn recorded(&self, head: &RecordHead<'_>, suspended: &BTreeSet<Domain>) -> Map<String, Value> {
        let about = self.act.about();
        let mut entry = Entry::of(json!({
            "act": self.act.name(),
            "actor": self.actor,
            "about": about,
            "detail": self.act.detail(),
        }));
        entry.put("source", (head.peer != Some(self.source)).then(|| self.source.as_str()));
        // What is about a user is asked where that user is.
        entry.put("door", about.is_none().then(|| self.door.as_str()));
        let room = match self.act {
            DoorAct::ClaimKeyMaterial(claim) => Some(claim.room),
            DoorAct::RequestConsent(step)
            | DoorAct::GrantConsent(step)
            | DoorAct::ReceiveConsentRequest(step)
            | DoorAct::ReceiveConsent(step) => Some(step.room),
            DoorAct::Search
            | DoorAct::FindUser(_)
            | DoorAct::PublishProfile
            | DoorAct::RegisterDevice
            | DoorAct::DeregisterDevice
            | DoorAct::DeregisterUser
            | DoorAct::PublishKeyPackages
            | DoorAct::ReadStream
            | DoorAct::ReportAnonymously
            | DoorAct::Download(_) => None,
        };
        entry.put("room", room.filter(|room| *room != head.room).map(|room| json!(room)));
        let concerned =
            [Some(self.actor.domain()), Some(self.source.clone()), Some(self.door.clone()), about.map(UserUri::domain)];
        entry.finish((self.now, head), suspended, concerned)
    }
}

impl AdminQuestion<'_> {
    /// As [`Question::recorded`].
    pub fn recorded(&self, head: &RecordHead<'_>, suspended: &BTreeSet<Domain>) -> Map<String, Value> {
        let mut entry = Entry::of(json!({
            "act": self.act.name(),
            "operation": self.act.operation(),
            "about": self.about,
            "roles": self.roles,
        }));
        let by = head.actor.and_then(|actor| actor.strip_prefix(OPERATOR));
        entry.put("operator", (by != Some(self.operator)).then_some(self.operator));
        entry.put("room", (head.room != self.room).then(|| json!(self.room)));
        entry.put("user", self.user.map(UserUri::as_str));
        entry.finish((self.now, head), suspended, [Some(self.about.clone())])
    }
}

impl Verdict {
    /// What a record says of it.
    pub fn recorded(&self) -> Value {
        let mut entry = Entry::of(json!({ "allow": self.allow, "policy": self.determining, "reason": self.reason }));
        entry.put("errors", (!self.errors.is_empty()).then(|| self.errors.clone()));
        entry.put("notes", (!self.notes.is_empty()).then(|| self.notes.clone()));
        entry.put("obligations", (!self.obligations.is_empty()).then(|| json!(self.obligations)));
        entry.0.into()
    }
}

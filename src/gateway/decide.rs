//! From facts to a decision and its audit record. Every surface gets its words from here: the log all of them, the
//! other side only a code, a sentence that names no policy, and the decision's id (invariant 8).

use std::time::Instant;

use portcullis_core::policy::{
    AdminQuestion, DoorQuestion, Membership, NEUTRAL_SENTENCE, POLICY_ERROR, Question, RateClass, RecordHead,
    RoomFacts, Side, Verdict,
};
use portcullis_core::room::{Action, Actor, RoomState};
use portcullis_core::time::Millis;
use portcullis_core::wire::components::Capability;
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::proposals::PendingProposal;
use portcullis_store::restrictions::Restrictions;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::policy::Active;
use crate::telemetry::{self, metrics};

/// Most actions that a record lists; those that were denied come first.
const LISTED: usize = 100;
/// Says that a record holds all facts that its questions were decided by, and in which form; earlier ones do not have it.
pub(super) const FACTS: u64 = 1;

/// What is decided about, for the record.
pub(super) struct Case<'a> {
    /// Kind of the audit record, such as `decision.commit`.
    pub(super) kind: &'static str,
    pub(super) room: Option<&'a RoomUri>,
    /// Who acts, as far as it is known.
    pub(super) actor: Option<String>,
    /// The provider that the request came from.
    pub(super) peer: Domain,
    pub(super) epoch: Option<u64>,
    /// SHA-256 of the MLSMessage or request, the same in every provider's log.
    pub(super) exchange: Option<[u8; 32]>,
    pub(super) now: Millis,
}

/// A decision with the record that makes it durable.
#[derive(Clone)]
pub(super) struct Decision {
    pub(super) allow: bool,
    pub(super) record: AuditRecord,
    /// What the other side may know of a refusal.
    pub(super) code: &'static str,
    pub(super) sentence: String,
    /// How often its actor may do what is allowed, and the obligations that say so.
    pub(super) rate: Option<(RateClass, Vec<String>)>,
}

impl Decision {
    pub(super) fn id(&self) -> Uuid {
        self.record.event
    }

    /// A proposal that it has accepted, as it waits for a commit.
    pub(super) fn proposal(&self, reference: Vec<u8>, message: &MlsMessage, proposer: &UserUri) -> PendingProposal {
        PendingProposal {
            reference,
            message: message.as_bytes().to_vec(),
            proposer: proposer.to_string(),
            kind: "proposal".to_owned(),
            accepted_at: self.record.at,
            decision: self.id(),
            bundle: self.record.bundle.unwrap_or_default(),
        }
    }

    /// The errorDescription of a refusal (correction C-8): code, sentence and decision id, never a policy's name.
    pub(super) fn description(&self) -> String {
        json!({ "code": self.code, "message": self.sentence, "decision": self.id() }).to_string()
    }
}

impl Case<'_> {
    /// A refusal that needed no policy: the protocol or the room's own rules forbid it.
    pub(super) fn refuse(&self, code: &'static str, reason: impl Into<String>, detail: Value) -> Decision {
        let record = AuditRecord { reason: reason.into(), detail, ..self.record(Outcome::Deny) };
        metrics::decided(self.kind, "deny", &record.reason);
        Decision { allow: false, record, code, sentence: NEUTRAL_SENTENCE.to_owned(), rate: None }
    }

    /// A refusal of what policy allows, and its actor has done too often for what it obliges the actor to.
    pub(super) fn hold_back(&self, allowed: &Decision) -> Decision {
        metrics::held_back(1);
        let (class, policy) = allowed.rate.as_ref().map(|(class, because)| (&class.name, because.clone())).unzip();
        let refused = self.refuse("too_many_requests", "too_many_for_rate_class", json!({ "rate_class": class }));
        // The obligations are those of the bundle that has allowed it.
        let (policy, bundle) = (policy.unwrap_or_default(), allowed.record.bundle);
        Decision { record: AuditRecord { policy, bundle, ..refused.record }, ..refused }
    }

    /// Something that happened without anybody having to allow it.
    pub(super) fn note(&self, reason: &str, detail: Value) -> AuditRecord {
        AuditRecord { reason: reason.to_owned(), detail, ..self.record(Outcome::Info) }
    }

    /// Asks the policy about every action; all must be allowed.
    pub(super) fn decide(&self, active: &Active, questions: &[Question<'_>]) -> Decision {
        self.decide_each(active, questions).0
    }

    /// As [`Self::decide`], and whether each is allowed: for what may happen to some and not to others.
    pub(super) fn decide_each(&self, active: &Active, questions: &[Question<'_>]) -> (Decision, Vec<bool>) {
        let verdicts = self.timed(questions.len(), || {
            questions.iter().map(|question| active.engine.decide(question)).collect::<Vec<Verdict>>()
        });
        let (head, suspended) = (self.head(), active.engine.suspended());
        let actions = questions.iter().zip(&verdicts);
        let recorded = |question: &Question<'_>| {
            let mut entry = question.recorded(&head, suspended);
            active.engine.name_people(&mut entry, [&question.actor.uri()].into_iter().chain(question.target));
            entry
        };
        let actions = actions.map(|(question, verdict)| asked(recorded(question), verdict)).collect();
        (self.judged(active, &verdicts, actions), verdicts.iter().map(|verdict| verdict.allow).collect())
    }

    /// Asks the policy about something outside of rooms.
    pub(super) fn decide_door(&self, active: &Active, question: &DoorQuestion<'_>) -> Decision {
        let verdict = self.timed(1, || active.engine.decide_door(question));
        let detail = self.told(active, question, &verdict);
        self.judged(active, &[verdict], vec![detail])
    }

    /// What policy says of one of many questions that go into the record of another one: whether it allows it, and what the
    /// record tells of it.
    pub(super) fn verdict(&self, active: &Active, question: &DoorQuestion<'_>) -> (bool, Value) {
        let verdict = active.engine.decide_door(question);
        (verdict.allow, self.told(active, question, &verdict))
    }

    fn told(&self, active: &Active, question: &DoorQuestion<'_>, verdict: &Verdict) -> Value {
        let mut entry = question.recorded(&self.head(), active.engine.suspended());
        active.engine.name_people(&mut entry, [question.actor].into_iter().chain(question.act.about()));
        asked(entry, verdict)
    }

    /// Asks the policy about what a person does at the admin door; `why` is the person's own reason.
    pub(super) fn decide_admin(&self, active: &Active, question: &AdminQuestion<'_>, why: Option<&str>) -> Decision {
        let verdict = self.timed(1, || active.engine.decide_admin(question));
        let mut recorded = question.recorded(&self.head(), active.engine.suspended());
        recorded.insert("why".to_owned(), why.into());
        let detail = asked(recorded, &verdict);
        self.judged(active, &[verdict], vec![detail])
    }

    /// What the record says beside its questions.
    fn head(&self) -> RecordHead<'_> {
        let Self { room, actor, peer, epoch, now, .. } = self;
        RecordHead { room: *room, actor: actor.as_deref(), peer: Some(peer), epoch: *epoch, at: *now }
    }

    fn timed<T>(&self, questions: usize, decide: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let verdicts = tracing::info_span!("policy.decide", kind = self.kind, questions).in_scope(decide);
        metrics::deciding_took(self.kind, began.elapsed());
        verdicts
    }

    /// Calls people: a policy that fails denies whatever it is about until somebody has mended it.
    fn page(&self, verdicts: &[Verdict]) {
        for verdict in verdicts.iter().filter(|verdict| verdict.reason == POLICY_ERROR) {
            tracing::error!(kind = self.kind, policies = ?verdict.determining, "a policy fails, which denies");
            metrics::policy_failed(self.kind);
        }
    }

    fn judged(&self, active: &Active, verdicts: &[Verdict], actions: Vec<Value>) -> Decision {
        self.page(verdicts);
        let against = verdicts.iter().find(|verdict| !verdict.allow);
        let deciding = against.or_else(|| verdicts.first());
        let allow = against.is_none() && deciding.is_some();
        let sentence = against.map_or(NEUTRAL_SENTENCE, Verdict::public_sentence).to_owned();
        let record = AuditRecord {
            policy: deciding.map(|verdict| verdict.determining.clone()).unwrap_or_default(),
            reason: deciding.map_or_else(|| "nothing_asked".to_owned(), |verdict| verdict.reason.clone()),
            bundle: Some(active.engine.bundle_digest()),
            detail: listed(actions, verdicts),
            ..self.record(if allow { Outcome::Allow } else { Outcome::Deny })
        };
        metrics::decided(self.kind, if allow { "allow" } else { "deny" }, &record.reason);
        let owed = deciding.filter(|_| allow).and_then(|verdict| verdict.obligations.rate_class.as_ref());
        let rate = owed.and_then(|owed| Some((active.engine.rate_class(&owed.value)?.clone(), owed.because.clone())));
        Decision { allow, record, code: "not_allowed", sentence, rate }
    }

    fn record(&self, outcome: Outcome) -> AuditRecord {
        let event = Uuid::now_v7();
        AuditRecord {
            decision: Some(event),
            room: self.room.cloned(),
            actor: self.actor.clone(),
            peer: Some(self.peer.clone()),
            epoch: self.epoch,
            exchange: self.exchange,
            trace: telemetry::current_trace_id(),
            ..AuditRecord::new(event, self.now, self.kind, outcome)
        }
    }
}

fn asked(mut question: Map<String, Value>, verdict: &Verdict) -> Value {
    question.insert("verdict".to_owned(), verdict.recorded());
    question.into()
}

/// What a record lists of the actions: it has its limit, and a commit may do much.
fn listed(actions: Vec<Value>, verdicts: &[Verdict]) -> Value {
    let count = actions.len();
    let (denied, allowed): (Vec<_>, Vec<_>) =
        actions.into_iter().zip(verdicts).partition(|(_, verdict)| !verdict.allow);
    let shown: Vec<Value> = denied.into_iter().chain(allowed).map(|(action, _)| action).take(LISTED).collect();
    json!({ "facts": FACTS, "count": count, "actions": shown })
}

/// The facts of a room whose group stands here.
pub(super) fn known_facts(room: &RoomUri, side: Side, state: &RoomState, restrictions: &Restrictions) -> RoomFacts {
    RoomFacts {
        room: room.clone(),
        side,
        roles: Some(Membership::from(state)),
        muted: restrictions.muted.clone(),
        barred: restrictions.barred.clone(),
        frozen: restrictions.frozen,
        legal_hold: restrictions.legal_hold,
    }
}

/// What is known of a room without a group that we can read: one that is about to be created, or one that another
/// provider is the hub of (correction C-2). What is imposed on a room here does not end when its group is lost.
pub(super) fn bare_facts(room: &RoomUri, side: Side, imposed: &Restrictions) -> RoomFacts {
    let Restrictions { frozen, legal_hold, muted, barred, .. } = imposed.clone();
    RoomFacts { room: room.clone(), side, roles: None, muted, barred, frozen, legal_hold }
}

/// The question whether `actor` may do this, as far as no roles are known. `source` is who handed it in.
pub(super) fn bare_question<'a>(
    facts: &'a RoomFacts,
    actor: &'a Actor,
    (capability, target): (Capability, Option<&'a UserUri>),
    source: &'a Domain,
    now: Millis,
) -> Question<'a> {
    Question {
        room: facts,
        actor,
        capability,
        target,
        from_role: 0,
        to_role: 0,
        transition_authorized: false,
        alternative_granted: false,
        preauthorized: false,
        external: false,
        suite: 0,
        epoch: 0,
        message_bytes: 0,
        source,
        now,
    }
}

/// The question that one action puts to the policy. `source` is who handed the action in.
pub(super) fn question<'a>(
    facts: &'a RoomFacts,
    action: &'a Action,
    (suite, epoch): (u16, u64),
    source: &'a Domain,
    now: Millis,
) -> Question<'a> {
    Question {
        room: facts,
        actor: &action.actor,
        capability: action.capability,
        target: action.target.as_ref(),
        from_role: action.from_role,
        to_role: action.to_role,
        transition_authorized: action.transition_authorized,
        alternative_granted: action.alternative_granted,
        preauthorized: action.preauthorized,
        external: action.external,
        suite,
        epoch,
        message_bytes: 0,
        source,
        now,
    }
}

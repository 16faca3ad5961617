//! An AbuseReport at the hub: decided, every message checked against what the hub itself has franked, and put before the
//! moderators. What is reported is read by nobody here, and stands sealed in the database alone: never in a log.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use portcullis_core::franking::{Claim, Flaw, HubKeysOfATime, Scheme};
use portcullis_core::mls::crypto::HubCrypto;
use portcullis_core::policy::{DoorAct, DoorQuestion, Question};
use portcullis_core::room::Actor;
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::Capability;
use portcullis_core::wire::report_abuse::{AbuseReport, AbusiveMessage, MOST_MESSAGES};
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};
use portcullis_store::hub_keys::{self, Around};
use portcullis_store::reports::{self, NewMessage, NewReport, Verdict};
use portcullis_store::{StoreError, Tx, answers};
use serde_json::{Value, json};
use uuid::Uuid;

use super::decide::{Case, Decision};
use super::once::{Kept, Once};
use super::rooms::Hosted;
use super::seal::Purpose;
use super::{Caller, Content, GatewayError, Inner, Reply, Shown};
use crate::config::Limits;
use crate::limits::{Limiter, TooMany};

/// How often a report is taken in once more because the same reporter has reported the same message meanwhile.
const ATTEMPTS: usize = 4;
/// How long what could not be proven counts against its reporter.
const UNPROVEN_COUNTS: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a reporter is asked to wait who has reported too much that cannot be proven.
const WAIT: Duration = Duration::from_secs(60 * 60);

/// How much one reporter may report; a provider for those of its users who do not want to be named.
pub struct Reporters {
    reports: Limiter<UserUri>,
    unproven_per_day: u64,
}

impl Reporters {
    /// Full buckets.
    pub fn new(limits: &Limits) -> Self {
        Self { reports: Limiter::new(limits.reports), unproven_per_day: limits.unproven_per_day.get().into() }
    }
}

/// A report was taken, whatever it is worth (readings D-13, D-56).
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported {
    pub(super) decision: Uuid,
}

impl Shown for Reported {
    fn reply(self) -> Result<Reply, GatewayError> {
        Ok(Reply { status: 201, content: Content::Octets, decision: Some(self.decision), body: Vec::new() })
    }
}

/// Reads a report within its limit.
pub(super) fn decode(body: &[u8]) -> Result<AbuseReport, GatewayError> {
    let report = super::decode::<AbuseReport>(body)?;
    if report.messages.len() > MOST_MESSAGES {
        return Err(GatewayError::decode(format!("a report has at most {MOST_MESSAGES} messages")));
    }
    Ok(report)
}

/// Takes a report about a room we are the hub of.
pub(super) fn accept(
    inner: &Arc<Inner>,
    once: Once,
    caller: &Caller,
    room: &RoomUri,
    body: &[u8],
) -> Result<Kept, GatewayError> {
    let report = decode(body)?;
    let hosted = inner.hosted(room)?;
    let now = inner.clock.now();
    let reporter = report.reporter.clone().unwrap_or_else(|| UserUri::provider(&caller.domain()));
    let case = Case {
        kind: "decision.report",
        room: Some(room),
        actor: Some(reporter.to_string()),
        peer: caller.domain(),
        epoch: None,
        exchange: Some(answers::scope(&[body])),
        now,
    };
    if !hosted.knows(caller) {
        inner.hide(once, room, &case)?;
    }
    if report.reporter.as_ref().is_some_and(|named| named.is_provider() || !caller.speaks_for(named)) {
        let decision = case.refuse("wrong_identity", "reporter_is_not_the_caller_s", json!({}));
        return inner.refuse(once, room.as_str(), &decision);
    }
    inner.within_limits(&reporter, now)?;
    let decision = decide(inner, &caller.domain(), &hosted, &report, &case);
    if !decision.allow {
        return inner.refuse(once, room.as_str(), &decision);
    }
    let new = inner.examined(&hosted, reporter, report, &decision, now)?;
    for _ in 0..ATTEMPTS {
        match keep(inner, once, new.clone(), decision.clone()) {
            Err(StoreError::Exists) => {}
            kept => return Ok(kept?),
        }
    }
    Err(GatewayError::busy("the same messages are reported all the time"))
}

fn keep(inner: &Inner, once: Once, new: NewReport, decision: Decision) -> Result<Kept, StoreError> {
    let lane = new.room.to_string();
    inner.store.write(&lane, move |tx: &mut Tx<'_>| {
        let filed = reports::file(tx, &new)?;
        let mut record = decision.record.clone();
        if let Value::Object(detail) = &mut record.detail {
            let messages: Vec<Value> = new.messages.iter().map(told).collect();
            detail.insert(
                "report".to_owned(),
                json!({
                    "id": filed.queued.then_some(new.id),
                    "alleged": new.alleged,
                    "repeated": filed.repeated,
                    "messages": messages,
                }),
            );
        }
        tx.stage(&record)?;
        once.keep(tx, Reported { decision: decision.id() })
    })
}

/// What the record says of a message: by what it can be found, and what it is worth.
fn told(message: &NewMessage) -> Value {
    json!({ "digest": HEXLOWER.encode(&message.digest), "verdict": code(&message.verdict) })
}

/// `proven`, or the code of the flaw.
pub fn code(verdict: &Verdict) -> &'static str {
    verdict.map_or_else(Flaw::code, |_| "proven")
}

/// Asks the policy: by the reporter's role, or whether reports that nobody has put a name to are taken from its provider.
fn decide(inner: &Inner, source: &Domain, hosted: &Hosted, report: &AbuseReport, case: &Case<'_>) -> Decision {
    let active = inner.policy.active();
    match &report.reporter {
        Some(reporter) => {
            case.decide(&active, &[question(hosted, &Actor::User(reporter.clone()), report, source, case)])
        }
        None => {
            let question = DoorQuestion {
                act: DoorAct::ReportAnonymously,
                actor: &UserUri::provider(source),
                door: &hosted.room.domain(),
                source,
                now: case.now,
            };
            case.decide_door(&active, &question)
        }
    }
}

/// The question whether `actor` may report in a room whose group stands here. `source` is who hands it in.
pub(super) fn question<'a>(
    hosted: &'a Hosted,
    actor: &'a Actor,
    report: &'a AbuseReport,
    source: &'a Domain,
    case: &Case<'_>,
) -> Question<'a> {
    let role = report.reporter.as_ref().map_or(0, |reporter| hosted.state.role_of(reporter));
    Question {
        room: &hosted.facts,
        actor,
        capability: Capability::REPORT_ABUSE,
        target: Some(&report.alleged),
        from_role: role,
        to_role: role,
        transition_authorized: true,
        alternative_granted: false,
        preauthorized: false,
        external: false,
        suite: hosted.view().suite,
        epoch: hosted.view().epoch,
        message_bytes: 0,
        source,
        now: case.now,
    }
}

impl Inner {
    /// Counts one report, and refuses it when there were too many, or too many of late that could not be proven.
    pub(super) fn within_limits(&self, reporter: &UserUri, now: Millis) -> Result<(), GatewayError> {
        self.reporters.reports.take(reporter)?;
        let since = now.minus(UNPROVEN_COUNTS);
        let unproven = self.store.read(|conn| reports::unproven_since(conn, reporter, since))?;
        if unproven < self.reporters.unproven_per_day { Ok(()) } else { Err(TooMany { wait: WAIT }.into()) }
    }

    /// The report with what each message proves, sealed.
    fn examined(
        &self,
        hosted: &Hosted,
        reporter: UserUri,
        report: AbuseReport,
        decision: &Decision,
        now: Millis,
    ) -> Result<NewReport, GatewayError> {
        let (id, crypto) = (Uuid::now_v7(), HubCrypto::default());
        let examine = |(position, message): (u64, &AbusiveMessage)| {
            let hub_keys = self.hub_keys_of(&hosted.room.domain(), message.accepted_at)?;
            let claim = Claim { room: &hosted.room, alleged: &report.alleged, hub_keys: &hub_keys };
            let scheme = hosted.franking.as_ref().ok_or(Flaw::NoAgent);
            let bytes = message.encode();
            Ok(NewMessage {
                position,
                digest: answers::scope(&[&bytes]),
                accepted_at: message.accepted_at,
                verdict: scheme.and_then(|scheme: &Scheme| scheme.prove(&crypto, claim, message)),
                content: self.sealed(&place(id, Some(position)), &bytes)?,
            })
        };
        let messages = (0..).zip(&report.messages).map(examine).collect::<Result<_, GatewayError>>()?;
        Ok(NewReport {
            id,
            room: hosted.room.clone(),
            reporter,
            reason: report.reason.0,
            received_at: now,
            note: self.sealed(&place(id, None), &report.note)?,
            decision: decision.id(),
            messages,
            alleged: report.alleged,
        })
    }

    /// The keys that may have franked a message that was accepted at `at`.
    fn hub_keys_of(&self, domain: &Domain, at: Millis) -> Result<HubKeysOfATime, GatewayError> {
        let Around { own, neighbours } = self.store.read(|conn| hub_keys::around(conn, domain, at))?;
        Ok(HubKeysOfATime {
            own: own.map(|key| self.unsealed(&key)).transpose()?,
            neighbours: neighbours.iter().map(|key| self.unsealed(key)).collect::<Result<_, _>>()?,
        })
    }

    fn sealed(&self, place: &[u8], plain: &[u8]) -> Result<Vec<u8>, GatewayError> {
        self.keys.sealer.seal(Purpose::Report, place, plain).map_err(GatewayError::internal)
    }
}

/// What a part of a report is sealed for: the reporter's own words, or the message at a position.
pub(super) fn place(report: Uuid, message: Option<u64>) -> Vec<u8> {
    let position = message.map_or_else(Vec::new, |position| position.to_be_bytes().to_vec());
    [report.as_bytes().as_slice(), &position].concat()
}

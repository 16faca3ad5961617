//! The tests of a bundle, `tests/*.yaml`: what the policies are meant to decide, in the words of rooms and users.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use crate::consent::Standing;
use crate::room::Actor;
use crate::time::Millis;
use crate::wire::components::Capability;
use crate::wire::consent::ConsentOperation;
use crate::wire::uri::{Domain, RoomUri, UserUri};

mod admin;

use super::bundle::Bundle;
use super::diagnostic::{Diagnostic, Source};
use super::engine::Engine;
use super::facts::{Claim, ConsentStep, DoorAct, DoorQuestion, Membership, Question, RoleFacts, RoomFacts, Side};
use super::settings::{Settings, parse_yaml};
use super::verdict::Verdict;
use admin::AdminCase;

/// One file of tests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Suite {
    /// Instead of the bundle's settings.
    #[serde(default)]
    settings: Settings,
    /// Rooms by a name that the cases use.
    #[serde(default)]
    rooms: BTreeMap<String, RoomFixture>,
    #[serde(default)]
    cases: Vec<Case>,
    /// Questions at the admin door.
    #[serde(default)]
    admin: Vec<AdminCase>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoomFixture {
    room: RoomUri,
    side: SideName,
    /// Absent: not tracked.
    participants: Option<BTreeMap<UserUri, u32>>,
    #[serde(default)]
    roles: Vec<RoleFixture>,
    #[serde(default)]
    muted: BTreeSet<UserUri>,
    #[serde(default)]
    barred: BTreeSet<UserUri>,
    #[serde(default)]
    frozen: bool,
    #[serde(default)]
    legal_hold: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SideName {
    Hub,
    Follower,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleFixture {
    index: u32,
    name: String,
    capabilities: Vec<CapabilityName>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct CapabilityName(Capability);

impl TryFrom<String> for CapabilityName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Capability::from_name(&name).map(Self).ok_or_else(|| format!("`{name}` is no capability"))
    }
}

/// A question and what must come out. With `room` it is about that room, without it about our door.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What is true, as a sentence.
    it: String,
    room: Option<String>,
    actor: UserUri,
    /// A capability, or an action at our door.
    action: String,
    target: Option<UserUri>,
    #[serde(default)]
    from_role: u32,
    #[serde(default)]
    to_role: u32,
    /// Whether the actor's role lists this change of role; the room's own tests prove that.
    #[serde(default = "yes")]
    transition: bool,
    #[serde(default)]
    alternative: bool,
    #[serde(default)]
    preauthorized: bool,
    #[serde(default)]
    external: bool,
    #[serde(default = "usual_suite")]
    suite: u16,
    #[serde(default)]
    epoch: u64,
    #[serde(default)]
    bytes: u64,
    /// How the target of a claim stands to the actor.
    #[serde(default)]
    consent: Standing,
    /// Which step towards the target is taken.
    operation: Option<ConsentOperation>,
    /// Absent: the actor's provider.
    source: Option<Domain>,
    /// Absent: the actor's provider.
    door: Option<Domain>,
    #[serde(default)]
    now: Millis,
    expect: Expected,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    allow: bool,
    /// Exactly the policies that decide, in any order.
    policies: Option<BTreeSet<String>>,
    reason: Option<String>,
    /// What peers and users read.
    public: Option<String>,
}

fn yes() -> bool {
    true
}

/// X25519, AES-128-GCM, SHA-256, Ed25519.
fn usual_suite() -> u16 {
    1
}

/// How one case of a bundle's tests came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseOutcome {
    /// File of the bundle.
    pub file: String,
    /// The sentence.
    pub it: String,
    /// What was decided.
    pub verdict: Verdict,
    /// Why the sentence is not true; `None` when it is.
    pub failure: Option<String>,
}

/// Runs every test of a bundle, in the order of files and cases.
pub fn run_cases(bundle: &Bundle) -> Vec<CaseOutcome> {
    let engine = Engine::new(bundle);
    let suites = bundle.suites.iter().flat_map(|(file, suite)| {
        let engine = engine.with_settings(suite.settings.clone());
        let rooms: BTreeMap<&str, RoomFacts> =
            suite.rooms.iter().map(|(name, room)| (name.as_str(), room.facts())).collect();
        let at_the_admin_door: Vec<CaseOutcome> = suite.admin.iter().map(|case| case.run(file, &engine)).collect();
        let run = move |case: &Case| {
            let verdict = case.ask(&engine, &rooms);
            let failure = case.expect.failure(&verdict);
            CaseOutcome { file: file.clone(), it: case.it.clone(), verdict, failure }
        };
        suite.cases.iter().map(run).chain(at_the_admin_door).collect::<Vec<_>>()
    });
    suites.collect()
}

impl Suite {
    /// Reads a file and reports every name in it that means nothing.
    pub(super) fn parse(source: Source<'_>, policies: &BTreeSet<String>) -> Result<Self, Vec<Diagnostic>> {
        let suite: Self = parse_yaml(source).map_err(|diagnostic| vec![diagnostic])?;
        let wrong = suite.cases.iter().flat_map(|case| suite.check(case, source, policies));
        let wrong: Vec<Diagnostic> =
            wrong.chain(suite.admin.iter().flat_map(|case| case.check(source, policies))).collect();
        if wrong.is_empty() { Ok(suite) } else { Err(wrong) }
    }

    fn check(&self, case: &Case, source: Source<'_>, policies: &BTreeSet<String>) -> Vec<Diagnostic> {
        let start = source.text.find(case.it.as_str()).unwrap_or(0);
        let mut wrong = Vec::new();
        match &case.room {
            Some(room) => {
                if !self.rooms.contains_key(room) {
                    let help = Some("expected one of the file's `rooms`".to_owned());
                    wrong.push(source.near(start, room, format!("no room `{room}`"), help));
                }
                if Capability::from_name(&case.action).is_none() {
                    let help = Some("expected a capability, such as `canSendMessage`".to_owned());
                    wrong.push(source.near(start, &case.action, format!("no capability `{}`", case.action), help));
                }
            }
            None if case.door_act().is_none() => {
                let help = "expected `claimKeyMaterial` with a target, `requestConsent`, `grantConsent`, \
                            `receiveConsentRequest` or `receiveConsent` with a target and an operation, \
                            `findUser` with a target, `search`, `publishProfile`, \
                            `registerDevice`, `deregisterDevice`, `deregisterUser`, `publishKeyPackages`, `readStream` or `reportAnonymously`; with a `room`, \
                            a capability";
                let message = format!("no action `{}` at the door", case.action);
                wrong.push(source.near(start, &case.action, message, Some(help.to_owned())));
            }
            None => {}
        }
        wrong.extend(case.expect.check(start, source, policies));
        wrong
    }
}

impl RoomFixture {
    fn facts(&self) -> RoomFacts {
        let role = |role: &RoleFixture| {
            let capabilities = role.capabilities.iter().map(|name| name.0).collect();
            Arc::new(RoleFacts { index: role.index, name: role.name.clone(), capabilities })
        };
        let roles = || self.roles.iter().map(role).collect();
        RoomFacts {
            room: self.room.clone(),
            side: match self.side {
                SideName::Hub => Side::Hub,
                SideName::Follower => Side::Follower,
            },
            roles: self
                .participants
                .clone()
                .map(|participants| Membership { participants: participants.into(), roles: roles() }),
            muted: self.muted.clone(),
            barred: self.barred.iter().cloned().collect(),
            frozen: self.frozen,
            legal_hold: self.legal_hold,
        }
    }
}

impl Case {
    fn door_act(&self) -> Option<DoorAct<'_>> {
        let (target, consent) = (self.target.as_ref(), self.consent);
        let step = target.zip(self.operation).map(|(about, operation)| ConsentStep { about, room: None, operation });
        match (self.action.as_str(), target, step) {
            ("claimKeyMaterial", Some(target), None) => {
                Some(DoorAct::ClaimKeyMaterial(Claim { target, room: None, consent }))
            }
            ("requestConsent", _, Some(step)) => Some(DoorAct::RequestConsent(step)),
            ("grantConsent", _, Some(step)) => Some(DoorAct::GrantConsent(step)),
            ("receiveConsentRequest", _, Some(step)) => Some(DoorAct::ReceiveConsentRequest(step)),
            ("receiveConsent", _, Some(step)) => Some(DoorAct::ReceiveConsent(step)),
            ("search", None, _) => Some(DoorAct::Search),
            ("findUser", Some(target), None) => Some(DoorAct::FindUser(target)),
            ("publishProfile", None, _) => Some(DoorAct::PublishProfile),
            ("registerDevice", None, _) => Some(DoorAct::RegisterDevice),
            ("deregisterDevice", None, _) => Some(DoorAct::DeregisterDevice),
            ("deregisterUser", None, _) => Some(DoorAct::DeregisterUser),
            ("publishKeyPackages", None, _) => Some(DoorAct::PublishKeyPackages),
            ("readStream", None, _) => Some(DoorAct::ReadStream),
            ("reportAnonymously", None, _) => Some(DoorAct::ReportAnonymously),
            _ => None,
        }
    }

    fn ask(&self, engine: &Engine, rooms: &BTreeMap<&str, RoomFacts>) -> Verdict {
        let home = self.actor.domain();
        let source = self.source.as_ref().unwrap_or(&home);
        let room = self.room.as_deref().and_then(|name| rooms.get(name));
        let (Some(room), Some(capability)) = (room, Capability::from_name(&self.action)) else {
            let door = self.door.as_ref().unwrap_or(&home);
            return match self.door_act() {
                Some(act) => engine.decide_door(&DoorQuestion { act, actor: &self.actor, door, source, now: self.now }),
                None => Verdict::deny("UNKNOWN_ACTION"),
            };
        };
        let actor = if self.actor.is_provider() { Actor::Hub(home.clone()) } else { Actor::User(self.actor.clone()) };
        engine.decide(&Question {
            room,
            actor: &actor,
            capability,
            target: self.target.as_ref(),
            from_role: self.from_role,
            to_role: self.to_role,
            transition_authorized: self.transition,
            alternative_granted: self.alternative,
            preauthorized: self.preauthorized,
            external: self.external,
            suite: self.suite,
            epoch: self.epoch,
            message_bytes: self.bytes,
            source,
            now: self.now,
        })
    }
}

impl Expected {
    /// Policies that do not exist decide nothing.
    fn check(&self, start: usize, source: Source<'_>, policies: &BTreeSet<String>) -> Vec<Diagnostic> {
        let unknown = self.policies.iter().flatten().filter(|id| !policies.contains(*id));
        let help = || Some("expected the `@id` of a policy of this bundle".to_owned());
        unknown.map(|id| source.near(start, id, format!("no policy `{id}`"), help())).collect()
    }

    fn failure(&self, verdict: &Verdict) -> Option<String> {
        let determining: BTreeSet<String> = verdict.determining.iter().cloned().collect();
        let mut differences = Vec::new();
        if self.allow != verdict.allow {
            differences.push(format!("expected allow {}, got {} {determining:?}", self.allow, verdict.allow));
        }
        if let Some(policies) = self.policies.as_ref().filter(|policies| **policies != determining) {
            differences.push(format!("expected policies {policies:?}, got {determining:?}"));
        }
        if let Some(reason) = self.reason.as_ref().filter(|reason| **reason != verdict.reason) {
            differences.push(format!("expected reason `{reason}`, got `{}`", verdict.reason));
        }
        if let Some(public) = self.public.as_ref().filter(|public| *public != verdict.public_sentence()) {
            differences.push(format!("expected public `{public}`, got `{}`", verdict.public_sentence()));
        }
        differences.extend(verdict.errors.iter().map(|error| format!("failed: {error}")));
        if differences.is_empty() { None } else { Some(differences.join("; ")) }
    }
}

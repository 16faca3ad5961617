//! The way back: from a record to the question that was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::consent::Standing;
use crate::policy::engine::Engine;
use crate::policy::facts::{
    AdminAct, AdminQuestion, AnyQuestion, Claim, ConsentStep, DoorAct, DoorQuestion, Membership, Question, RoomFacts,
    Side,
};
use crate::policy::obligations::Obligations;
use crate::policy::roles::RoleSet;
use crate::policy::verdict::Verdict;
use crate::room::Actor;
use crate::time::Millis;
use crate::wire::components::Capability;
use crate::wire::consent::ConsentOperation;
use crate::wire::uri::{Domain, RoomUri, UserUri};

use super::{OPERATOR, RecordHead, roles_of};

/// Why what a record says cannot be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    /// It is not what this version writes.
    #[error("the record is not in a form that is known")]
    Form,
    /// The roles that it names are not kept.
    #[error("the roles of the room are not kept")]
    Roles,
    /// It is about an action that there is no more.
    #[error("there is no such action")]
    Act,
}

/// The verdict that a record holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Whether it was allowed.
    pub allow: bool,
    /// The policies that decided.
    pub policy: Vec<String>,
    /// Code of the reason.
    pub reason: String,
    /// What was owed.
    #[serde(default, skip_serializing_if = "Obligations::is_empty")]
    pub obligations: Obligations,
}

impl Told {
    /// The verdict in what a record says of one question.
    pub fn of(recorded: &Value) -> Option<Self> {
        recorded.get("verdict").and_then(|verdict| Self::deserialize(verdict).ok())
    }
}

impl From<Verdict> for Told {
    fn from(verdict: Verdict) -> Self {
        let Verdict { allow, determining: policy, reason, obligations, .. } = verdict;
        Self { allow, policy, reason, obligations }
    }
}

/// A question as it was asked once.
#[derive(Clone, Debug)]
pub struct Recalled {
    asked: Asked,
    suspended: BTreeSet<Domain>,
    people: BTreeMap<UserUri, String>,
    now: Millis,
}

#[derive(Clone, Debug)]
enum Asked {
    Room(Box<RoomAsked>),
    Door(DoorAsked),
    Admin(AdminAsked),
}

#[derive(Clone, Debug)]
struct RoomAsked {
    facts: RoomFacts,
    actor: Actor,
    capability: Capability,
    written: WrittenRoom,
    epoch: u64,
}

#[derive(Clone, Debug)]
struct DoorAsked {
    written: WrittenDoor,
    act: Door,
    source: Domain,
    door: Domain,
    room: Option<RoomUri>,
}

#[derive(Clone, Debug)]
struct AdminAsked {
    act: AdminAct,
    written: WrittenAdmin,
    operator: String,
    room: Option<RoomUri>,
}

/// What stands in a record of a question about a room.
#[derive(Clone, Debug, Deserialize)]
struct WrittenRoom {
    capability: String,
    actor: String,
    target: Option<UserUri>,
    from_role: u32,
    to_role: u32,
    transition_authorized: bool,
    source: Domain,
    #[serde(default)]
    alternative: bool,
    #[serde(default)]
    preauthorized: bool,
    #[serde(default)]
    external: bool,
    #[serde(default)]
    suite: u16,
    epoch: Option<u64>,
    #[serde(default)]
    message_bytes: u64,
    #[serde(default)]
    side: WrittenSide,
    room: Option<RoomUri>,
    roles: Option<String>,
    #[serde(default, deserialize_with = "named")]
    actor_role: Option<Option<u32>>,
    #[serde(default, deserialize_with = "named")]
    target_role: Option<Option<u32>>,
    #[serde(default)]
    imposed: BTreeSet<Imposed>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenSide {
    #[default]
    Hub,
    Follower,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Imposed {
    ActorMuted,
    ActorBarred,
    TargetMuted,
    TargetBarred,
    Frozen,
    LegalHold,
}

/// What stands in a record of a question at our door.
#[derive(Clone, Debug, Deserialize)]
struct WrittenDoor {
    act: String,
    actor: UserUri,
    about: Option<UserUri>,
    detail: Option<String>,
    source: Option<Domain>,
    door: Option<Domain>,
    #[serde(default, deserialize_with = "named")]
    room: Option<Option<RoomUri>>,
}

/// What stands in a record of a question at the admin door.
#[derive(Clone, Debug, Deserialize)]
struct WrittenAdmin {
    act: String,
    operation: String,
    about: Domain,
    roles: BTreeSet<String>,
    operator: Option<String>,
    #[serde(default, deserialize_with = "named")]
    room: Option<Option<RoomUri>>,
    user: Option<UserUri>,
}

/// What stands in a record of any question.
#[derive(Deserialize)]
struct WrittenMoment {
    now: Option<Millis>,
    #[serde(default)]
    suspended: BTreeSet<Domain>,
    #[serde(default)]
    people: BTreeMap<UserUri, String>,
}

/// An action at our door without those it is about.
#[derive(Clone, Debug)]
enum Door {
    Claim(Standing),
    RequestConsent(ConsentOperation),
    GrantConsent(ConsentOperation),
    ReceiveConsentRequest(ConsentOperation),
    ReceiveConsent(ConsentOperation),
    FindUser,
    Download(Domain),
    Plain(DoorAct<'static>),
}

/// Tells a field that is `null` from one that is absent.
fn named<'de, T: Deserialize<'de>, D: Deserializer<'de>>(field: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(field).map(Some)
}

fn written<'de, T: Deserialize<'de>>(recorded: &'de Value) -> Result<T, Unasked> {
    T::deserialize(recorded).map_err(|_| Unasked::Form)
}

impl Recalled {
    /// Reads what a record with that `head` says of one question; `roles` gives the roles of a name.
    ///
    /// # Errors
    ///
    /// [`Unasked`].
    pub fn read(
        head: &RecordHead<'_>,
        recorded: &Value,
        roles: impl FnOnce(&str) -> Option<RoleSet>,
    ) -> Result<Self, Unasked> {
        let has = |name| recorded.get(name).is_some();
        let asked = if has("capability") {
            Asked::Room(Box::new(RoomAsked::of(head, written(recorded)?, roles)?))
        } else if has("operation") {
            Asked::Admin(AdminAsked::of(head, written(recorded)?)?)
        } else {
            Asked::Door(DoorAsked::of(head, written(recorded)?)?)
        };
        let WrittenMoment { now, suspended, people } = written(recorded)?;
        Ok(Self { asked, suspended, people, now: now.unwrap_or(head.at) })
    }

    /// The providers that were suspended then beside those that the bundle's settings suspend, of those it concerns.
    pub fn suspended(&self) -> &BTreeSet<Domain> {
        &self.suspended
    }

    /// Of whom the company's identity provider said something then, and the name of that ([`crate::policy::Person::id`]).
    pub fn people(&self) -> &BTreeMap<UserUri, String> {
        &self.people
    }

    /// The users it concerns: who acts, and who it is done to.
    pub fn concerned(&self) -> Vec<UserUri> {
        match &self.asked {
            Asked::Room(asked) => {
                [Some(asked.actor.uri()), asked.written.target.clone()].into_iter().flatten().collect()
            }
            Asked::Door(asked) => {
                [Some(asked.written.actor.clone()), asked.written.about.clone()].into_iter().flatten().collect()
            }
            Asked::Admin(_) => Vec::new(),
        }
    }

    /// Asks it again.
    pub fn ask(&self, engine: &Engine) -> Verdict {
        engine.decide_any(&self.question())
    }

    pub(in crate::policy) fn question(&self) -> AnyQuestion<'_> {
        match &self.asked {
            Asked::Room(asked) => AnyQuestion::Room(asked.question(self.now)),
            Asked::Door(asked) => asked.question(self.now).map_or(AnyQuestion::Unknown, AnyQuestion::Door),
            Asked::Admin(asked) => AnyQuestion::Admin(asked.question(self.now)),
        }
    }
}

impl RoomAsked {
    fn of(
        head: &RecordHead<'_>,
        written: WrittenRoom,
        roles: impl FnOnce(&str) -> Option<RoleSet>,
    ) -> Result<Self, Unasked> {
        let actor = match UserUri::parse(&written.actor) {
            Ok(user) => Actor::User(user),
            Err(_) => Actor::Hub(Domain::parse(&written.actor).map_err(|_| Unasked::Form)?),
        };
        let uri = actor.uri();
        let roles = written.roles.as_deref().map(|id| roles(id).ok_or(Unasked::Roles)).transpose()?;
        let said = [written.actor_role, written.target_role];
        let people = roles_of(&uri, written.target.as_ref(), written.from_role).zip(said);
        let listed: BTreeMap<UserUri, u32> =
            people.filter_map(|((_, user, usual), said)| Some((user.clone(), said.unwrap_or(usual)?))).collect();
        let is = |imposed| written.imposed.contains(&imposed);
        let marked = |of_actor, of_target| -> BTreeSet<UserUri> {
            let target = written.target.as_ref().filter(|_| is(of_target));
            is(of_actor).then_some(&uri).into_iter().chain(target).cloned().collect()
        };
        let facts = RoomFacts {
            room: written.room.clone().or_else(|| head.room.cloned()).ok_or(Unasked::Form)?,
            side: match written.side {
                WrittenSide::Hub => Side::Hub,
                WrittenSide::Follower => Side::Follower,
            },
            roles: roles.map(|roles| Membership { participants: Arc::new(listed), roles }),
            muted: marked(Imposed::ActorMuted, Imposed::TargetMuted),
            barred: marked(Imposed::ActorBarred, Imposed::TargetBarred).into_iter().collect(),
            frozen: is(Imposed::Frozen),
            legal_hold: is(Imposed::LegalHold),
        };
        let capability = capability(&written.capability).ok_or(Unasked::Form)?;
        let epoch = written.epoch.or(head.epoch).unwrap_or_default();
        Ok(Self { facts, actor, capability, written, epoch })
    }

    fn question(&self, now: Millis) -> Question<'_> {
        let written = &self.written;
        Question {
            room: &self.facts,
            actor: &self.actor,
            capability: self.capability,
            target: written.target.as_ref(),
            from_role: written.from_role,
            to_role: written.to_role,
            transition_authorized: written.transition_authorized,
            alternative_granted: written.alternative,
            preauthorized: written.preauthorized,
            external: written.external,
            suite: written.suite,
            epoch: self.epoch,
            message_bytes: written.message_bytes,
            source: &written.source,
            now,
        }
    }
}

/// A capability by its name, or as one without a name is written.
fn capability(name: &str) -> Option<Capability> {
    let number = || u16::from_str_radix(name.strip_prefix("capability 0x")?, 16).ok();
    Capability::from_name(name).or_else(|| number().map(Capability))
}

impl DoorAsked {
    fn of(head: &RecordHead<'_>, written: WrittenDoor) -> Result<Self, Unasked> {
        let act = door(&written.act, written.detail.as_deref())?;
        let source = written.source.as_ref().or(head.peer).ok_or(Unasked::Form)?.clone();
        let door = written.door.clone().or_else(|| Some(written.about.as_ref()?.domain())).ok_or(Unasked::Form)?;
        let room = written.room.clone().unwrap_or_else(|| head.room.cloned());
        Ok(Self { written, act, source, door, room })
    }

    fn question(&self, now: Millis) -> Option<DoorQuestion<'_>> {
        let (about, room) = (self.written.about.as_ref(), self.room.as_ref());
        let step = |operation| Some(ConsentStep { about: about?, room, operation });
        let act = match &self.act {
            &Door::Claim(consent) => DoorAct::ClaimKeyMaterial(Claim { target: about?, room, consent }),
            &Door::RequestConsent(operation) => DoorAct::RequestConsent(step(operation)?),
            &Door::GrantConsent(operation) => DoorAct::GrantConsent(step(operation)?),
            &Door::ReceiveConsentRequest(operation) => DoorAct::ReceiveConsentRequest(step(operation)?),
            &Door::ReceiveConsent(operation) => DoorAct::ReceiveConsent(step(operation)?),
            Door::FindUser => DoorAct::FindUser(about?),
            Door::Download(host) => DoorAct::Download(host),
            &Door::Plain(act) => act,
        };
        Some(DoorQuestion { act, actor: &self.written.actor, door: &self.door, source: &self.source, now })
    }
}

/// An action at our door by its name.
fn door(name: &str, detail: Option<&str>) -> Result<Door, Unasked> {
    const PLAIN: [DoorAct<'static>; 8] = [
        DoorAct::Search,
        DoorAct::PublishProfile,
        DoorAct::RegisterDevice,
        DoorAct::DeregisterDevice,
        DoorAct::DeregisterUser,
        DoorAct::PublishKeyPackages,
        DoorAct::ReadStream,
        DoorAct::ReportAnonymously,
    ];
    let operation = || {
        let all =
            [ConsentOperation::Cancel, ConsentOperation::Request, ConsentOperation::Grant, ConsentOperation::Revoke];
        all.into_iter().find(|operation| Some(operation.name()) == detail).ok_or(Unasked::Form)
    };
    let standing = || {
        let all = [Standing::Granted, Standing::Revoked, Standing::AnotherRoom, Standing::None, Standing::Elsewhere];
        all.into_iter().find(|standing| Some(standing.name()) == detail).ok_or(Unasked::Form)
    };
    Ok(match name {
        "claimKeyMaterial" => Door::Claim(standing()?),
        "requestConsent" => Door::RequestConsent(operation()?),
        "grantConsent" => Door::GrantConsent(operation()?),
        "receiveConsentRequest" => Door::ReceiveConsentRequest(operation()?),
        "receiveConsent" => Door::ReceiveConsent(operation()?),
        "findUser" => Door::FindUser,
        "downloadAsset" => Door::Download(detail.and_then(|host| Domain::parse(host).ok()).ok_or(Unasked::Form)?),
        name => Door::Plain(PLAIN.into_iter().find(|act| act.name() == name).ok_or(Unasked::Act)?),
    })
}

impl AdminAsked {
    fn of(head: &RecordHead<'_>, written: WrittenAdmin) -> Result<Self, Unasked> {
        let fits = |act: &AdminAct| act.name() == written.act && act.operation() == written.operation;
        let act = AdminAct::ALL.into_iter().find(fits).ok_or(Unasked::Act)?;
        let by = || head.actor.and_then(|actor| actor.strip_prefix(OPERATOR)).map(str::to_owned);
        let operator = written.operator.clone().or_else(by).ok_or(Unasked::Form)?;
        let room = written.room.clone().unwrap_or_else(|| head.room.cloned());
        Ok(Self { act, written, operator, room })
    }

    fn question(&self, now: Millis) -> AdminQuestion<'_> {
        AdminQuestion {
            act: self.act,
            operator: &self.operator,
            roles: &self.written.roles,
            about: &self.written.about,
            room: self.room.as_ref(),
            user: self.written.user.as_ref(),
            now,
        }
    }
}

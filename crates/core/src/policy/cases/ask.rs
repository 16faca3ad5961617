use std::collections::BTreeSet;
use std::sync::Arc;

use crate::consent::Standing;
use crate::policy::facts::{AdminAct, AdminQuestion, AnyQuestion, Claim, ConsentStep, DoorAct, DoorQuestion, Question};
use crate::room::Actor;
use crate::time::Millis;
use crate::wire::components::Capability;
use crate::wire::consent::ConsentOperation;
use crate::wire::uri::{Domain, RoomUri, UserUri};

use super::fixtures::Fixture;

/// A question with everything that it speaks of.
#[derive(Clone, Debug)]
pub(in crate::policy) enum Ask {
    Room(Box<RoomAsk>),
    Door(Box<DoorAsk>),
    Admin(Box<AdminAsk>),
}

/// A question about a room.
#[derive(Clone, Debug)]
pub(in crate::policy) struct RoomAsk {
    pub(in crate::policy) room: Arc<Fixture>,
    pub(in crate::policy) actor: Actor,
    pub(in crate::policy) capability: Capability,
    pub(in crate::policy) target: Option<UserUri>,
    /// What the case says of the change of role; the rest follows from the room.
    pub(in crate::policy) said: Said,
    pub(in crate::policy) alternative: bool,
    pub(in crate::policy) preauthorized: bool,
    pub(in crate::policy) external: bool,
    pub(in crate::policy) suite: u16,
    pub(in crate::policy) epoch: u64,
    pub(in crate::policy) bytes: u64,
    /// Who hands it in: the actor's provider where the case does not say.
    pub(in crate::policy) source: Domain,
    pub(in crate::policy) now: Millis,
}

/// What a case says of a change of role.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::policy) struct Said {
    pub(super) from: Option<u32>,
    pub(super) to: Option<u32>,
    pub(super) authorized: Option<bool>,
    /// Whether it names who hands the question in.
    pub(super) source: bool,
}

/// A question at our door.
#[derive(Clone, Debug)]
pub(in crate::policy) struct DoorAsk {
    pub(super) act: String,
    pub(super) actor: UserUri,
    pub(super) target: Option<UserUri>,
    pub(super) consent: Standing,
    pub(super) operation: Option<ConsentOperation>,
    pub(super) host: Option<Domain>,
    pub(super) door: Domain,
    pub(super) source: Domain,
    pub(super) now: Millis,
}

/// A question at the admin door.
#[derive(Clone, Debug)]
pub(in crate::policy) struct AdminAsk {
    pub(super) act: AdminAct,
    pub(super) roles: BTreeSet<String>,
    pub(super) about: Domain,
    pub(super) room: Option<RoomUri>,
    pub(super) user: Option<UserUri>,
    pub(super) now: Millis,
}

impl Ask {
    pub(in crate::policy) fn question(&self) -> AnyQuestion<'_> {
        match self {
            Self::Room(ask) => AnyQuestion::Room(ask.question()),
            Self::Door(ask) => ask.question().map_or(AnyQuestion::Unknown, AnyQuestion::Door),
            Self::Admin(ask) => AnyQuestion::Admin(AdminQuestion {
                act: ask.act,
                operator: "somebody",
                roles: &ask.roles,
                about: &ask.about,
                room: ask.room.as_ref(),
                user: ask.user.as_ref(),
                now: ask.now,
            }),
        }
    }
}

impl RoomAsk {
    /// The same asked by another user.
    pub(in crate::policy) fn by(&self, user: &UserUri) -> Self {
        let home = user.domain();
        let actor = if user.is_provider() { Actor::Hub(home.clone()) } else { Actor::User(user.clone()) };
        let source = if self.said.source { self.source.clone() } else { home };
        Self { actor, source, ..self.clone() }
    }

    /// The same asked of another capability.
    pub(in crate::policy) fn to(&self, capability: Capability) -> Self {
        Self { capability, ..self.clone() }
    }

    /// What it depends on and the case does not name.
    pub(in crate::policy) fn unnamed(&self) -> Vec<&'static str> {
        let is_done_to_somebody = matches!(
            self.capability,
            Capability::ADD_PARTICIPANT
                | Capability::REMOVE_PARTICIPANT
                | Capability::BAN
                | Capability::UNBAN
                | Capability::KICK
                | Capability::CHANGE_USER_ROLE
        );
        let changes_role = matches!(self.capability, Capability::CHANGE_USER_ROLE | Capability::CHANGE_OWN_ROLE);
        let needed = [
            ("target", is_done_to_somebody && self.target.is_none()),
            ("to_role", changes_role && self.said.to.is_none()),
        ];
        needed.into_iter().filter(|(_, is_open)| *is_open).map(|(name, _)| name).collect()
    }

    /// The same asked in another room.
    pub(in crate::policy) fn at(&self, room: Arc<Fixture>) -> Self {
        Self { room, ..self.clone() }
    }

    fn question(&self) -> Question<'_> {
        let Said { from, to, authorized, .. } = self.said;
        let change = self.room.usual(self.capability, &self.actor.uri(), self.target.as_ref(), (from, to));
        Question {
            room: &self.room.facts,
            actor: &self.actor,
            capability: self.capability,
            target: self.target.as_ref(),
            from_role: change.from,
            to_role: change.to,
            transition_authorized: authorized.unwrap_or(change.authorized),
            alternative_granted: self.alternative,
            preauthorized: self.preauthorized,
            external: self.external,
            suite: self.suite,
            epoch: self.epoch,
            message_bytes: self.bytes,
            source: &self.source,
            now: self.now,
        }
    }
}

impl DoorAsk {
    /// The question, if the action is one at the door and has what it needs.
    pub(super) fn question(&self) -> Option<DoorQuestion<'_>> {
        let (target, consent) = (self.target.as_ref(), self.consent);
        let step = target.zip(self.operation).map(|(about, operation)| ConsentStep { about, room: None, operation });
        let act = match (self.act.as_str(), target, step) {
            ("claimKeyMaterial", Some(target), None) => {
                DoorAct::ClaimKeyMaterial(Claim { target, room: None, consent })
            }
            ("requestConsent", _, Some(step)) => DoorAct::RequestConsent(step),
            ("grantConsent", _, Some(step)) => DoorAct::GrantConsent(step),
            ("receiveConsentRequest", _, Some(step)) => DoorAct::ReceiveConsentRequest(step),
            ("receiveConsent", _, Some(step)) => DoorAct::ReceiveConsent(step),
            ("search", None, _) => DoorAct::Search,
            ("findUser", Some(target), None) => DoorAct::FindUser(target),
            ("publishProfile", None, _) => DoorAct::PublishProfile,
            ("registerDevice", None, _) => DoorAct::RegisterDevice,
            ("deregisterDevice", None, _) => DoorAct::DeregisterDevice,
            ("deregisterUser", None, _) => DoorAct::DeregisterUser,
            ("publishKeyPackages", None, _) => DoorAct::PublishKeyPackages,
            ("readStream", None, _) => DoorAct::ReadStream,
            ("reportAnonymously", None, _) => DoorAct::ReportAnonymously,
            ("downloadAsset", None, None) => DoorAct::Download(self.host.as_ref()?),
            _ => return None,
        };
        Some(DoorQuestion { act, actor: &self.actor, door: &self.door, source: &self.source, now: self.now })
    }
}

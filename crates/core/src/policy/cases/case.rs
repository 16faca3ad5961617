use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::consent::Standing;
use crate::room::Actor;
use crate::wire::components::Capability;
use crate::wire::consent::ConsentOperation;
use crate::wire::uri::{Domain, UserUri};

use super::ask::{Ask, DoorAsk, RoomAsk, Said};
use super::expected::Expected;
use super::fixtures::{Fixture, RoleName};
use super::moment::Moment;
use super::{Row, Tabled, Unclear};

/// A question and what must come out. With `room` it is about that room, without it about our door.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Case {
    /// What is true, as a sentence.
    it: String,
    room: Option<String>,
    actor: Option<UserUri>,
    /// A capability, or an action at our door.
    action: Option<String>,
    target: Option<UserUri>,
    from_role: Option<RoleName>,
    to_role: Option<RoleName>,
    /// Whether the actor's role lists this change of role. Absent: as the room's template says, or else yes.
    transition: Option<bool>,
    alternative: Option<bool>,
    preauthorized: Option<bool>,
    external: Option<bool>,
    suite: Option<u16>,
    epoch: Option<u64>,
    bytes: Option<u64>,
    /// How the target of a claim stands to the actor.
    consent: Option<Standing>,
    /// Which step towards the target is taken.
    operation: Option<ConsentOperation>,
    /// Absent: the actor's provider.
    source: Option<Domain>,
    /// Absent: the actor's provider.
    door: Option<Domain>,
    /// From where is downloaded.
    host: Option<Domain>,
    now: Option<Moment>,
    expect: Option<Expected>,
    /// The same question with some of it otherwise, a case each.
    table: Vec<Case>,
}

/// X25519, AES-128-GCM, SHA-256, Ed25519.
const USUAL_SUITE: u16 = 1;

impl Tabled for Case {
    fn it(&self) -> &str {
        &self.it
    }

    fn expect(&self) -> Option<&Expected> {
        self.expect.as_ref()
    }

    fn table(&self) -> &[Self] {
        &self.table
    }

    fn over(&self, of: &Self) -> Self {
        let (row, of) = (self.clone(), of.clone());
        Self {
            it: row.it,
            room: row.room.or(of.room),
            actor: row.actor.or(of.actor),
            action: row.action.or(of.action),
            target: row.target.or(of.target),
            from_role: row.from_role.or(of.from_role),
            to_role: row.to_role.or(of.to_role),
            transition: row.transition.or(of.transition),
            alternative: row.alternative.or(of.alternative),
            preauthorized: row.preauthorized.or(of.preauthorized),
            external: row.external.or(of.external),
            suite: row.suite.or(of.suite),
            epoch: row.epoch.or(of.epoch),
            bytes: row.bytes.or(of.bytes),
            consent: row.consent.or(of.consent),
            operation: row.operation.or(of.operation),
            source: row.source.or(of.source),
            door: row.door.or(of.door),
            host: row.host.or(of.host),
            now: row.now.or(of.now),
            expect: row.expect.or(of.expect),
            table: row.table,
        }
    }
}

impl Row<Case> {
    /// The question.
    pub(super) fn ask(&self, rooms: &BTreeMap<String, Arc<Fixture>>, now: Moment) -> Result<Ask, Unclear> {
        let Case { room, actor, action, .. } = self.flat()?;
        let missing =
            |key: &str| Unclear::new(&self.it, format!("`{}` has no `{key}`", self.it), "every case needs one");
        let actor = actor.as_ref().ok_or_else(|| missing("actor"))?;
        let action = action.as_deref().ok_or_else(|| missing("action"))?;
        match room {
            Some(room) => {
                let fixture = rooms.get(room);
                let fixture = fixture.ok_or_else(|| {
                    Unclear::new(room, format!("no room `{room}`"), "expected one of the file's `rooms`")
                })?;
                self.about_room(fixture, actor, action, now)
            }
            None => self.at_door(actor, action, now),
        }
    }

    fn about_room(&self, room: &Arc<Fixture>, actor: &UserUri, action: &str, now: Moment) -> Result<Ask, Unclear> {
        let case = &self.case;
        let capability = Capability::from_name(action).ok_or_else(|| {
            let help = "expected a capability, such as `canSendMessage`";
            Unclear::new(action, format!("no capability `{action}`"), help)
        })?;
        let role = |name: &Option<RoleName>| {
            let index = name.as_ref().map(|name| {
                let found = room.role(name);
                found.ok_or_else(|| {
                    Unclear::new(&name.to_string(), format!("no role `{name}`"), "expected one of the room")
                })
            });
            index.transpose()
        };
        let said = Said {
            from: role(&case.from_role)?,
            to: role(&case.to_role)?,
            authorized: case.transition,
            source: case.source.is_some(),
        };
        let home = actor.domain();
        Ok(Ask::Room(Box::new(RoomAsk {
            room: Arc::clone(room),
            actor: if actor.is_provider() { Actor::Hub(home.clone()) } else { Actor::User(actor.clone()) },
            capability,
            target: case.target.clone(),
            said,
            alternative: case.alternative.unwrap_or(false),
            preauthorized: case.preauthorized.unwrap_or(false),
            external: case.external.unwrap_or(false),
            suite: case.suite.unwrap_or(USUAL_SUITE),
            epoch: case.epoch.unwrap_or(0),
            bytes: case.bytes.unwrap_or(0),
            source: case.source.clone().unwrap_or(home),
            now: case.now.unwrap_or(now).0,
        })))
    }

    fn at_door(&self, actor: &UserUri, action: &str, now: Moment) -> Result<Ask, Unclear> {
        let case = &self.case;
        let home = actor.domain();
        let ask = DoorAsk {
            act: action.to_owned(),
            actor: actor.clone(),
            target: case.target.clone(),
            consent: case.consent.unwrap_or_default(),
            operation: case.operation,
            host: case.host.clone(),
            door: case.door.clone().unwrap_or_else(|| home.clone()),
            source: case.source.clone().unwrap_or(home),
            now: case.now.unwrap_or(now).0,
        };
        if ask.question().is_none() {
            let help = "expected `claimKeyMaterial` with a target, `requestConsent`, `grantConsent`, \
                        `receiveConsentRequest` or `receiveConsent` with a target and an operation, \
                        `findUser` with a target, `search`, `publishProfile`, \
                        `registerDevice`, `deregisterDevice`, `deregisterUser`, `publishKeyPackages`, `readStream`, \
                        `reportAnonymously`, or `downloadAsset` with a host; with a `room`, a capability";
            return Err(Unclear::new(action, format!("no action `{action}` at the door"), help));
        }
        Ok(Ask::Door(Box::new(ask)))
    }
}

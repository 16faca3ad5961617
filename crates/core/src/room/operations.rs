//! The parts of a change, sorted by what they touch: the participant list, clients, components, the group itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::mls::{ComponentOperation, Effect, Part, Proposer};
use crate::wire::Wire as _;
use crate::wire::components::{ComponentId, ParticipantListUpdate};
use crate::wire::uri::{ClientUri, UserUri};

use super::state::UNLISTED;
use super::{Actor, Breach, RoomState, Violation};

/// Who made a part, and how it came.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub actor: Actor,
    /// The client it came from, where it was one.
    pub client: Option<ClientUri>,
    /// From outside the group.
    pub external: bool,
    pub reference: Option<Vec<u8>>,
}

impl Origin {
    pub(super) fn of(part: &Part) -> Result<Self, Violation> {
        let (actor, client, external) = match &part.proposer {
            Proposer::Member { client, user, .. } => (Actor::User(user.clone()), Some(client.clone()), false),
            Proposer::Joiner { client, user } => (Actor::User(user.clone()), Some(client.clone()), true),
            Proposer::ExternalSender { domain: Some(domain), .. } => (Actor::Hub(domain.clone()), None, true),
            Proposer::ExternalSender { domain: None, .. } => {
                return Err(Violation::from(Breach::NotSupported).proposed_as(part.reference.as_ref()));
            }
        };
        Ok(Self { actor, client, external, reference: part.reference.clone() })
    }

    pub(super) fn violation(&self, breach: Breach) -> Violation {
        Violation::from(breach).proposed_as(self.reference.as_ref())
    }
}

/// One user's place in the participant list changes.
#[derive(Clone, Debug)]
pub(super) struct ListOperation {
    pub user: UserUri,
    pub from: u32,
    pub to: u32,
    pub origin: Origin,
}

/// A client comes or goes.
#[derive(Clone, Debug)]
pub(super) struct ClientOperation {
    pub client: ClientUri,
    pub user: UserUri,
    pub origin: Origin,
}

/// Another component is replaced or removed.
#[derive(Clone, Debug)]
pub(super) struct ComponentChange {
    pub id: ComponentId,
    pub origin: Origin,
}

/// A part without effect on who takes part: an Update or a PSK.
#[derive(Clone, Debug)]
pub(super) struct Upkeep {
    pub psk: bool,
    pub origin: Origin,
}

/// Everything that a list of parts does.
#[derive(Clone, Debug, Default)]
pub(super) struct Operations {
    /// At most one for each user (invariant 1).
    pub list: BTreeMap<UserUri, ListOperation>,
    pub added: Vec<ClientOperation>,
    pub removed: Vec<ClientOperation>,
    pub components: Vec<ComponentChange>,
    pub upkeep: Vec<Upkeep>,
}

impl Operations {
    /// Sorts `parts`, whose list updates refer to the participant list of `room`.
    ///
    /// # Errors
    ///
    /// A part that this build does not carry out, a list update that does not fit the list (reading D-50), or one
    /// user in two list operations (invariant 1).
    pub(super) fn of(parts: &[Part], room: &RoomState) -> Result<Self, Violation> {
        let mut operations = Self::default();
        let mut replaced = BTreeSet::new();
        for part in parts {
            let origin = Origin::of(part)?;
            match &part.effect {
                Effect::Add { client, user, .. } => {
                    operations.added.push(ClientOperation { client: client.clone(), user: user.clone(), origin });
                }
                Effect::Remove { client, user, .. } | Effect::SelfRemove { client, user, .. } => {
                    operations.removed.push(ClientOperation { client: client.clone(), user: user.clone(), origin });
                }
                Effect::Update { .. } => operations.upkeep.push(Upkeep { psk: false, origin }),
                Effect::Psk => operations.upkeep.push(Upkeep { psk: true, origin }),
                Effect::Component { id: ComponentId::PARTICIPANT_LIST, operation } => {
                    operations.take_list(operation, &origin, room)?;
                }
                Effect::Component { id, operation } => {
                    let required = (ComponentId::FRANK_AAD..=ComponentId::BASE_ROOM_POLICY).contains(id);
                    if required && *operation == ComponentOperation::Remove {
                        return Err(origin.violation(Breach::ComponentRemoval));
                    }
                    if !replaced.insert(*id) {
                        return Err(origin.violation(Breach::ComponentTwice));
                    }
                    operations.components.push(ComponentChange { id: *id, origin });
                }
                Effect::ExternalInit => {}
                Effect::GroupContextExtensions | Effect::ReInit | Effect::Other(_) => {
                    return Err(origin.violation(Breach::NotSupported));
                }
            }
        }
        Ok(operations)
    }

    fn take_list(
        &mut self,
        operation: &ComponentOperation,
        origin: &Origin,
        room: &RoomState,
    ) -> Result<(), Violation> {
        let ComponentOperation::Update(data) = operation else {
            return Err(origin.violation(Breach::ComponentRemoval));
        };
        for (user, from, to) in
            list_moves(data, room).map_err(|violation| violation.proposed_as(origin.reference.as_ref()))?
        {
            let operation = ListOperation { user: user.clone(), from, to, origin: origin.clone() };
            if self.list.insert(user.clone(), operation).is_some() {
                return Err(origin.violation(Breach::DoubleOperation).about(&user));
            }
        }
        Ok(())
    }
}

/// The moves (user, role before, role after) of one ParticipantListUpdate, positions being those of `room`'s list.
pub(super) fn list_moves(data: &[u8], room: &RoomState) -> Result<Vec<(UserUri, u32, u32)>, Violation> {
    let update = ParticipantListUpdate::decode(data).map_err(|_| Breach::Malformed)?;
    let at = |index: u32| {
        usize::try_from(index)
            .ok()
            .and_then(|index| room.list().get(index))
            .map(|listed| (&listed.user, listed.role_index))
            .ok_or_else(|| Violation::from(Breach::ListIndex))
    };
    let mut moves = Vec::new();
    let mut positions = BTreeSet::new();
    for change in update.changed {
        let (user, from) = at(change.user_index)?;
        known_role(change.role_index, user, room)?;
        if from == change.role_index {
            return Err(Violation::from(Breach::SameRole).about(user));
        }
        if !positions.insert(change.user_index) {
            return Err(Violation::from(Breach::DoubleOperation).about(user));
        }
        moves.push((user.clone(), from, change.role_index));
    }
    for index in update.removed {
        let (user, from) = at(index)?;
        if !positions.insert(index) {
            return Err(Violation::from(Breach::DoubleOperation).about(user));
        }
        moves.push((user.clone(), from, UNLISTED));
    }
    for participant in update.added {
        let user = participant.user;
        known_role(participant.role_index, &user, room)?;
        if moves.iter().any(|(moved, ..)| *moved == user) {
            return Err(Violation::from(Breach::DoubleOperation).about(&user));
        }
        if room.is_listed(&user) {
            return Err(Violation::from(Breach::AlreadyListed).about(&user));
        }
        moves.push((user, UNLISTED, participant.role_index));
    }
    Ok(moves)
}

fn known_role(role: u32, user: &UserUri, room: &RoomState) -> Result<(), Violation> {
    if role != UNLISTED && room.roles().contains_key(&role) {
        Ok(())
    } else {
        Err(Violation::from(Breach::UnknownRole).about(user))
    }
}

//! What each policy component must satisfy by itself, and what of it this build does not carry out.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::components::{
    BaseRoomPolicy, BotPolicy, Capability, ComponentId, Dictionary, HistoryPolicy, JoinLinkPolicy, LinkPreviewPolicy,
    LoggingPolicy, MessageExpirationPolicy, OperationalParameters, Optionality, Role, RolesList, RoomMetadata,
    StatusNotificationPolicy,
};
use crate::wire::uri::{ClientUri, Domain};
use crate::wire::{DecodeError, Wire};

use super::state::{BANNED, UNLISTED};
use super::{Breach, RoomState, Violation};
use super::{assets, capable};

/// Most roles of a room (reading P-7).
const MAX_ROLES: usize = 256;
/// Most join links of a room: everybody in it is told all of them.
const MAX_LINKS: usize = 64;
/// `mls_public_message` (RFC 9420, section 17.2): the only format that handshakes may have here (reading D-55).
const PUBLIC_MESSAGE: u16 = 1;

/// The roles by index, if the definitions are well formed (reading P-7).
///
/// Where some role can ban or unban, role 1 is the role of banned users. A room where nobody can do either may still
/// have that role: a change of role together with a kick bans too.
pub(super) fn roles(list: RolesList, fixed_membership: bool) -> Result<BTreeMap<u32, Role>, Violation> {
    let ill_formed = |capability| Err(Violation::from(Breach::IllFormedRoles).lacking(capability));
    let count = list.roles.len();
    let roles: BTreeMap<u32, Role> = list.roles.into_iter().map(|role| (role.role_index, role)).collect();
    if roles.len() != count || count > MAX_ROLES {
        return Err(Breach::IllFormedRoles.into());
    }
    let has_banned = roles.get(&BANNED).is_some_and(|role| role.name == "banned");
    let known = |index: &u32| *index == UNLISTED || roles.contains_key(index);
    for (index, role) in &roles {
        let can = |capability| role.capabilities.contains(&capability);
        let knows_its_changes = role
            .authorized_role_changes
            .iter()
            .all(|change| known(&change.from_role_index) && change.target_role_indexes.iter().all(known));
        if !knows_its_changes {
            return Err(Breach::IllFormedRoles.into());
        }
        if (can(Capability::BAN) || can(Capability::UNBAN)) && !has_banned {
            return ill_formed(Capability::BAN);
        }
        if can(Capability::OPEN_JOIN) && *index != UNLISTED {
            return ill_formed(Capability::OPEN_JOIN);
        }
        if fixed_membership && can(Capability::ADD_PARTICIPANT) && *index != UNLISTED {
            return ill_formed(Capability::ADD_PARTICIPANT);
        }
    }
    Ok(roles)
}

/// Checks the data of one component as it stands in `room` after a change; `None` when it has been removed.
pub(super) fn component(id: ComponentId, data: Option<&[u8]>, room: &RoomState) -> Result<(), Breach> {
    match id {
        // Checked with the room as a whole.
        ComponentId::PARTICIPANT_LIST | ComponentId::ROLES_LIST => Ok(()),
        ComponentId::ROOM_METADATA => read(data)?.map_or(Ok(()), |metadata| check_metadata(&metadata)),
        ComponentId::MLS_OPERATIONAL_POLICY => read(data)?.map_or(Ok(()), |parameters| operational(&parameters)),
        ComponentId::PREAUTH_LIST => preauth(room),
        ComponentId::BASE_ROOM_POLICY => read(data)?.map_or(Ok(()), |base| base_policy(&base, room)),
        ComponentId::STATUS_NOTIFICATION_POLICY => read::<StatusNotificationPolicy>(data).map(|_| ()),
        ComponentId::LINK_PREVIEW_POLICY => read(data)?.map_or(Ok(()), |policy| link_preview(&policy)),
        ComponentId::LOGGING_POLICY => read(data)?.map_or(Ok(()), |policy| logging(&policy)),
        ComponentId::CHAT_HISTORY_POLICY => read(data)?.map_or(Ok(()), |policy| history(&policy, room)),
        ComponentId::BOT_POLICY => read(data)?.map_or(Ok(()), |policy| bots(&policy, room)),
        ComponentId::MESSAGE_EXPIRATION_POLICY => read(data)?.map_or(Ok(()), |policy| expiration(&policy)),
        // Checked together.
        ComponentId::JOIN_LINKS | ComponentId::JOIN_LINK_POLICY => Ok(()),
        ComponentId::ASSET_POLICY => read(data)?.map_or(Ok(()), |policy| assets::well_formed(&policy)),
        _ => Err(Breach::NotSupported),
    }
}

impl From<DecodeError> for Breach {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

fn read<T: Wire>(data: Option<&[u8]>) -> Result<Option<T>, Breach> {
    Ok(data.map(T::decode).transpose()?)
}

pub(super) fn require(holds: bool, breach: Breach) -> Result<(), Breach> {
    if holds { Ok(()) } else { Err(breach) }
}

fn check_metadata(metadata: &RoomMetadata) -> Result<(), Breach> {
    require(metadata.avatar.is_empty() || metadata.avatar.starts_with("https://"), Breach::Metadata)
}

/// A room that asks of its clients what cannot be told of them is refused rather than left unprotected.
fn operational(parameters: &OperationalParameters) -> Result<(), Breach> {
    require(
        capable::can_be_told(parameters) && parameters.handshake_formats.iter().all(|format| *format == PUBLIC_MESSAGE),
        Breach::NotSupported,
    )
}

fn preauth(room: &RoomState) -> Result<(), Breach> {
    let fits = |role: u32| role != UNLISTED && role != BANNED && room.roles().contains_key(&role);
    require(room.preauth().entries.iter().all(|entry| fits(entry.target_role_index)), Breach::UnknownRole)
}

/// That a fixed room is the only one of its users, and what its parent makes of a dependent one, only the hub of both knows.
fn base_policy(base: &BaseRoomPolicy, room: &RoomState) -> Result<(), Breach> {
    require(base.parent_dependant == base.parent_room.is_some(), Breach::Malformed)?;
    require(base.parent_room.as_ref().is_none_or(|parent| parent.domain() == room.hub()), Breach::NotSupported)
}

fn link_preview(policy: &LinkPreviewPolicy) -> Result<(), Breach> {
    policy.proxy_use.terms().map_or(Ok(()), |proxies| {
        require(
            !proxies.uris.is_empty() && proxies.uris.iter().all(|uri| uri.starts_with("https://")),
            Breach::Malformed,
        )
    })
}

/// A room that must be logged names who logs it: clients, of each provider one at most (reading P-23).
fn logging(policy: &LoggingPolicy) -> Result<(), Breach> {
    let Some(terms) = policy.logging.terms() else { return Ok(()) };
    let clients: Result<Vec<ClientUri>, _> = terms.logging_clients.iter().map(|uri| ClientUri::parse(uri)).collect();
    let clients = clients.map_err(|_| Breach::Malformed)?;
    let providers: BTreeSet<Domain> = clients.iter().map(ClientUri::domain).collect();
    let is_named = policy.logging.optionality() != Optionality::Required || !clients.is_empty();
    require(is_named && providers.len() == clients.len(), Breach::Malformed)
}

/// Links that people ask to join by: each once, and one at most where they are made on request.
///
/// # Errors
///
/// [`Breach::Malformed`] for what does not decode, is empty or too much; [`Breach::JoinLinks`] for what contradicts the policy.
pub(super) fn join_links(room: &RoomState, components: &Dictionary) -> Result<(), Breach> {
    let policy: Option<JoinLinkPolicy> = components.read()?;
    let links = &room.join_links().links;
    let distinct: BTreeSet<&Vec<u8>> = links.iter().collect();
    require(
        distinct.len() == links.len() && links.len() <= MAX_LINKS && !links.iter().any(Vec::is_empty),
        Breach::Malformed,
    )?;
    require(links.len() <= 1 || !policy.is_some_and(|policy| policy.on_request), Breach::JoinLinks)
}

fn history(policy: &HistoryPolicy, room: &RoomState) -> Result<(), Breach> {
    let fits = |role: &u32| {
        ![UNLISTED, BANNED].contains(role) && room.roles().get(role).is_some_and(|role| role.max_active != Some(0))
    };
    let terms = policy.history_sharing.terms();
    require(terms.is_none_or(|sharing| sharing.roles_that_can_share.iter().all(fits)), Breach::UnknownRole)
}

fn bots(policy: &BotPolicy, room: &RoomState) -> Result<(), Breach> {
    policy.bots.iter().try_for_each(|bot| {
        if bot.local_client_bot {
            require(bot.role_index == UNLISTED, Breach::Malformed)
        } else {
            require(bot.role_index != UNLISTED && room.roles().contains_key(&bot.role_index), Breach::UnknownRole)
        }
    })
}

fn expiration(policy: &MessageExpirationPolicy) -> Result<(), Breach> {
    let terms = policy.expiring_messages.terms();
    require(
        terms.is_none_or(|limits| {
            let default = limits.default_seconds.unwrap_or(limits.min_seconds);
            limits.min_seconds <= default && default <= limits.max_seconds
        }),
        Breach::Malformed,
    )
}

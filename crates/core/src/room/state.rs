//! A room as its group's components and leaves say it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use itertools::Itertools as _;
use smallvec::SmallVec;

use crate::mls::GroupView;
use crate::wire::DecodeError;
use crate::wire::components::{
    BaseRoomPolicy, Capability, ComponentId, JoinLinks, OperationalParameters, Participant, ParticipantList,
    PreauthList, Role, RolesList, RoomMetadata,
};
use crate::wire::uri::{Domain, UserUri};

use super::{Breach, Rule, Violation, well_formed};

/// Role index of users who are not listed.
pub(super) const UNLISTED: u32 = 0;
/// Role index of banned users, where role 1 has that name.
pub(super) const BANNED: u32 = 1;

/// Why the components of a group are not those of a room.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// A component does not decode.
    #[error("a component of the room is malformed")]
    Decode(#[from] DecodeError),
    /// P-24: without roles nobody may do anything.
    #[error("the room has no roles")]
    NoRoles,
    /// Without a participant list nobody takes part.
    #[error("the room has no participant list")]
    NoParticipants,
    /// What decodes breaks a rule of the room policy.
    #[error(transparent)]
    Rules(#[from] Violation),
}

impl RoomError {
    /// The stable machine-readable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Decode(_) => Breach::Malformed.code(),
            Self::NoRoles => "no_roles",
            Self::NoParticipants => "no_participants",
            Self::Rules(violation) => violation.code(),
        }
    }
}

impl From<RoomError> for Violation {
    /// What a change is refused for when the room would not be one after it.
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::Decode(_) => Breach::Malformed.into(),
            RoomError::NoRoles | RoomError::NoParticipants => Breach::ComponentRemoval.into(),
            RoomError::Rules(violation) => violation,
        }
    }
}

/// The leaves of a user, ascending; most have few.
pub type Leaves = SmallVec<[u32; 4]>;

/// The participants, roles and policies of a room in one epoch, checked for being well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomState {
    hub: UserUri,
    list: Arc<Listed>,
    roles: BTreeMap<u32, Role>,
    base: BaseRoomPolicy,
    preauth: PreauthList,
    operational: Option<OperationalParameters>,
    metadata: Option<RoomMetadata>,
    join_links: JoinLinks,
    clients: Arc<BTreeMap<UserUri, Leaves>>,
    client_count: usize,
}

/// The participant list.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    in_order: Arc<ParticipantList>,
    by_user: Arc<BTreeMap<UserUri, u32>>,
}

impl RoomState {
    /// Reads the room from its group.
    ///
    /// # Errors
    ///
    /// [`RoomError`]: a component is missing or malformed, or the roles or the participant list are not well formed
    /// (reading P-7).
    pub fn read(group: &GroupView) -> Result<Self, RoomError> {
        Self::build(group, None)
    }

    /// Reads the room from `after`, where this is the room of the group `before`: what does not differ between the two
    /// is shared.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn next(&self, before: &GroupView, after: &GroupView) -> Result<Self, RoomError> {
        Self::build(after, Some((self, before)))
    }

    fn build(group: &GroupView, last: Option<(&Self, &GroupView)>) -> Result<Self, RoomError> {
        let components = &group.components;
        let roles: RolesList = components.read()?.ok_or(RoomError::NoRoles)?;
        let list = match last {
            Some((room, before)) if before.same::<ParticipantList>(group) => Arc::clone(&room.list),
            _ => listed(components.participants()?.ok_or(RoomError::NoParticipants)?).into(),
        };
        let clients = match last {
            Some((room, before)) if before.same_clients(group) => Arc::clone(&room.clients),
            _ => clients(group).into(),
        };
        let base: BaseRoomPolicy = components.read()?.unwrap_or_else(default_base_policy);
        let preauth = match components.get(ComponentId::PREAUTH_LIST) {
            Some(data) => PreauthList::decode_beside(data, &roles)?,
            None => PreauthList::default(),
        };
        let roles = well_formed::roles(roles, base.fixed_membership)?;
        if list.by_user.len() != list.in_order.participants.len() {
            return Err(Violation::from(Breach::AlreadyListed).into());
        }
        if let Some((user, _)) = list.by_user.iter().find(|(_, role)| **role == UNLISTED || !roles.contains_key(role)) {
            return Err(Violation::from(Breach::UnknownRole).about(user).into());
        }
        Ok(Self {
            hub: UserUri::provider(&group.group.domain()),
            list,
            roles,
            base,
            preauth,
            operational: components.read()?,
            metadata: components.read()?,
            join_links: components.read()?.unwrap_or_default(),
            clients,
            client_count: group.leaves.len(),
        })
    }

    /// The provider that hosts it.
    pub(super) fn hub(&self) -> Domain {
        self.hub.domain()
    }

    /// Who takes part, in which role.
    pub fn participants(&self) -> &Arc<BTreeMap<UserUri, u32>> {
        &self.list.by_user
    }

    /// The roles by index.
    pub fn roles(&self) -> &BTreeMap<u32, Role> {
        &self.roles
    }

    /// The membership style and limits; what P-24 says where the room has none.
    pub fn base_policy(&self) -> &BaseRoomPolicy {
        &self.base
    }

    /// Who may join without being added.
    pub fn preauth(&self) -> &PreauthList {
        &self.preauth
    }

    /// How MLS is to be operated, where the room says so.
    pub fn operational(&self) -> Option<&OperationalParameters> {
        self.operational.as_ref()
    }

    /// Name, avatar and the like.
    pub fn metadata(&self) -> Option<&RoomMetadata> {
        self.metadata.as_ref()
    }

    /// The links by which people ask to join. What a code is worth only the hub knows.
    pub fn join_links(&self) -> &JoinLinks {
        &self.join_links
    }

    /// Index of the role of `user`; 0 when it is not listed.
    pub fn role_of(&self, user: &UserUri) -> u32 {
        self.list.by_user.get(user).copied().unwrap_or(UNLISTED)
    }

    /// Whether `user` is listed, banned or not.
    pub fn is_listed(&self, user: &UserUri) -> bool {
        self.list.by_user.contains_key(user)
    }

    /// Whether `user` is listed as banned.
    pub fn is_banned(&self, user: &UserUri) -> bool {
        self.role_of(user) == BANNED && self.has_banned_role()
    }

    /// Whether `user` is listed and not banned.
    pub fn takes_part(&self, user: &UserUri) -> bool {
        self.is_listed(user) && !self.is_banned(user)
    }

    /// Whether `provider` itself, or a user of it, is listed.
    pub fn has_participant_of(&self, provider: &Domain) -> bool {
        // Compared as text, for rooms of thousands.
        let own = UserUri::provider(provider);
        let of = |user: &UserUri| user.as_str().strip_prefix(own.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.list.by_user.contains_key(&own) || self.list.by_user.keys().any(of)
    }

    /// Whether `user` has a client in the group.
    pub fn is_active(&self, user: &UserUri) -> bool {
        self.clients.contains_key(user)
    }

    /// Users with clients in the group, and the leaves of those.
    pub fn clients(&self) -> &BTreeMap<UserUri, Leaves> {
        &self.clients
    }

    /// Whether the role of `user`, role 0 for one that is not listed, has `capability`.
    pub fn holds(&self, user: &UserUri, capability: Capability) -> bool {
        self.role_has(self.role_of(user), capability)
    }

    /// Whether the hub lets application messages of `user` through: it cannot tell a reaction from a message, so the
    /// right to any kind of message suffices, and clients enforce which (reading P-25).
    pub fn may_send(&self, user: &UserUri) -> bool {
        self.holds(user, Capability::SEND_MESSAGE) || self.may_react(user)
    }

    /// Whether the role of `user` may reply, react, edit, delete or take part in topics (reading P-25).
    pub fn may_react(&self, user: &UserUri) -> bool {
        self.role_may_react(self.role_of(user))
    }

    /// Whether application messages are for `user`.
    pub fn may_receive(&self, user: &UserUri) -> bool {
        self.holds(user, Capability::RECEIVE_MESSAGE)
    }

    /// How many epochs an application message may be behind: what the room says, or 2 (reading D-31).
    pub fn epoch_tolerance(&self) -> u64 {
        self.operational.as_ref().map_or(2, |operational| u64::from(operational.app_message_policy.epoch_tolerance))
    }

    pub(super) fn role_may_react(&self, role: u32) -> bool {
        let kinds = Capability::REPLY_TO_MESSAGE..=Capability::EDIT_OTHER_TOPIC;
        self.roles.get(&role).is_some_and(|role| role.capabilities.iter().any(|c| kinds.contains(c)))
    }

    /// Whether `role` gives the right to what takes `capability` by something else: A13 and A14 by the capabilities
    /// they are made of, and reserved ones by the membership style's, or for join links by the right to add others, where no
    /// role has them (reading P-12).
    pub(super) fn alternative(&self, rule: Rule, capability: Capability, role: u32) -> bool {
        let has = |capability| self.role_has(role, capability);
        match rule {
            Rule::Ban => has(Capability::CHANGE_USER_ROLE) && has(Capability::KICK),
            Rule::Unban => has(Capability::CHANGE_USER_ROLE),
            Rule::ChangePolicy | Rule::ChangeOperational => {
                !self.uses(capability) && has(Capability::CHANGE_ROOM_MEMBERSHIP_STYLE)
            }
            Rule::ChangeJoinLinks => !self.uses(capability) && has(Capability::ADD_PARTICIPANT),
            _ => false,
        }
    }

    /// A3 in a fixed room, where no role may add participants: who may bring in own clients brings in the first ones of
    /// whoever is listed already (reading P-9).
    pub(super) fn brings_listed(&self, user: &UserUri) -> bool {
        self.base.fixed_membership && self.holds(user, Capability::ADD_OWN_CLIENT)
    }

    pub(super) fn role_has(&self, role: u32, capability: Capability) -> bool {
        self.roles.get(&role).is_some_and(|role| role.capabilities.contains(&capability))
    }

    /// Whether any role has `capability`: reserved ones count only where a room uses them (readings P-12, P-21).
    pub(super) fn uses(&self, capability: Capability) -> bool {
        self.roles.values().any(|role| role.capabilities.contains(&capability))
    }

    /// Whether `role` may move a user from one role to another.
    pub(super) fn may_move(&self, role: u32, from: u32, to: u32) -> bool {
        self.roles.get(&role).is_some_and(|role| {
            role.authorized_role_changes
                .iter()
                .any(|change| change.from_role_index == from && change.target_role_indexes.contains(&to))
        })
    }

    pub(super) fn has_banned_role(&self) -> bool {
        self.roles.get(&BANNED).is_some_and(|role| role.name == "banned")
    }

    /// The participant list in its order: updates refer to positions in it (reading D-50).
    pub(super) fn list(&self) -> &[Participant] {
        &self.list.in_order.participants
    }

    /// Whether both have the same participant list, and were read so that this can be told at once.
    pub(super) fn shares_list(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.list, &other.list)
    }

    /// The same for the clients.
    pub(super) fn shares_clients(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.clients, &other.clients)
    }

    pub(super) fn client_count(&self) -> usize {
        self.client_count
    }

    /// Listed users that count against max_users: not banned, and not the hub's own entry (reading P-17).
    pub(super) fn user_count(&self) -> usize {
        let banned = |role: u32| role == BANNED && self.has_banned_role();
        self.list().iter().filter(|listed| !banned(listed.role_index) && listed.user != self.hub).count()
    }

    /// How many users each role has, and how many of them are active.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = BTreeMap::new();
        for found in self.participants().iter().merge_join_by(self.clients.keys(), |(user, _), active| user.cmp(active))
        {
            let Some((_, role)) = found.as_ref().left() else { continue };
            let (listed, active): &mut (usize, usize) = counts.entry(**role).or_default();
            *listed += 1;
            *active += usize::from(found.has_right());
        }
        Counts(counts)
    }
}

fn listed(in_order: Arc<ParticipantList>) -> Listed {
    let by_user = in_order.participants.iter().map(|listed| (listed.user.clone(), listed.role_index)).collect();
    Listed { in_order, by_user: Arc::new(by_user) }
}

fn clients(group: &GroupView) -> BTreeMap<UserUri, Leaves> {
    let mut clients: BTreeMap<UserUri, Leaves> = BTreeMap::new();
    for leaf in &group.leaves {
        clients.entry(leaf.user.clone()).or_default().push(leaf.index);
    }
    clients
}

/// How many users each role has.
pub(super) struct Counts(BTreeMap<u32, (usize, usize)>);

impl Counts {
    /// Users with `role`, and how many of them are active.
    pub(super) fn of(&self, role: u32) -> (usize, usize) {
        self.0.get(&role).copied().unwrap_or_default()
    }
}

/// What holds where a room has no base policy (reading P-24).
fn default_base_policy() -> BaseRoomPolicy {
    BaseRoomPolicy {
        fixed_membership: false,
        parent_dependant: false,
        parent_room: None,
        multi_device: true,
        max_clients: None,
        max_users: None,
        pseudonyms_allowed: false,
        persistent_room: true,
        discoverable: false,
        policy_component_ids: Vec::new(),
    }
}

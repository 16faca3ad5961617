//! Templates from components, and back into YAML.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::wire::DecodeError;
use crate::wire::components::{
    BaseRoomPolicy, Capability, ComponentId, Dictionary, OperationalParameters, ParticipantList, PreauthList,
    RolesList, RoomMetadata,
};
use crate::wire::uri::Domain;
use crate::yaml::{self, YamlError};

use super::{BaseSpec, OperationalSpec, PolicySpec, Template, preauth, well_formed};
use crate::room::Violation;

/// Why components cannot be written as a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescribeError {
    /// A component is missing.
    #[error("`{0}` is missing")]
    Missing(ComponentId),
    /// A component cannot be decoded.
    #[error("component is malformed: {0}")]
    Decode(#[from] DecodeError),
    /// The roles break a rule of the room policy.
    #[error("roles are not well formed: {0}")]
    Roles(#[from] Violation),
    /// Nobody, or no hub, is in the participant list.
    #[error("participant list has no creator or no hub")]
    Participants,
    /// A component says more than a template can.
    #[error("`{0}` holds what a room template cannot say")]
    Inexpressible(ComponentId),
}

impl Template {
    /// The template that components of a room's first group have come from.
    ///
    /// # Errors
    ///
    /// [`DescribeError`]: what comes back would compile to the same components, or nothing comes back.
    pub fn of_components(components: &Dictionary) -> Result<Self, DescribeError> {
        let roles: RolesList = components.read()?.ok_or(DescribeError::Missing(ComponentId::ROLES_LIST))?;
        let base: BaseRoomPolicy = components.read()?.ok_or(DescribeError::Missing(ComponentId::BASE_ROOM_POLICY))?;
        let operational: OperationalParameters =
            components.read()?.ok_or(DescribeError::Missing(ComponentId::MLS_OPERATIONAL_POLICY))?;
        let participants: ParticipantList =
            components.read()?.ok_or(DescribeError::Missing(ComponentId::PARTICIPANT_LIST))?;
        let metadata: Option<RoomMetadata> = components.read()?;
        let preauth = components.get(ComponentId::PREAUTH_LIST);
        let preauth = preauth.map(|bytes| PreauthList::decode_beside(bytes, &roles)).transpose()?.unwrap_or_default();
        well_formed::roles(roles.clone(), base.fixed_membership)?;
        let role_of = |provider: bool| {
            let found = participants.participants.iter().find(|one| one.user.is_provider() == provider);
            found.map(|one| one.role_index).ok_or(DescribeError::Participants)
        };
        let creator_role = role_of(false)?;
        let mut users = participants.participants.iter().filter(|one| !one.user.is_provider()).skip(1);
        let participant_role = users.next().map(|one| one.role_index);
        let template = Self {
            title: metadata.map(|metadata| metadata.name).unwrap_or_default(),
            description: String::new(),
            creator_role,
            enforcer_role: role_of(true)?,
            roles,
            preauth,
            participant_role: participant_role.unwrap_or(creator_role),
            base: BaseSpec {
                fixed_membership: base.fixed_membership,
                multi_device: base.multi_device,
                max_clients: base.max_clients,
                max_users: base.max_users,
                pseudonyms_allowed: base.pseudonyms_allowed,
                persistent_room: base.persistent_room,
                discoverable: base.discoverable,
            },
            operational: OperationalSpec {
                external_commits: operational.external_commit_allowed,
                external_proposals: operational.external_proposal_allowed,
                epoch_tolerance: operational.app_message_policy.epoch_tolerance,
                max_key_package_lifetime_s: operational.max_key_package_lifetime,
                mandatory: operational.mandatory_capabilities,
                assumed: operational.default_capabilities,
                forbidden: operational.forbidden_capabilities,
            },
            policies: PolicySpec::of(components)?,
        };
        template.says_all_of(components)?;
        Ok(template)
    }

    fn says_all_of(&self, components: &Dictionary) -> Result<(), DescribeError> {
        let compiled = self.policies();
        let names = |index: u32| self.name_of(index).is_some();
        if self
            .preauth
            .entries
            .iter()
            .any(|entry| preauth::provider_of(entry).is_none() || !names(entry.target_role_index))
        {
            return Err(DescribeError::Inexpressible(ComponentId::PREAUTH_LIST));
        }
        let unnamed = |capability: &Capability| capability.name().is_none();
        let roles = &self.roles.roles;
        let twice = roles.iter().any(|role| roles.iter().filter(|other| other.name == role.name).count() > 1);
        if twice || roles.iter().any(|role| role.capabilities.iter().any(unnamed)) {
            return Err(DescribeError::Inexpressible(ComponentId::ROLES_LIST));
        }
        let otherwise = compiled.iter().find(|(id, data)| components.get(*id).is_some_and(|given| given != *data));
        match otherwise {
            Some((id, _)) => Err(DescribeError::Inexpressible(id)),
            None => Ok(()),
        }
    }

    /// The policy components that every room of the template starts with, whoever creates it.
    pub fn policies(&self) -> Dictionary {
        let mut components = Dictionary::default();
        components.write(&self.operational.compile());
        components.write(&self.roles);
        components.write(&self.preauth);
        components.write(&self.base.compile(&self.policies));
        self.policies.write(&mut components);
        components
    }

    /// The template as YAML, with the capabilities of each role written out.
    ///
    /// # Errors
    ///
    /// [`YamlError`] if the writer refuses, which it has no reason to.
    pub fn to_yaml(&self) -> Result<String, YamlError> {
        let name = |index: u32| self.name_of(index).unwrap_or_default();
        let roles = self.roles.roles.iter().map(|role| WrittenRole {
            index: role.role_index,
            name: &role.name,
            description: &role.description,
            participants: WrittenCount { min: role.min_participants, max: role.max_participants },
            active: WrittenCount { min: role.min_active, max: role.max_active },
            capabilities: role.capabilities.iter().filter_map(|capability| capability.name()).collect(),
            changes: role
                .authorized_role_changes
                .iter()
                .map(|change| {
                    let targets = change.target_role_indexes.iter().map(|index| name(*index)).collect();
                    (name(change.from_role_index), targets)
                })
                .collect(),
        });
        let preauth = self.preauth.entries.iter().filter_map(|entry| {
            Some(WrittenPreauth { provider: preauth::provider_of(entry)?, role: name(entry.target_role_index) })
        });
        yaml::write(&Written {
            title: &self.title,
            description: &self.description,
            creator_role: name(self.creator_role),
            participant_role: (self.participant_role != self.creator_role).then(|| name(self.participant_role)),
            enforcer_role: name(self.enforcer_role),
            base_policy: &self.base,
            operational: &self.operational,
            policies: &self.policies,
            preauth: preauth.collect(),
            roles: roles.collect(),
        })
    }

    fn name_of(&self, index: u32) -> Option<&str> {
        self.roles.roles.iter().find(|role| role.role_index == index).map(|role| role.name.as_str())
    }
}

#[derive(Serialize)]
struct Written<'a> {
    title: &'a str,
    description: &'a str,
    creator_role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant_role: Option<&'a str>,
    enforcer_role: &'a str,
    base_policy: &'a BaseSpec,
    operational: &'a OperationalSpec,
    #[serde(skip_serializing_if = "PolicySpec::is_empty")]
    policies: &'a PolicySpec,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    preauth: Vec<WrittenPreauth<'a>>,
    roles: Vec<WrittenRole<'a>>,
}

#[derive(Serialize)]
struct WrittenPreauth<'a> {
    provider: Domain,
    role: &'a str,
}

#[derive(Serialize)]
struct WrittenRole<'a> {
    index: u32,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "WrittenCount::is_usual")]
    participants: WrittenCount,
    #[serde(skip_serializing_if = "WrittenCount::is_usual")]
    active: WrittenCount,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    capabilities: Vec<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    changes: BTreeMap<&'a str, Vec<&'a str>>,
}

#[derive(Serialize)]
struct WrittenCount {
    min: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u32>,
}

impl WrittenCount {
    fn is_usual(&self) -> bool {
        self.min == 0 && self.max.is_none()
    }
}

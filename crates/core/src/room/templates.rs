//! Room templates: YAML that a company's bundle holds, compiled to the GroupContext extensions that a creator starts
//! the first group with. Components cannot be added by the hub later (openmls takes no AppDataUpdate from outside), so
//! everything the hub needs stands in them from the start.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize, VLBytes};

use crate::mls::GroupView;
use crate::wire::Wire;
use crate::wire::components::{
    AppComponents, AppMessagePolicy, AuthorizedRoleChange, BaseRoomPolicy, Capability, Claim, ComponentId, Dictionary,
    ExtendedCapabilities, FrankingAgent, MinDefaultMaxTime, OperationalParameters, Participant, ParticipantList,
    PendingProposalPolicy, PreauthEntry, PreauthList, Role, RolesList, SafeAadComponents,
};
use crate::wire::external_sender::ExternalSender;
use crate::wire::key_material::RequiredCapabilities;
use crate::wire::uri::{Domain, GroupUri, RoomUri, UserUri};
use crate::yaml::{self, YamlError};

mod about;
mod policies;
mod written;

use super::{Breach, Violation, preauth, running, well_formed};
pub use about::About;
use policies::PolicySpec;
pub use written::DescribeError;

/// Extension types of RFC 9420 and draft-ietf-mls-extensions.
const REQUIRED_CAPABILITIES: u16 = 3;
pub(super) const EXTERNAL_SENDERS: u16 = 5;
pub(super) const APP_DATA_DICTIONARY: u16 = 6;
/// Proposal types that every client of a room must know.
const APP_DATA_UPDATE: u16 = 8;
const SELF_REMOVE: u16 = 10;
/// `mls_public_message`.
const PUBLIC_MESSAGE: u16 = 1;

/// Why a file is no room template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Not the YAML of a template.
    #[error("room template cannot be read")]
    Yaml(#[from] YamlError),
    /// A role is referred to that is not defined.
    #[error("role `{0}` is not defined")]
    UnknownRole(String),
    /// A capability that the draft does not name.
    #[error("capability `{0}` is not known")]
    UnknownCapability(String),
    /// Roles that are like each other in a circle, or two of one name.
    #[error("role `{0}` is defined twice or like itself")]
    AmbiguousRole(String),
    /// The roles or policies break a rule of the room policy.
    #[error("roles or policies are not well formed")]
    Roles(#[from] Violation),
}

/// A room template, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    title: String,
    description: String,
    creator_role: u32,
    participant_role: u32,
    enforcer_role: u32,
    roles: RolesList,
    preauth: PreauthList,
    base: BaseSpec,
    operational: OperationalSpec,
    policies: PolicySpec,
}

/// What a template is compiled for.
#[derive(Clone, Copy, Debug)]
pub struct TemplateInput<'a> {
    /// The room, under the hub's domain.
    pub room: &'a RoomUri,
    /// What it says of itself.
    pub about: &'a About,
    /// Who creates it and gets the template's `creator_role`.
    pub creator: &'a UserUri,
    /// Who else takes part from the start, in the template's `participant_role`: in a room of fixed membership nobody comes
    /// later.
    pub participants: &'a [UserUri],
    /// The room that it depends on.
    pub parent: Option<&'a RoomUri>,
    /// The hub's entry in external_senders.
    pub hub: &'a ExternalSender,
    /// The hub's franking key.
    pub franking_agent: &'a FrankingAgent,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] for the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let spec: Spec = yaml::parse(text)?;
        let names = Names::of(&spec.roles)?;
        let roles = RolesList { roles: spec.roles.iter().map(|role| names.role(role)).collect::<Result<_, _>>()? };
        well_formed::roles(roles.clone(), spec.base_policy.fixed_membership)?;
        let entries = spec.preauth.iter().map(|entry| names.preauth(entry)).collect::<Result<_, _>>()?;
        let template = Self {
            title: spec.title,
            description: spec.description,
            creator_role: names.assignable(&spec.creator_role)?,
            participant_role: names.assignable(spec.participant_role.as_ref().unwrap_or(&spec.creator_role))?,
            enforcer_role: names.assignable(&spec.enforcer_role)?,
            roles,
            preauth: PreauthList { entries },
            base: spec.base_policy,
            operational: spec.operational,
            policies: spec.policies,
        };
        template.check_policies()?;
        Ok(template)
    }

    /// That its policies contradict neither themselves nor its roles.
    fn check_policies(&self) -> Result<(), Violation> {
        let (Ok(room), Ok(group), Ok(creator)) = (
            RoomUri::parse("mimi://room.invalid/r/any"),
            GroupUri::parse("mimi://room.invalid/g/any"),
            UserUri::parse("mimi://room.invalid/u/anybody"),
        ) else {
            return Err(Breach::Malformed.into());
        };
        let components = self.room_components(&room, &About::named("any"), &creator);
        let view = GroupView { group, epoch: 0, suite: 0, leaves: Vec::new(), components };
        running(&view, &room).map(drop).map_err(Violation::from)
    }

    /// Its title, for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What it is for, in a sentence.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The roles it defines.
    pub fn roles(&self) -> &RolesList {
        &self.roles
    }

    /// Index of the role called `name`.
    pub fn role(&self, name: &str) -> Option<u32> {
        self.roles.roles.iter().find(|role| role.name == name).map(|role| role.role_index)
    }

    /// Index of the role of those who take part from the start beside the creator.
    pub fn participant_role(&self) -> u32 {
        self.participant_role
    }

    /// Whether nobody comes or goes in rooms of the template.
    pub fn is_fixed(&self) -> bool {
        self.base.fixed_membership
    }

    /// The GroupContext extensions of the first group, as `Extension extensions<V>`: required_capabilities,
    /// external_senders with the hub, and the app_data_dictionary of [`Self::components`].
    pub fn compile(&self, input: &TemplateInput<'_>) -> Vec<u8> {
        let required = RequiredCapabilities {
            extension_types: vec![APP_DATA_DICTIONARY],
            proposal_types: vec![APP_DATA_UPDATE, SELF_REMOVE],
            credential_types: Vec::new(),
        };
        let senders = ExternalSenders { senders: vec![input.hub.clone()] };
        let extensions = vec![
            Extension { kind: REQUIRED_CAPABILITIES, data: required.encode().into() },
            Extension { kind: EXTERNAL_SENDERS, data: senders.encode().into() },
            Extension { kind: APP_DATA_DICTIONARY, data: self.components(input).encode().into() },
        ];
        Extensions { extensions }.encode()
    }

    /// The components of the first group: the creator and the hub's own entry as participants (reading P-8), roles,
    /// policies, metadata, and what franking needs.
    pub fn components(&self, input: &TemplateInput<'_>) -> Dictionary {
        let mut components = self.room_components(input.room, input.about, input.creator);
        if let Some(parent) = input.parent {
            components.write(&BaseRoomPolicy {
                parent_dependant: true,
                parent_room: Some(parent.clone()),
                ..self.base.compile(&self.policies)
            });
        }
        if !input.participants.is_empty() {
            let others = input.participants.iter().cloned();
            let others = others.map(|user| Participant { user, role_index: self.participant_role });
            let participants = self.founders(input.room, input.creator).into_iter().chain(others).collect();
            components.write(&ParticipantList { participants });
        }
        components.write(&SafeAadComponents { components: vec![ComponentId::FRANK_AAD] });
        components.write(input.franking_agent);
        let used = [ComponentId::APP_COMPONENTS, ComponentId::FRANK_AAD];
        let used: BTreeSet<ComponentId> = used.into_iter().chain(components.iter().map(|(id, _)| id)).collect();
        components.write(&AppComponents { components: used.into_iter().collect() });
        components
    }

    /// Of the [`Self::components`] those that say something of the room: who takes part, its name, its policies.
    pub fn room_components(&self, room: &RoomUri, about: &About, creator: &UserUri) -> Dictionary {
        let participants = self.founders(room, creator);
        let mut components = self.policies();
        components.write(&ParticipantList { participants });
        components.write(&about.metadata(room));
        components
    }

    fn founders(&self, room: &RoomUri, creator: &UserUri) -> Vec<Participant> {
        let hub = UserUri::provider(&room.domain());
        vec![
            Participant { user: creator.clone(), role_index: self.creator_role },
            Participant { user: hub, role_index: self.enforcer_role },
        ]
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    title: String,
    description: String,
    creator_role: String,
    /// Role of those who take part from the start beside the creator; the creator's own unless it is said.
    participant_role: Option<String>,
    enforcer_role: String,
    #[serde(default)]
    base_policy: BaseSpec,
    #[serde(default)]
    operational: OperationalSpec,
    #[serde(default)]
    policies: PolicySpec,
    #[serde(default)]
    preauth: Vec<PreauthSpec>,
    roles: Vec<RoleSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleSpec {
    index: u32,
    name: String,
    #[serde(default)]
    description: String,
    /// Another role whose capabilities this one has too.
    like: Option<String>,
    #[serde(default)]
    participants: CountSpec,
    #[serde(default)]
    active: CountSpec,
    #[serde(default)]
    capabilities: Vec<String>,
    /// From which role to which ones it may move users.
    #[serde(default)]
    changes: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CountSpec {
    #[serde(default)]
    min: u32,
    max: Option<u32>,
}

/// Every user of `provider` may join as `role`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreauthSpec {
    provider: Domain,
    role: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BaseSpec {
    fixed_membership: bool,
    multi_device: bool,
    max_clients: Option<u32>,
    max_users: Option<u32>,
    pseudonyms_allowed: bool,
    persistent_room: bool,
    discoverable: bool,
}

impl Default for BaseSpec {
    fn default() -> Self {
        Self {
            fixed_membership: false,
            multi_device: true,
            max_clients: None,
            max_users: None,
            pseudonyms_allowed: false,
            persistent_room: true,
            discoverable: false,
        }
    }
}

impl BaseSpec {
    fn compile(&self, policies: &PolicySpec) -> BaseRoomPolicy {
        let always = [ComponentId::MLS_OPERATIONAL_POLICY, ComponentId::ROLES_LIST, ComponentId::PREAUTH_LIST];
        BaseRoomPolicy {
            fixed_membership: self.fixed_membership,
            parent_dependant: false,
            parent_room: None,
            multi_device: self.multi_device,
            max_clients: self.max_clients,
            max_users: self.max_users,
            pseudonyms_allowed: self.pseudonyms_allowed,
            persistent_room: self.persistent_room,
            discoverable: self.discoverable,
            policy_component_ids: always.into_iter().chain(policies.ids()).collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OperationalSpec {
    external_commits: bool,
    external_proposals: bool,
    epoch_tolerance: u8,
    max_key_package_lifetime_s: u64,
    /// What every client can do, what it is taken to do where it says nothing of it, and what none may do.
    #[serde(skip_serializing_if = "ExtendedCapabilities::is_empty")]
    mandatory: ExtendedCapabilities,
    #[serde(skip_serializing_if = "ExtendedCapabilities::is_empty")]
    assumed: ExtendedCapabilities,
    #[serde(skip_serializing_if = "ExtendedCapabilities::is_empty")]
    forbidden: ExtendedCapabilities,
}

impl Default for OperationalSpec {
    fn default() -> Self {
        Self {
            external_commits: true,
            external_proposals: true,
            epoch_tolerance: 2,
            max_key_package_lifetime_s: 0,
            mandatory: ExtendedCapabilities::default(),
            assumed: ExtendedCapabilities::default(),
            forbidden: ExtendedCapabilities::default(),
        }
    }
}

impl OperationalSpec {
    fn compile(&self) -> OperationalParameters {
        let unspecified = MinDefaultMaxTime { min: 0, default: 0, max: 0 };
        OperationalParameters {
            mandatory_capabilities: self.mandatory.clone(),
            default_capabilities: self.assumed.clone(),
            forbidden_capabilities: self.forbidden.clone(),
            handshake_formats: vec![PUBLIC_MESSAGE],
            external_proposal_allowed: self.external_proposals,
            external_commit_allowed: self.external_commits,
            pending_proposal_policy: PendingProposalPolicy::Unspecified,
            leaf_node_update: unspecified,
            app_message_policy: AppMessagePolicy {
                epoch_tolerance: self.epoch_tolerance,
                pad_to_bytes: 0,
                max_skip_ahead: 0,
            },
            max_key_package_lifetime: self.max_key_package_lifetime_s,
            max_credential_lifetime: 0,
            resumption_psk_lifetime: 0,
            sender_nonce: unspecified,
            max_keypairs: 0,
            buffer: unspecified,
            max_buffered: 0,
        }
    }
}

/// The roles of a template by name.
struct Names<'a>(BTreeMap<&'a str, &'a RoleSpec>);

impl<'a> Names<'a> {
    fn of(roles: &'a [RoleSpec]) -> Result<Self, TemplateError> {
        let mut names = BTreeMap::new();
        for role in roles {
            if names.insert(role.name.as_str(), role).is_some() {
                return Err(TemplateError::AmbiguousRole(role.name.clone()));
            }
        }
        Ok(Self(names))
    }

    fn find(&self, name: &str) -> Result<&'a RoleSpec, TemplateError> {
        self.0.get(name).copied().ok_or_else(|| TemplateError::UnknownRole(name.to_owned()))
    }

    fn assignable(&self, name: &str) -> Result<u32, TemplateError> {
        let index = self.find(name)?.index;
        if index == 0 { Err(TemplateError::UnknownRole(name.to_owned())) } else { Ok(index) }
    }

    fn role(&self, spec: &RoleSpec) -> Result<Role, TemplateError> {
        let mut changes: Vec<AuthorizedRoleChange> = Vec::new();
        for (from, targets) in &spec.changes {
            let mut target_role_indexes: Vec<u32> =
                targets.iter().map(|name| Ok(self.find(name)?.index)).collect::<Result<_, TemplateError>>()?;
            target_role_indexes.sort_unstable();
            changes.push(AuthorizedRoleChange { from_role_index: self.find(from)?.index, target_role_indexes });
        }
        changes.sort_unstable_by_key(|change| change.from_role_index);
        Ok(Role {
            role_index: spec.index,
            name: spec.name.clone(),
            description: spec.description.clone(),
            capabilities: self.capabilities(spec)?.into_iter().collect(),
            min_participants: spec.participants.min,
            max_participants: spec.participants.max,
            min_active: spec.active.min,
            max_active: spec.active.max,
            authorized_role_changes: changes,
        })
    }

    /// The capabilities of a role and of those it is like, in ascending order.
    fn capabilities(&self, spec: &RoleSpec) -> Result<BTreeSet<Capability>, TemplateError> {
        let mut capabilities = BTreeSet::new();
        let mut role = spec;
        for _ in 0..self.0.len() {
            for name in &role.capabilities {
                let known = Capability::from_name(name);
                capabilities.insert(known.ok_or_else(|| TemplateError::UnknownCapability(name.clone()))?);
            }
            match &role.like {
                Some(name) => role = self.find(name)?,
                None => return Ok(capabilities),
            }
        }
        Err(TemplateError::AmbiguousRole(spec.name.clone()))
    }

    fn preauth(&self, spec: &PreauthSpec) -> Result<PreauthEntry, TemplateError> {
        let claims: Vec<Claim> = vec![preauth::any_user_of(&spec.provider)];
        Ok(PreauthEntry { claims, target_role_index: self.assignable(&spec.role)? })
    }
}

/// `Extension extensions<V>` of a GroupContext (RFC 9420, section 7.2).
#[derive(Debug, TlsSize, TlsSerialize, TlsDeserialize)]
struct Extensions {
    extensions: Vec<Extension>,
}

#[derive(Debug, TlsSize, TlsSerialize, TlsDeserialize)]
struct Extension {
    kind: u16,
    data: VLBytes,
}

/// Extension data of external_senders (RFC 9420, section 12.1.8.1).
#[derive(Debug, TlsSize, TlsSerialize, TlsDeserialize)]
pub(super) struct ExternalSenders {
    pub(super) senders: Vec<ExternalSender>,
}

impl Wire for Extensions {
    const NAME: &'static str = "Extensions";
}

impl Wire for ExternalSenders {
    const NAME: &'static str = "ExternalSenders";
}

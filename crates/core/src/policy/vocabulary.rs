//! The names of the schema that the gateway itself uses, found in the bundle's schema when it is loaded.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, Schema};
use serde_json::Value;

use crate::wire::components::Capability;
use crate::wire::uri::UserUri;

use super::enforcement::Enforcement;
use super::facts::{AdminAct, DoorAct};

/// Entity types and actions, as the schema declares them.
#[derive(Clone, Debug)]
pub(super) struct Vocabulary {
    pub(super) user: EntityTypeName,
    pub(super) provider: EntityTypeName,
    pub(super) provider_group: EntityTypeName,
    pub(super) segment: EntityTypeName,
    pub(super) label: EntityTypeName,
    pub(super) role: EntityTypeName,
    pub(super) room: EntityTypeName,
    pub(super) operator: EntityTypeName,
    pub(super) operator_role: EntityTypeName,
    /// Those of [`OPTIONAL`] that users have here.
    told: BTreeSet<&'static str>,
    capabilities: BTreeMap<Capability, Act>,
    doors: BTreeMap<&'static str, Act>,
    admin: BTreeMap<&'static str, Act>,
}

/// An action with what is needed to ask it.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) uid: EntityUid,
    pub(super) entity: Entity,
    /// The action itself and every group it is in: what a policy's scope can name it by.
    pub(super) lineage: Vec<EntityUid>,
}

/// What users have where it is known. A bundle that was kept before one of these came to be does not declare it, and goes on
/// without it.
const OPTIONAL: [&str; 5] = ["jurisdiction", "department", "organization", "manager", "managed"];

/// Whether a schema, as JSON, declares an attribute of users. Where that cannot be told it does: what does not fit is found when
/// sample questions are held against it.
fn declares(schema: &Value, attribute: &str) -> bool {
    let declared = schema.pointer(USERS).and_then(|users| users.pointer("/shape/attributes")?.as_object());
    declared.is_none_or(|declared| declared.contains_key(attribute))
}

/// Where the JSON of a schema declares users.
const USERS: &str = "/Mimi/entityTypes/User";

impl Vocabulary {
    /// Looks everything up in a schema and its JSON.
    ///
    /// # Errors
    ///
    /// One sentence for each name that the schema does not declare.
    pub(super) fn of(schema: &Schema, written: &Value) -> Result<Self, Vec<String>> {
        let told = OPTIONAL.into_iter().filter(|name| declares(written, name)).collect();
        let mut missing = Vec::new();
        let acts = Acts::of(schema, &mut missing);
        let types: BTreeMap<String, EntityTypeName> =
            schema.entity_types().map(|name| (name.to_string(), name.clone())).collect();
        let mut entity_type = |name: &str| {
            let found = types.get(&format!("Mimi::{name}")).cloned();
            if found.is_none() {
                missing.push(format!("schema does not declare entity type `Mimi::{name}`"));
            }
            found
        };
        let user = entity_type("User");
        let provider = entity_type("Provider");
        let provider_group = entity_type("ProviderGroup");
        let segment = entity_type("Segment");
        let label = entity_type("Label");
        let role = entity_type("Role");
        let room = entity_type("Room");
        let operator = entity_type("Operator");
        let operator_role = entity_type("OperatorRole");
        let mut act = |name: &str| {
            let found = acts.find(name);
            if found.is_none() {
                missing.push(format!("schema does not declare action `Mimi::Action::\"{name}\"`"));
            }
            found
        };
        let capabilities = Capability::NAMED.iter().filter_map(|(id, name)| Some((*id, act(name)?))).collect();
        let doors = DOOR_ACTS.iter().filter_map(|name| Some((*name, act(name)?))).collect();
        let admin = AdminAct::ALL.iter().filter_map(|of| Some((of.name(), act(of.name())?))).collect();
        let all = || {
            Some(Self {
                user: user?,
                provider: provider?,
                provider_group: provider_group?,
                segment: segment?,
                label: label?,
                role: role?,
                room: room?,
                operator: operator?,
                operator_role: operator_role?,
                told,
                capabilities,
                doors,
                admin,
            })
        };
        match all() {
            Some(vocabulary) if missing.is_empty() => Ok(vocabulary),
            Some(_) | None => {
                missing.dedup();
                Err(missing)
            }
        }
    }

    /// Whether users are declared in this part of a schema, as JSON.
    pub(super) fn has_users(written: &Value) -> bool {
        written.pointer(USERS).is_some()
    }

    pub(super) fn capability(&self, capability: Capability) -> Option<&Act> {
        self.capabilities.get(&capability)
    }

    pub(super) fn capabilities(&self) -> impl Iterator<Item = (&Capability, &Act)> {
        self.capabilities.iter()
    }

    pub(super) fn door(&self, act: DoorAct<'_>) -> Option<&Act> {
        self.doors.get(act.name())
    }

    pub(super) fn admin(&self, act: AdminAct) -> Option<&Act> {
        self.admin.get(act.name())
    }

    /// Whether policies can ask for this attribute of a user.
    pub(super) fn has(&self, attribute: &str) -> bool {
        !OPTIONAL.contains(&attribute) || self.told.contains(attribute)
    }

    pub(super) fn user(&self, user: &UserUri) -> EntityUid {
        uid(&self.user, user.as_str())
    }

    /// Whether the gateway describes entities of this type.
    pub(super) fn knows(&self, entity_type: &EntityTypeName) -> bool {
        let Self { user, provider, provider_group, segment, label, role, room, operator, operator_role, .. } = self;
        [user, provider, provider_group, segment, label, role, room, operator, operator_role].contains(&entity_type)
    }

    /// Every action that the gateway asks about.
    pub(super) fn acts(&self) -> impl Iterator<Item = &Act> {
        self.capabilities.values().chain(self.doors.values()).chain(self.admin.values())
    }

    /// Who can stop the action: what is asked at a door is always stopped here.
    pub(super) fn enforcement(&self, action: &EntityUid) -> Enforcement {
        let capability = self.capabilities.iter().find(|(_, act)| act.uid == *action);
        capability.map_or(Enforcement::Here, |(capability, _)| Enforcement::of(*capability))
    }

    /// The action by which a user leaves.
    pub(super) fn leaving(&self) -> Option<&Act> {
        self.capability(Capability::REMOVE_SELF)
    }
}

/// Every [`DoorAct`] by name.
const DOOR_ACTS: &[&str] = &[
    "claimKeyMaterial",
    "requestConsent",
    "grantConsent",
    "receiveConsentRequest",
    "receiveConsent",
    "search",
    "findUser",
    "publishProfile",
    "registerDevice",
    "deregisterDevice",
    "deregisterUser",
    "publishKeyPackages",
    "readStream",
    "reportAnonymously",
    "downloadAsset",
];

/// The identifier of an entity.
pub(super) fn uid(entity_type: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(entity_type.clone(), EntityId::new(id))
}

/// The action entities of a schema.
struct Acts(Vec<Act>);

impl Acts {
    fn of(schema: &Schema, missing: &mut Vec<String>) -> Self {
        let entities = match schema.action_entities() {
            Ok(entities) => entities,
            Err(error) => {
                missing.push(error.to_string());
                return Self(Vec::new());
            }
        };
        let acts = entities.iter().map(|entity| {
            let uid = entity.uid();
            let ancestors: HashSet<EntityUid> = entities.ancestors(&uid).into_iter().flatten().cloned().collect();
            let lineage = std::iter::once(uid.clone()).chain(ancestors).collect();
            Act { uid, entity: entity.clone(), lineage }
        });
        Self(acts.collect())
    }

    fn find(&self, name: &str) -> Option<Act> {
        let of_ours =
            |act: &&Act| act.uid.type_name().to_string() == "Mimi::Action" && act.uid.id().unescaped() == name;
        self.0.iter().find(of_ours).cloned()
    }
}

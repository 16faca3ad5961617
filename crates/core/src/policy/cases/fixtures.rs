use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::policy::facts::{Membership, RoleFacts, RoomFacts, Side};
use crate::policy::roles::RoleSet;
use crate::room::Template;
use crate::wire::components::{Capability, RolesList};
use crate::wire::uri::{RoomUri, UserUri};

/// A room as tests describe it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomFixture {
    room: RoomUri,
    side: SideName,
    /// The room template whose roles it has, in place of `roles`.
    template: Option<String>,
    /// Absent: not tracked.
    participants: Option<BTreeMap<UserUri, RoleName>>,
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

/// A role by its number or its name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum RoleName {
    Index(u32),
    Name(String),
}

impl fmt::Display for RoleName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => index.fmt(formatter),
            Self::Name(name) => name.fmt(formatter),
        }
    }
}

/// A room, and the changes of role that its template allows.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Fixture {
    pub(in crate::policy) facts: RoomFacts,
    /// Absent where the roles are the test's own.
    template: Option<RolesList>,
}

/// What is said of a room whose template is not there.
pub(in crate::policy) fn no_template(name: &str) -> String {
    format!("no room template `{name}`")
}

impl RoomFixture {
    /// The room, or what in it is unknown, and why that is wrong.
    pub(super) fn build(&self, templates: &BTreeMap<String, Template>) -> Result<Fixture, (String, String)> {
        let template = self.template.as_ref().map(|name| {
            let found = templates.get(name).map(|template| template.roles().clone());
            found.ok_or_else(|| (name.clone(), no_template(name)))
        });
        let template = template.transpose()?;
        let own = self.roles.iter().map(|role| RoleFacts {
            index: role.index,
            name: role.name.clone(),
            capabilities: role.capabilities.iter().map(|name| name.0).collect(),
        });
        let of_template = template.iter().flat_map(|roles| &roles.roles).map(|role| RoleFacts {
            index: role.role_index,
            name: role.name.clone(),
            capabilities: role.capabilities.iter().copied().collect(),
        });
        let roles: RoleSet = own.chain(of_template).map(Arc::new).collect();
        let membership = self.participants.as_ref().map(|participants| {
            let listed = participants.iter().map(|(user, name)| {
                let index = index_of(&roles, name).ok_or_else(|| (name.to_string(), format!("no role `{name}`")))?;
                Ok((user.clone(), index))
            });
            let participants: BTreeMap<UserUri, u32> = listed.collect::<Result<_, (String, String)>>()?;
            Ok::<_, (String, String)>(Membership { participants: Arc::new(participants), roles: roles.clone() })
        });
        let facts = RoomFacts {
            room: self.room.clone(),
            side: match self.side {
                SideName::Hub => Side::Hub,
                SideName::Follower => Side::Follower,
            },
            roles: membership.transpose()?,
            muted: self.muted.clone(),
            barred: self.barred.iter().cloned().collect(),
            frozen: self.frozen,
            legal_hold: self.legal_hold,
        };
        Ok(Fixture { facts, template })
    }
}

fn index_of(roles: &[Arc<RoleFacts>], name: &RoleName) -> Option<u32> {
    match name {
        // The tests of the engine itself ask about roles that nobody described.
        RoleName::Index(index) => Some(*index),
        RoleName::Name(name) => roles.iter().find(|role| role.name == *name).map(|role| role.index),
    }
}

/// A change of role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::policy) struct Transition {
    pub(in crate::policy) from: u32,
    pub(in crate::policy) to: u32,
    pub(in crate::policy) authorized: bool,
}

impl Fixture {
    pub(super) fn role(&self, name: &RoleName) -> Option<u32> {
        index_of(self.facts.roles.as_ref().map_or(&[], |known| &known.roles), name)
    }

    /// What a case does not say of a change of role: with the roles of a template, what follows from them; else that
    /// nobody is listed before or after, and that the change is one that the actor's role lists.
    pub(in crate::policy) fn usual(
        &self,
        capability: Capability,
        actor: &UserUri,
        target: Option<&UserUri>,
        said: (Option<u32>, Option<u32>),
    ) -> Transition {
        let Some(template) = &self.template else {
            return Transition { from: said.0.unwrap_or(0), to: said.1.unwrap_or(0), authorized: true };
        };
        let listed = |user: &UserUri| {
            let known = self.facts.roles.as_ref();
            known.and_then(|known| known.participants.get(user)).copied().unwrap_or(0)
        };
        let from = said.0.unwrap_or_else(|| listed(target.unwrap_or(actor)));
        // Who is not listed joins by what role 0 allows.
        let by = listed(actor);
        let role = template.roles.iter().find(|role| role.role_index == by);
        let changes = role.into_iter().flat_map(|role| &role.authorized_role_changes);
        let leads: Vec<u32> = changes
            .filter(|change| change.from_role_index == from)
            .flat_map(|change| change.target_role_indexes.iter().copied())
            .collect();
        let to = said.1.unwrap_or_else(|| match capability {
            Capability::BAN => 1,
            Capability::REMOVE_PARTICIPANT | Capability::REMOVE_SELF => 0,
            Capability::ADD_PARTICIPANT | Capability::OPEN_JOIN | Capability::USE_JOIN_CODE => {
                leads.iter().copied().find(|role| *role > 1).unwrap_or(0)
            }
            _ => from,
        });
        Transition { from, to, authorized: leads.contains(&to) }
    }
}

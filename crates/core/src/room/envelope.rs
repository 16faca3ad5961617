//! The envelope: which room policies a company accepts, in rooms of its own and in those of others that its users take part
//! in. What is not said is accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::wire::DecodeError;
use crate::wire::components::{
    BaseRoomPolicy, Capability, Component, Dictionary, HistoryPolicy, LoggingPolicy, MessageExpirationPolicy,
    Optionality, RolesList, RoomMetadata,
};
use crate::wire::uri::{Domain, UserUri};

use super::state::UNLISTED;

/// What a room must not lack, allow or grant. Rules about roles do not concern the hub's own entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Envelope {
    /// Metadata that a room must have.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub metadata: BTreeSet<Field>,
    /// A room must limit itself to at most so many users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_users: Option<u32>,
    /// A room must limit itself to at most so many clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_clients: Option<u32>,
    /// What a room must not be.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub never: BTreeSet<Trait>,
    /// Capabilities that no role may have.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub never_granted: BTreeSet<Granted>,
    /// Whose users may have a role, by its name (reading P-27); roles that are not named are for everybody.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, BTreeSet<Domain>>,
    /// Which of the three a room may say of logging; empty for all.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub logging: BTreeSet<Choice>,
    /// The same of passing on what was said before somebody joined.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub history_sharing: BTreeSet<Choice>,
    /// The same of messages that expire.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub expiring_messages: BTreeSet<Choice>,
    /// Messages must not expire sooner than this, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_after_seconds: Option<u32>,
}

/// A part of a room's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Its name.
    Name,
    /// What it is for. A room gets it after it was created.
    Description,
    /// Its picture, likewise.
    Avatar,
    /// What is talked about, likewise.
    Subject,
}

/// What a room can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trait {
    /// It takes pseudonyms.
    Pseudonyms,
    /// Anybody may join (`canOpenJoin` in role 0).
    OpenJoin,
    /// Whoever has a code may join (`canUseJoinCode` in role 0).
    JoinCodes,
    /// It may be found by who does not know it.
    Discoverable,
    /// It ends with its last client.
    Passing,
}

/// What a room says of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// As each user likes; and where the room says nothing.
    Optional,
    /// Always.
    Required,
    /// Never.
    Forbidden,
}

/// A capability by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Granted(pub Capability);

impl TryFrom<String> for Granted {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Capability::from_name(&name).map(Self).ok_or_else(|| format!("`{name}` is no capability"))
    }
}

impl From<Granted> for String {
    fn from(Granted(capability): Granted) -> Self {
        capability.to_string()
    }
}

impl From<Optionality> for Choice {
    fn from(optionality: Optionality) -> Self {
        match optionality {
            Optionality::Optional => Self::Optional,
            Optionality::Required => Self::Required,
            Optionality::Forbidden => Self::Forbidden,
        }
    }
}

/// One way in which a room lies outside of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outside(String);

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Envelope {
    /// Whether every room lies inside.
    pub fn takes_all(&self) -> bool {
        *self == Self::default()
    }

    /// In which ways a room of this hub with these components lies outside. What cannot be read lies outside.
    pub fn outside(&self, room: &Dictionary, hub: &Domain) -> BTreeSet<Outside> {
        let unread =
            |error: DecodeError| BTreeSet::from([Outside(format!("what the room says cannot be read: {error}"))]);
        self.look(room, hub).unwrap_or_else(unread)
    }

    /// In which ways a room lies outside after a change and did not before: what was so already keeps nobody from
    /// changing something else.
    pub fn newly_outside(&self, before: &Dictionary, after: &Dictionary, hub: &Domain) -> BTreeSet<Outside> {
        if before == after {
            return BTreeSet::new();
        }
        let after = self.outside(after, hub);
        if after.is_empty() {
            return after;
        }
        let before = self.outside(before, hub);
        after.difference(&before).cloned().collect()
    }

    /// In which ways a room would lie outside that starts with these components. What it can have only later is not asked
    /// for yet.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] of a component.
    pub fn outside_at_start(&self, room: &Dictionary, hub: &Domain) -> Result<BTreeSet<Outside>, DecodeError> {
        let metadata = self.metadata.iter().filter(|field| **field == Field::Name).copied().collect();
        Self { metadata, ..self.clone() }.look(room, hub)
    }

    fn look(&self, room: &Dictionary, hub: &Domain) -> Result<BTreeSet<Outside>, DecodeError> {
        if self.takes_all() {
            return Ok(BTreeSet::new());
        }
        let mut found = Vec::new();
        self.look_at_metadata(room, &mut found)?;
        self.look_at_base(room, &mut found)?;
        self.look_at_roles(room, hub, &mut found)?;
        self.look_at_choices(room, &mut found)?;
        Ok(found.into_iter().map(Outside).collect())
    }

    /// What it says, for people: a sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let mut said: Vec<String> = self.metadata.iter().map(|field| format!("a room has {}", field.words())).collect();
        said.extend(self.max_users.map(|most| format!("a room limits itself to {most} users or fewer")));
        said.extend(self.max_clients.map(|most| format!("a room limits itself to {most} clients or fewer")));
        said.extend(self.never.iter().map(|never| format!("a room does not {}", never.words())));
        said.extend(self.never_granted.iter().map(|Granted(capability)| format!("no role has {capability}")));
        said.extend(self.roles.iter().map(|(role, domains)| {
            let domains: Vec<&str> = domains.iter().map(Domain::as_str).collect();
            format!("the role {role} is for users of {} only", domains.join(", "))
        }));
        for (what, accepted) in self.choices() {
            let accepted: Vec<&str> = accepted.iter().map(|choice| choice.word()).collect();
            if !accepted.is_empty() {
                said.push(format!("{what} is {}", accepted.join(" or ")));
            }
        }
        said.extend(
            self.expire_after_seconds.map(|least| format!("no message expires sooner than after {least} seconds")),
        );
        said
    }

    fn choices(&self) -> [(&'static str, &BTreeSet<Choice>); 3] {
        [
            ("logging", &self.logging),
            ("sharing of history", &self.history_sharing),
            ("expiry of messages", &self.expiring_messages),
        ]
    }

    fn look_at_metadata(&self, room: &Dictionary, found: &mut Vec<String>) -> Result<(), DecodeError> {
        let metadata: Option<RoomMetadata> = room.read()?;
        for field in &self.metadata {
            let has = metadata.as_ref().is_some_and(|metadata| match field {
                Field::Name => !metadata.name.trim().is_empty(),
                Field::Description => !metadata.descriptions.is_empty(),
                Field::Avatar => !metadata.avatar.is_empty(),
                Field::Subject => !metadata.subject.trim().is_empty(),
            });
            if !has {
                found.push(format!("the room lacks {}", field.words()));
            }
        }
        Ok(())
    }

    fn look_at_base(&self, room: &Dictionary, found: &mut Vec<String>) -> Result<(), DecodeError> {
        let base: Option<BaseRoomPolicy> = room.read()?;
        let (users, clients) = base.as_ref().map_or((None, None), |base| (base.max_users, base.max_clients));
        for (what, most, said) in [("users", self.max_users, users), ("clients", self.max_clients, clients)] {
            if let Some(most) = most
                && said.is_none_or(|said| said > most)
            {
                found.push(format!("the room takes more than {most} {what}"));
            }
        }
        // Without a base policy a room persists, and has none of the rest (reading P-24).
        let Some(base) = base else { return Ok(()) };
        for (of, is) in [
            (Trait::Pseudonyms, base.pseudonyms_allowed),
            (Trait::Discoverable, base.discoverable),
            (Trait::Passing, !base.persistent_room),
        ] {
            if is && self.never.contains(&of) {
                found.push(format!("the room would {}", of.words()));
            }
        }
        Ok(())
    }

    fn look_at_roles(&self, room: &Dictionary, hub: &Domain, found: &mut Vec<String>) -> Result<(), DecodeError> {
        let roles: RolesList = room.read()?.unwrap_or_default();
        let list = room.participants()?.unwrap_or_default();
        let is_hub = |user: &UserUri| user.is_provider() && user.domain() == *hub;
        for role in &roles.roles {
            let mut holders = list.participants.iter().filter(|listed| listed.role_index == role.role_index).peekable();
            // Of the hub alone: a role that somebody else has, too, grants that to somebody else.
            let of_hub_alone = holders.peek().is_some() && holders.clone().all(|listed| is_hub(&listed.user));
            if !of_hub_alone {
                let granted =
                    role.capabilities.iter().filter(|capability| self.never_granted.contains(&Granted(**capability)));
                found.extend(granted.map(|capability| format!("the role `{}` has `{capability}`", role.name)));
            }
            let Some(domains) = self.roles.get(&role.name) else { continue };
            let strangers = holders.filter(|listed| !is_hub(&listed.user) && !domains.contains(&listed.user.domain()));
            found.extend(strangers.map(|listed| format!("`{}` has the role `{}`", listed.user, role.name)));
        }
        let unlisted =
            roles.roles.iter().filter(|role| role.role_index == UNLISTED).flat_map(|role| &role.capabilities);
        for capability in unlisted {
            let of = match *capability {
                Capability::OPEN_JOIN => Trait::OpenJoin,
                Capability::USE_JOIN_CODE => Trait::JoinCodes,
                _ => continue,
            };
            if self.never.contains(&of) {
                found.push(format!("the room would {}", of.words()));
            }
        }
        Ok(())
    }

    fn look_at_choices(&self, room: &Dictionary, found: &mut Vec<String>) -> Result<(), DecodeError> {
        fn said<T: Component>(room: &Dictionary, of: fn(&T) -> Optionality) -> Result<Choice, DecodeError> {
            Ok(room.read::<T>()?.map_or(Choice::Optional, |policy| of(&policy).into()))
        }
        let logging = said(room, |policy: &LoggingPolicy| policy.logging.optionality())?;
        let history = said(room, |policy: &HistoryPolicy| policy.history_sharing.optionality())?;
        let expiry = said(room, |policy: &MessageExpirationPolicy| policy.expiring_messages.optionality())?;
        for ((what, accepted), said) in self.choices().into_iter().zip([logging, history, expiry]) {
            if !accepted.is_empty() && !accepted.contains(&said) {
                found.push(format!("{what} is {}", said.word()));
            }
        }
        let expiration: Option<MessageExpirationPolicy> = room.read()?;
        let soonest =
            expiration.as_ref().and_then(|policy| policy.expiring_messages.terms()).map(|terms| terms.min_seconds);
        if let Some((least, soonest)) = self.expire_after_seconds.zip(soonest)
            && soonest < least
        {
            found.push(format!("messages expire after {soonest} seconds"));
        }
        Ok(())
    }
}

impl Field {
    fn words(self) -> &'static str {
        match self {
            Self::Name => "a name",
            Self::Description => "a description",
            Self::Avatar => "an avatar",
            Self::Subject => "a subject",
        }
    }
}

impl Trait {
    /// After "a room does not" and "the room would".
    fn words(self) -> &'static str {
        match self {
            Self::Pseudonyms => "take pseudonyms",
            Self::OpenJoin => "let anybody join",
            Self::JoinCodes => "let whoever has a code join",
            Self::Discoverable => "show itself to who does not know it",
            Self::Passing => "end with its last client",
        }
    }
}

impl Choice {
    fn word(self) -> &'static str {
        match self {
            Self::Optional => "optional",
            Self::Required => "required",
            Self::Forbidden => "forbidden",
        }
    }
}

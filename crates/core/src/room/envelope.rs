//! The envelope: which room policies a company accepts, in rooms of its own and in those of others that its users take part
//! in. What is not said is accepted.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::wire::components::{Capability, Optionality};
use crate::wire::uri::Domain;

mod outside;

pub use outside::Outside;
use outside::Subject;

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
    /// What it is for.
    Description,
    /// Its picture.
    Avatar,
    /// What is talked about.
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

impl Envelope {
    /// Whether every room lies inside.
    pub fn takes_all(&self) -> bool {
        *self == Self::default()
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
                said.push(format!("{} is {}", what.words(), accepted.join(" or ")));
            }
        }
        said.extend(
            self.expire_after_seconds.map(|least| format!("no message expires sooner than after {least} seconds")),
        );
        said
    }

    fn choices(&self) -> [(Subject, &BTreeSet<Choice>); 3] {
        [
            (Subject::Logging, &self.logging),
            (Subject::History, &self.history_sharing),
            (Subject::Expiry, &self.expiring_messages),
        ]
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

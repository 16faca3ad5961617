//! What the company's identity provider says of our users, under a name that follows from it: a record names it, and it is kept
//! once for all who are alike.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::wire::uri::UserUri;

/// How many octets of a SHA-256 name what is said of a person.
const ID_BYTES: usize = 16;

/// What is said of whom, by the name in small letters ([`UserUri::folded`]).
pub type People = Arc<HashMap<UserUri, Person>>;

/// What an identity provider says of a person, as far as policy is concerned (RFC 7643, sections 4.1 and 4.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PersonFacts {
    /// Whether the identity provider says any of this. Of others nothing is known but claims.
    #[serde(skip_serializing_if = "is_true")]
    pub listed: bool,
    /// Whether the person may still use anything.
    pub active: bool,
    /// `userType`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_type: Option<String>,
    /// `department`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// `division`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub division: Option<String>,
    /// `organization`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// `costCenter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_center: Option<String>,
    /// `manager`, as a user of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<UserUri>,
    /// Display names of the groups that the person is in.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// Claims of the token by which the person was registered as a user, with their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, BTreeSet<String>>,
}

fn is_true(value: &bool) -> bool {
    *value
}

impl Default for PersonFacts {
    fn default() -> Self {
        Self {
            listed: true,
            active: true,
            user_type: None,
            department: None,
            division: None,
            organization: None,
            cost_center: None,
            manager: None,
            groups: BTreeSet::new(),
            claims: BTreeMap::new(),
        }
    }
}

/// [`PersonFacts`] with their name. Two that have the same name are the same.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "PersonFacts")]
pub struct Person(Arc<Named>);

#[derive(Debug)]
struct Named {
    id: String,
    facts: PersonFacts,
}

impl Person {
    /// The first half of the SHA-256 of [`Self::encode`], 32 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What is said.
    pub fn facts(&self) -> &PersonFacts {
        &self.0.facts
    }

    /// The facts as JSON.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.0.facts)
    }

    /// What [`Self::encode`] gave; `None` for anything else.
    pub fn decode(encoded: &[u8]) -> Option<Self> {
        serde_json::from_slice::<PersonFacts>(encoded).ok().map(Self::from)
    }
}

fn encode(facts: &PersonFacts) -> Vec<u8> {
    serde_json::to_vec(facts).unwrap_or_default()
}

impl From<PersonFacts> for Person {
    fn from(facts: PersonFacts) -> Self {
        let digest = digest::digest(&digest::SHA256, &encode(&facts));
        let id = digest.as_ref().iter().take(ID_BYTES).map(|octet| format!("{octet:02x}")).collect();
        Self(Arc::new(Named { id, facts }))
    }
}

impl PartialEq for Person {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Person {}

impl Hash for Person {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_person_is_read_back_as_it_was_kept_and_has_the_same_name() {
        let facts = PersonFacts {
            active: false,
            department: Some("Research".to_owned()),
            manager: Some("mimi://a.example/u/ann".parse().unwrap()),
            groups: BTreeSet::from(["Traders".to_owned()]),
            ..PersonFacts::default()
        };
        let kept = Person::from(facts.clone());
        let read = Person::decode(&kept.encode()).unwrap();
        assert_eq!((read.facts(), read.id()), (&facts, kept.id()));
        assert_eq!(kept.id().len(), 32);
        assert_ne!(Person::from(PersonFacts { active: true, ..facts }).id(), kept.id());
        assert!(Person::decode(b"{\"wings\":2}").is_none());
    }
}

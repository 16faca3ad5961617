//! What policies know of a person, from what the identity provider says of it, of its groups and of its manager.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_core::policy::{Person, PersonFacts};
use portcullis_core::scim::{ENTERPRISE_URN, ScimError, ScimType};
use portcullis_core::time::Millis;
use portcullis_store::people::{self, PersonState, StoredPerson};
use portcullis_store::{StoreError, Tx};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{PeopleError, parsed};

/// Most groups that a person is in: all of them stand in what policies know.
const MOST_GROUPS: usize = 500;

/// What is kept of a person beside what was said.
pub(super) struct Kept {
    /// What policies know, kept under its name.
    pub(super) facts: String,
    /// The manager's identifier.
    pub(super) manager: Option<Uuid>,
}

/// The facts of a person, kept under their name.
pub(super) fn keep(
    tx: &mut Tx<'_>,
    content: &Map<String, Value>,
    state: PersonState,
    groups: BTreeSet<String>,
    claims: &str,
) -> Result<Kept, PeopleError> {
    if groups.len() > MOST_GROUPS {
        let detail = format!("a user is in at most {MOST_GROUPS} groups");
        return Err(ScimError::new(ScimType::TooMany, detail).into());
    }
    let enterprise = content.get(ENTERPRISE_URN).and_then(Value::as_object);
    let of_enterprise = |name: &str| enterprise.and_then(|parts| parts.get(name)?.as_str()).map(str::to_owned);
    let manager = enterprise.and_then(|parts| parts.get("manager")?.get("value")?.as_str()?.parse::<Uuid>().ok());
    let named = manager.map(|id| people::load(tx, id)).transpose()?.flatten().map(|manager| manager.uri);
    let facts = put(
        tx,
        PersonFacts {
            active: state == PersonState::Active,
            user_type: content.get("userType").and_then(Value::as_str).map(str::to_owned),
            department: of_enterprise("department"),
            division: of_enterprise("division"),
            organization: of_enterprise("organization"),
            cost_center: of_enterprise("costCenter"),
            manager: named,
            groups,
            claims: read(claims),
            ..PersonFacts::default()
        },
    )?;
    Ok(Kept { facts, manager })
}

/// The facts of somebody whom the identity provider has never named, kept under their name.
pub(super) fn keep_unlisted(tx: &mut Tx<'_>, claims: &str) -> Result<String, StoreError> {
    put(tx, PersonFacts { listed: false, claims: read(claims), ..PersonFacts::default() })
}

fn read(claims: &str) -> BTreeMap<String, BTreeSet<String>> {
    serde_json::from_str(claims).unwrap_or_default()
}

fn put(tx: &mut Tx<'_>, facts: PersonFacts) -> Result<String, StoreError> {
    let person = Person::from(facts);
    let facts = person.encode();
    people::keep_facts(tx, person.id(), &facts)?;
    String::from_utf8(facts).map_err(|_| StoreError::Corrupt("facts of a person"))
}

/// Of whom nothing can be read, nothing is known but that there are no rights.
pub(super) fn closed() -> PersonFacts {
    PersonFacts { active: false, ..PersonFacts::default() }
}

/// The facts of somebody who is gone, or of whom nothing can be read, kept under their name.
pub(super) fn keep_closed(tx: &mut Tx<'_>) -> Result<String, StoreError> {
    put(tx, closed())
}

/// Has what policies know of people follow a change of their groups, which changes what is told of them, too.
pub(super) fn follow_groups(tx: &mut Tx<'_>, ids: &[Uuid], revision: u64, now: Millis) -> Result<(), PeopleError> {
    follow(tx, ids, revision, |person| StoredPerson { version: person.version + 1, changed_at: now, ..person })
}

/// Has what policies know of people follow a change of who their manager is.
pub(super) fn follow_manager(tx: &mut Tx<'_>, manager: Uuid, revision: u64) -> Result<(), PeopleError> {
    let managed = people::managed_by(tx, manager)?;
    follow(tx, &managed, revision, |person| person)
}

fn follow(
    tx: &mut Tx<'_>,
    ids: &[Uuid],
    revision: u64,
    noted: impl Fn(StoredPerson) -> StoredPerson,
) -> Result<(), PeopleError> {
    let mut groups = people::groups_of(tx, ids)?;
    for before in people::load_all(tx, ids)? {
        let names = groups.remove(&before.id).unwrap_or_default().into_iter().map(|(_, name)| name).collect();
        let facts = match parsed(&before.content) {
            Ok(content) => keep(tx, &content, before.state, names, &before.claims)?.facts,
            Err(_) => keep_closed(tx)?,
        };
        people::put(tx, &noted(StoredPerson { facts, ..before }), revision)?;
    }
    Ok(())
}

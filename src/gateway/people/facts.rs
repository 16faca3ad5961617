//! What policies know of a person, from what the identity provider says of it and of its groups.

use std::collections::BTreeSet;

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

/// The facts of a person, kept under their name.
pub(super) fn keep(
    tx: &mut Tx<'_>,
    content: &Map<String, Value>,
    state: PersonState,
    groups: BTreeSet<String>,
) -> Result<String, PeopleError> {
    if groups.len() > MOST_GROUPS {
        let detail = format!("a user is in at most {MOST_GROUPS} groups");
        return Err(ScimError::new(ScimType::TooMany, detail).into());
    }
    let enterprise = content.get(ENTERPRISE_URN).and_then(Value::as_object);
    let of_enterprise = |name: &str| enterprise.and_then(|parts| parts.get(name)?.as_str()).map(str::to_owned);
    let manager = enterprise.and_then(|parts| parts.get("manager")?.get("value")?.as_str()?.parse::<Uuid>().ok());
    let manager = manager.map(|id| people::load(tx, id)).transpose()?.flatten().map(|manager| manager.uri);
    let person = Person::from(PersonFacts {
        active: state == PersonState::Active,
        user_type: content.get("userType").and_then(Value::as_str).map(str::to_owned),
        department: of_enterprise("department"),
        division: of_enterprise("division"),
        organization: of_enterprise("organization"),
        cost_center: of_enterprise("costCenter"),
        manager,
        groups,
    });
    let facts = person.encode();
    people::keep_facts(tx, person.id(), &facts)?;
    String::from_utf8(facts).map_err(|_| StoreError::Corrupt("facts of a person").into())
}

/// The facts of somebody who is gone, kept under their name.
pub(super) fn keep_gone(tx: &mut Tx<'_>) -> Result<String, PeopleError> {
    keep(tx, &Map::new(), PersonState::Gone, BTreeSet::new())
}

/// Has what policies know of people follow a change of their groups.
pub(super) fn follow_groups(tx: &mut Tx<'_>, ids: &[Uuid], revision: u64, now: Millis) -> Result<(), PeopleError> {
    let mut groups = people::groups_of(tx, ids)?;
    for before in people::load_all(tx, ids)? {
        let names = groups.remove(&before.id).unwrap_or_default().into_iter().map(|(_, name)| name).collect();
        let facts = keep(tx, &parsed(&before.content)?, before.state, names)?;
        let after = StoredPerson { facts, version: before.version + 1, changed_at: now, ..before };
        people::put(tx, &after, revision)?;
    }
    Ok(())
}

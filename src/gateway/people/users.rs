use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_core::policy::Person;
use portcullis_core::scim::{ENTERPRISE_URN, GROUP, Patch, ScimError, ScimType, USER, canonical};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::UserUri;
use portcullis_store::people::{self, PersonState, StoredPerson};
use portcullis_store::restrictions::Grounds;
use portcullis_store::{StoreError, Tx, devices as known_devices};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::facts::Kept;
use super::{
    LANE, PeopleError, Provisioner, Resource, check_tag, dress, facts, parsed, record, refresh, tag, taken, text,
};
use crate::gateway::{Gateway, GatewayError, Inner, devices};

/// Kind of the records of what is said of people.
const KIND: &str = "directory.user";

/// What is to become of a user.
#[derive(Clone)]
enum Change {
    /// It is as it was sent.
    Replace(Map<String, Value>),
    /// Parts of it change.
    Patch(Patch),
}

impl Gateway {
    /// Creates a user.
    ///
    /// # Errors
    ///
    /// [`PeopleError`]; [`ScimType::Uniqueness`] when there is one of that name.
    pub async fn create_person(&self, by: Provisioner, sent: Value) -> Result<Resource, PeopleError> {
        let content = canonical(&USER, &sent)?;
        self.for_people(&by.clone(), move |inner| create(inner, &by, content)).await
    }

    /// Shows a user.
    ///
    /// # Errors
    ///
    /// [`PeopleError`]; [`GatewayError::NotFound`] when there is none.
    pub async fn person(&self, by: Provisioner, id: Uuid) -> Result<Resource, PeopleError> {
        self.for_people(&by.clone(), move |inner| {
            inner.store.read(|conn| {
                let person = people::load(conn, id)?.ok_or(GatewayError::NotFound)?;
                let groups = people::groups_of(conn, &[id])?.remove(&id).unwrap_or_default();
                Ok(told(&by, &person, &groups)?)
            })
        })
        .await
    }

    /// Puts what was sent in the place of a user.
    ///
    /// # Errors
    ///
    /// [`PeopleError`]; [`PeopleError::Version`] when it is none of the versions `wanted`.
    pub async fn replace_person(
        &self,
        by: Provisioner,
        id: Uuid,
        wanted: Option<String>,
        sent: Value,
    ) -> Result<Resource, PeopleError> {
        let change = Change::Replace(canonical(&USER, &sent)?);
        self.for_people(&by.clone(), move |inner| modify(inner, &by, id, wanted, change)).await
    }

    /// Changes parts of a user.
    ///
    /// # Errors
    ///
    /// As [`Self::replace_person`].
    pub async fn patch_person(
        &self,
        by: Provisioner,
        id: Uuid,
        wanted: Option<String>,
        sent: Value,
    ) -> Result<Resource, PeopleError> {
        let change = Change::Patch(Patch::parse(&sent)?);
        self.for_people(&by.clone(), move |inner| modify(inner, &by, id, wanted, change)).await
    }

    /// Deletes a user. Its rights end with it, until it is created again.
    ///
    /// # Errors
    ///
    /// As [`Self::replace_person`].
    pub async fn delete_person(&self, by: Provisioner, id: Uuid, wanted: Option<String>) -> Result<(), PeopleError> {
        self.for_people(&by.clone(), move |inner| delete(inner, &by, id, wanted)).await
    }
}

/// A user as it is told.
pub(super) fn told(by: &Provisioner, person: &StoredPerson, groups: &[(Uuid, String)]) -> Result<Resource, StoreError> {
    let mut told = parsed(&person.content)?;
    if !groups.is_empty() {
        let groups = groups
            .iter()
            .map(|(id, name)| json!({ "value": id, "display": name, "$ref": by.place.location(&GROUP, *id) }));
        told.insert("groups".to_owned(), groups.collect());
    }
    let times = (person.created_at, person.changed_at);
    Ok(dress(told, (&USER, &by.place), (person.id, person.version), times))
}

/// What is to be kept, and whether that is somebody with rights. Where `active` does not say it, nothing changes: of what a PUT
/// leaves out the server may assume anything (RFC 7644, section 3.5.1), an attribute that was removed is unassigned (section
/// 3.5.2.2), and nobody gets rights back by what was not said.
fn ready(mut content: Map<String, Value>, was: PersonState) -> (Map<String, Value>, PersonState) {
    let active = content.get("active").and_then(Value::as_bool).unwrap_or(was == PersonState::Active);
    content.insert("active".to_owned(), active.into());
    (content, if active { PersonState::Active } else { PersonState::Inactive })
}

/// The user of ours that a name is of, if nobody else has either.
fn named(
    tx: &mut Tx<'_>,
    by: &Provisioner,
    content: &Map<String, Value>,
    own: Option<Uuid>,
) -> Result<(UserUri, String, Option<StoredPerson>), PeopleError> {
    let name = text(content, "userName");
    let misfit = || {
        let detail = "`userName` names nobody: LOCAL@DOMAIN, where DOMAIN is one of the gateway's or listed in its configuration";
        ScimError::new(ScimType::InvalidValue, detail)
    };
    let uri = by.place.user(&name).ok_or_else(misfit)?;
    let folded = name.to_lowercase();
    let is_other = |found: &StoredPerson| Some(found.id) != own;
    if people::named(tx, &folded)?.is_some_and(|found| is_other(&found)) {
        return Err(taken("userName"));
    }
    let former = people::of_user(tx, &uri)?;
    let is_free = |found: &StoredPerson| matches!(found.state, PersonState::Gone | PersonState::Unlisted);
    if former.as_ref().is_some_and(|found| !is_free(found) && is_other(found)) {
        return Err(taken("userName"));
    }
    Ok((uri, folded, former))
}

fn create(inner: &Arc<Inner>, by: &Provisioner, content: Map<String, Value>) -> Result<Resource, PeopleError> {
    let (content, state) = ready(content, PersonState::Active);
    let (by, now) = (by.clone(), inner.clock.now());
    let written = inner.store.write(LANE, move |tx: &mut Tx<'_>| {
        let revision = people::hold(tx)?;
        let (uri, user_name, former) = named(tx, &by, &content, None)?;
        people::hold_name(tx, &uri)?;
        let claims = former.as_ref().map(|former| former.claims.clone()).unwrap_or_default();
        let Kept { facts, manager } = facts::keep(tx, &content, state, BTreeSet::new(), &claims)?;
        let is_back = former.as_ref().is_some_and(|former| former.state == PersonState::Gone);
        let person = StoredPerson {
            uri,
            id: Uuid::now_v7(),
            user_name,
            external_id: text(&content, "externalId"),
            state,
            content: Value::Object(content.clone()).to_string(),
            facts,
            manager,
            claims,
            version: former.map_or(1, |former| former.version + 1),
            created_at: now,
            changed_at: now,
        };
        people::put(tx, &person, revision)?;
        if state == PersonState::Active && is_back {
            forget_retired(tx, &person.uri)?;
        }
        let detail = json!({ "id": person.id, "user": person.uri, "before": null, "after": shown(&content) });
        let record = record(&by, KIND, "created", detail, now);
        if state == PersonState::Inactive {
            end_rights(tx, &person.uri, &by, record.event, now)?;
        }
        tx.stage(&record)?;
        Ok::<_, PeopleError>(told(&by, &person, &[])?)
    })?;
    refresh(inner)?;
    Ok(written)
}

fn modify(
    inner: &Arc<Inner>,
    by: &Provisioner,
    id: Uuid,
    wanted: Option<String>,
    change: Change,
) -> Result<Resource, PeopleError> {
    let (by, now) = (by.clone(), inner.clock.now());
    let written = inner.store.write(LANE, move |tx: &mut Tx<'_>| {
        let revision = people::hold(tx)?;
        let before = people::load(tx, id)?.ok_or(GatewayError::NotFound)?;
        check_tag(wanted.as_deref(), &tag(before.version))?;
        let groups = people::groups_of(tx, &[id])?.remove(&id).unwrap_or_default();
        let (former, content) = match change.clone() {
            // Whatever stood there, even if it cannot be read.
            Change::Replace(content) => (parsed(&before.content).unwrap_or_default(), content),
            Change::Patch(patch) => {
                let former = parsed(&before.content)?;
                (former.clone(), patch.apply(&USER, former)?)
            }
        };
        let (content, state) = ready(content, before.state);
        let (uri, user_name, gone) = named(tx, &by, &content, Some(id))?;
        let is_known = Person::decode(before.facts.as_bytes()).is_some();
        if content == former && uri == before.uri && is_known {
            return Ok(told(&by, &before, &groups)?);
        }
        people::hold_name(tx, &uri)?;
        let detail = json!({ "id": id, "user": uri, "before": shown(&former), "after": shown(&content) });
        let record = record(&by, KIND, "changed", detail, now);
        if uri != before.uri {
            // Somebody else by now, as far as rooms are concerned.
            vacate(tx, &before, revision, now)?;
            end_rights(tx, &before.uri, &by, record.event, now)?;
        }
        let names = groups.iter().map(|(_, name)| name.clone()).collect();
        // They are those of the user who is meant by now.
        let stood = if uri == before.uri { Some(&before) } else { gone.as_ref() };
        let is_back = stood.is_some_and(|stood| matches!(stood.state, PersonState::Inactive | PersonState::Gone));
        let claims = stood.map(|stood| stood.claims.clone()).unwrap_or_default();
        let Kept { facts, manager } = facts::keep(tx, &content, state, names, &claims)?;
        let person = StoredPerson {
            external_id: text(&content, "externalId"),
            content: Value::Object(content.clone()).to_string(),
            facts,
            manager,
            claims,
            version: before.version.max(gone.map_or(0, |gone| gone.version)) + 1,
            changed_at: now,
            uri,
            user_name,
            state,
            ..before.clone()
        };
        people::put(tx, &person, revision)?;
        if person.uri != before.uri {
            facts::follow_manager(tx, id, revision)?;
        }
        if state == PersonState::Active && is_back {
            forget_retired(tx, &person.uri)?;
        }
        if state == PersonState::Inactive && (before.state == PersonState::Active || person.uri != before.uri) {
            end_rights(tx, &person.uri, &by, record.event, now)?;
        }
        tx.stage(&record)?;
        Ok::<_, PeopleError>(told(&by, &person, &groups)?)
    })?;
    refresh(inner)?;
    Ok(written)
}

fn delete(inner: &Arc<Inner>, by: &Provisioner, id: Uuid, wanted: Option<String>) -> Result<(), PeopleError> {
    let (by, now) = (by.clone(), inner.clock.now());
    inner.store.write(LANE, move |tx: &mut Tx<'_>| {
        let revision = people::hold(tx)?;
        let before = people::load(tx, id)?.ok_or(GatewayError::NotFound)?;
        check_tag(wanted.as_deref(), &tag(before.version))?;
        people::remove_members(tx, None, &[id])?;
        vacate(tx, &before, revision, now)?;
        facts::follow_manager(tx, id, revision)?;
        let former = parsed(&before.content).unwrap_or_default();
        let detail = json!({ "id": id, "user": before.uri, "before": shown(&former), "after": null });
        let record = record(&by, KIND, "deleted", detail, now);
        end_rights(tx, &before.uri, &by, record.event, now)?;
        Ok::<_, PeopleError>(tx.stage(&record)?)
    })?;
    Ok(refresh(inner)?)
}

/// Leaves of a person its name, which has no rights.
fn vacate(tx: &mut Tx<'_>, person: &StoredPerson, revision: u64, now: Millis) -> Result<(), PeopleError> {
    people::hold_name(tx, &person.uri)?;
    let gone = StoredPerson {
        id: Uuid::now_v7(),
        user_name: String::new(),
        external_id: String::new(),
        state: PersonState::Gone,
        content: String::new(),
        facts: facts::keep_closed(tx)?,
        manager: None,
        claims: String::new(),
        version: person.version + 1,
        changed_at: now,
        ..person.clone()
    };
    Ok(people::put(tx, &gone, revision)?)
}

/// Ends the rights of a user of ours in every room, as when its backend deletes it, under whatever spelling of its name it is
/// registered. Nobody registers it meanwhile: [`people::hold_name`] comes before.
fn end_rights(
    tx: &mut Tx<'_>,
    user: &UserUri,
    by: &Provisioner,
    decision: Uuid,
    now: Millis,
) -> Result<(), PeopleError> {
    let grounds = Grounds {
        by: format!("directory:{}", by.name),
        reason: "deactivated_by_the_directory".to_owned(),
        case: String::new(),
        policies: Vec::new(),
        decision: Some(decision),
    };
    let registered = known_devices::alike(tx, user)?;
    let others = registered.iter().filter(|other| *other != user);
    for user in others.chain([user]) {
        devices::retire(tx, user, &grounds, now)?;
    }
    Ok(())
}

/// Whoever comes back comes as new: what was there only to leave rooms is forgotten.
fn forget_retired(tx: &mut Tx<'_>, user: &UserUri) -> Result<(), StoreError> {
    known_devices::alike(tx, user)?.iter().try_for_each(|user| known_devices::forget_user(tx, user))
}

/// What a record tells of a person: what policies know of it, and which others there are of its attributes.
fn shown(content: &Map<String, Value>) -> Value {
    const TOLD: [&str; 4] = ["userName", "externalId", "userType", "active"];
    let mut shown: BTreeMap<&str, Value> = BTreeMap::new();
    let mut others: Vec<&str> = Vec::new();
    for (name, value) in content {
        if TOLD.contains(&name.as_str()) || name == ENTERPRISE_URN {
            shown.insert(if name == ENTERPRISE_URN { "enterprise" } else { name }, value.clone());
        } else {
            others.push(name);
        }
    }
    shown.insert("others", json!(others));
    json!(shown)
}

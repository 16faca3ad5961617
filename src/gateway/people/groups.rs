use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_core::scim::{GROUP, Patch, ScimError, ScimType, USER, canonical};
use portcullis_store::people::{self, StoredGroup};
use portcullis_store::{Conn, StoreError, Tx};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{LANE, PeopleError, Provisioner, Resource, check_tag, dress, facts, record, refresh, tag, taken, text};
use crate::gateway::{Gateway, GatewayError, Inner};

/// Kind of the records of what is said of groups.
const KIND: &str = "directory.group";
/// How many members a record names of those who come or go.
const NAMED: usize = 100;

/// What is to become of a group.
#[derive(Clone)]
enum Change {
    Create(Map<String, Value>),
    Replace(Map<String, Value>),
    Patch(Patch),
}

impl Gateway {
    /// Creates a group.
    ///
    /// # Errors
    ///
    /// [`PeopleError`]; [`ScimType::Uniqueness`] when there is one of that name.
    pub async fn create_group_of_people(&self, by: Provisioner, sent: Value) -> Result<Resource, PeopleError> {
        let change = Change::Create(canonical(&GROUP, &sent)?);
        self.for_people(&by.clone(), move |inner| change_group(inner, &by, Uuid::now_v7(), None, change)).await
    }

    /// Shows a group with its members.
    ///
    /// # Errors
    ///
    /// [`PeopleError`]; [`GatewayError::NotFound`] when there is none.
    pub async fn group_of_people(&self, by: Provisioner, id: Uuid) -> Result<Resource, PeopleError> {
        self.for_people(&by.clone(), move |inner| {
            inner.store.read(|conn| {
                let group = people::group(conn, id)?.ok_or(GatewayError::NotFound)?;
                Ok(told(conn, &by, &group)?)
            })
        })
        .await
    }

    /// Puts what was sent in the place of a group.
    ///
    /// # Errors
    ///
    /// [`PeopleError`]; [`PeopleError::Version`] when it is none of the versions `wanted`.
    pub async fn replace_group_of_people(
        &self,
        by: Provisioner,
        id: Uuid,
        wanted: Option<String>,
        sent: Value,
    ) -> Result<Resource, PeopleError> {
        let change = Change::Replace(canonical(&GROUP, &sent)?);
        self.for_people(&by.clone(), move |inner| change_group(inner, &by, id, wanted, change)).await
    }

    /// Changes parts of a group.
    ///
    /// # Errors
    ///
    /// As [`Self::replace_group_of_people`].
    pub async fn patch_group_of_people(
        &self,
        by: Provisioner,
        id: Uuid,
        wanted: Option<String>,
        sent: Value,
    ) -> Result<Resource, PeopleError> {
        let change = Change::Patch(Patch::parse(&sent)?);
        self.for_people(&by.clone(), move |inner| change_group(inner, &by, id, wanted, change)).await
    }

    /// Deletes a group. Its members are in it no longer.
    ///
    /// # Errors
    ///
    /// As [`Self::replace_group_of_people`].
    pub async fn delete_group_of_people(
        &self,
        by: Provisioner,
        id: Uuid,
        wanted: Option<String>,
    ) -> Result<(), PeopleError> {
        self.for_people(&by.clone(), move |inner| delete(inner, &by, id, wanted)).await
    }
}

/// A group as it is told.
pub(super) fn told(conn: &mut Conn, by: &Provisioner, group: &StoredGroup) -> Result<Resource, StoreError> {
    let members = people::members(conn, group.id)?;
    let mut told = kept(group, &BTreeSet::new());
    if !members.is_empty() {
        let members = members.iter().map(
            |(id, name)| json!({ "value": id, "display": name, "type": "User", "$ref": by.place.location(&USER, *id) }),
        );
        told.insert("members".to_owned(), members.collect());
    }
    Ok(dress(told, (&GROUP, &by.place), (group.id, group.version), (group.created_at, group.changed_at)))
}

/// A group in the form in which it was sent.
fn kept(group: &StoredGroup, members: &BTreeSet<Uuid>) -> Map<String, Value> {
    let mut kept = Map::from_iter([("displayName".to_owned(), Value::from(group.name.as_str()))]);
    if !group.external_id.is_empty() {
        kept.insert("externalId".to_owned(), group.external_id.as_str().into());
    }
    if !members.is_empty() {
        kept.insert("members".to_owned(), members.iter().map(|id| json!({ "value": id.to_string() })).collect());
    }
    kept
}

/// The members that are named, who must all be users.
fn members(conn: &mut Conn, content: &Map<String, Value>) -> Result<BTreeSet<Uuid>, PeopleError> {
    let nobody = || ScimError::new(ScimType::InvalidValue, "a member is the identifier of a user that is there");
    let named = content.get("members").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let ids: Option<BTreeSet<Uuid>> =
        named.iter().map(|member| member.get("value")?.as_str()?.parse::<Uuid>().ok()).collect();
    Ok(ids.ok_or_else(nobody)?).and_then(|ids| {
        let all: Vec<Uuid> = ids.iter().copied().collect();
        if people::load_all(conn, &all)?.len() == all.len() { Ok(ids) } else { Err(nobody().into()) }
    })
}

fn change_group(
    inner: &Arc<Inner>,
    by: &Provisioner,
    id: Uuid,
    wanted: Option<String>,
    change: Change,
) -> Result<Resource, PeopleError> {
    let (by, now) = (by.clone(), inner.clock.now());
    let written = inner.store.write(LANE, move |tx: &mut Tx<'_>| {
        let revision = people::hold(tx)?;
        let before = people::group(tx, id)?;
        let were: BTreeSet<Uuid> = people::members(tx, id)?.into_iter().map(|(id, _)| id).collect();
        let content = match (&change, &before) {
            (Change::Create(content), _) => content.clone(),
            (_, None) => return Err(GatewayError::NotFound.into()),
            (Change::Replace(content), Some(_)) => content.clone(),
            (Change::Patch(patch), Some(before)) => patch.apply(&GROUP, kept(before, &were))?,
        };
        if let Some(before) = &before {
            check_tag(wanted.as_deref(), &tag(before.version))?;
        }
        let are = members(tx, &content)?;
        let name = text(&content, "displayName");
        let folded = name.to_lowercase();
        if people::group_named(tx, &folded)?.is_some_and(|found| found.id != id) {
            return Err(taken("displayName"));
        }
        let (come, gone): (Vec<Uuid>, Vec<Uuid>) =
            (are.difference(&were).copied().collect(), were.difference(&are).copied().collect());
        let external_id = text(&content, "externalId");
        let renamed = before.as_ref().is_some_and(|before| before.name != name);
        let same = before.as_ref().filter(|before| !renamed && before.external_id == external_id);
        if let Some(same) = same.filter(|_| come.is_empty() && gone.is_empty()) {
            return Ok(told(tx, &by, same)?);
        }
        let group = StoredGroup {
            id,
            folded,
            external_id,
            version: before.as_ref().map_or(1, |before| before.version + 1),
            created_at: before.as_ref().map_or(now, |before| before.created_at),
            changed_at: now,
            name,
        };
        people::put_group(tx, &group)?;
        people::remove_members(tx, Some(id), &gone)?;
        people::add_members(tx, id, &come)?;
        let concerned: Vec<Uuid> =
            if renamed { were.union(&are).copied().collect() } else { come.iter().chain(&gone).copied().collect() };
        facts::follow_groups(tx, &concerned, revision, now)?;
        let detail = json!({
            "id": id,
            "before": before.as_ref().map(|before| shown(before, were.len())), "after": shown(&group, are.len()),
            "added": first(&come), "removed": first(&gone),
        });
        let reason = if before.is_some() { "changed" } else { "created" };
        tx.stage(&record(&by, KIND, reason, detail, now))?;
        Ok::<_, PeopleError>(told(tx, &by, &group)?)
    })?;
    refresh(inner)?;
    Ok(written)
}

fn delete(inner: &Arc<Inner>, by: &Provisioner, id: Uuid, wanted: Option<String>) -> Result<(), PeopleError> {
    let (by, now) = (by.clone(), inner.clock.now());
    inner.store.write(LANE, move |tx: &mut Tx<'_>| {
        let revision = people::hold(tx)?;
        let before = people::group(tx, id)?.ok_or(GatewayError::NotFound)?;
        check_tag(wanted.as_deref(), &tag(before.version))?;
        let were: Vec<Uuid> = people::members(tx, id)?.into_iter().map(|(id, _)| id).collect();
        people::delete_group(tx, id)?;
        facts::follow_groups(tx, &were, revision, now)?;
        let detail = json!({ "id": id, "before": shown(&before, were.len()), "after": null, "removed": first(&were) });
        Ok::<_, PeopleError>(tx.stage(&record(&by, KIND, "deleted", detail, now))?)
    })?;
    Ok(refresh(inner)?)
}

fn shown(group: &StoredGroup, members: usize) -> Value {
    json!({ "displayName": group.name, "externalId": group.external_id, "members": members })
}

fn first(ids: &[Uuid]) -> Value {
    json!({ "count": ids.len(), "users": ids.iter().take(NAMED).collect::<Vec<_>>() })
}

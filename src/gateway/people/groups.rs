use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_core::scim::{GROUP, MAX_MEMBERS, MembersChange, Patch, ScimError, ScimType, USER, canonical};
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
    /// Of its members, and of everything else.
    Patch(Patch, Vec<MembersChange>),
}

/// Whom a resource is told with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// With its members, each with the name.
    Told,
    /// Without them: there may be thousands.
    LeftOut,
}

impl Gateway {
    /// Creates a group.
    ///
    /// # Errors
    ///
    /// [`PeopleError`]; [`ScimType::Uniqueness`] when there is one of that name.
    pub async fn create_group_of_people(&self, by: Provisioner, sent: Value) -> Result<Resource, PeopleError> {
        let change = Change::Create(canonical(&GROUP, &sent)?);
        let made = (None, change);
        self.for_people(&by.clone(), move |inner| change_group(inner, &by, Uuid::now_v7(), made, Members::Told)).await
    }

    /// Shows a group.
    ///
    /// # Errors
    ///
    /// [`PeopleError`]; [`GatewayError::NotFound`] when there is none.
    pub async fn group_of_people(&self, by: Provisioner, id: Uuid, members: Members) -> Result<Resource, PeopleError> {
        self.for_people(&by.clone(), move |inner| {
            inner.store.read(|conn| {
                let group = people::group(conn, id)?.ok_or(GatewayError::NotFound)?;
                Ok(told(conn, &by, &group, members)?)
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
        self.for_people(&by.clone(), move |inner| change_group(inner, &by, id, (wanted, change), Members::Told)).await
    }

    /// Changes parts of a group. What it takes depends on how many members come and go, and not on how many there are, unless
    /// all of them are replaced or told.
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
        members: Members,
    ) -> Result<Resource, PeopleError> {
        let (rest, changes) = Patch::parse(&sent)?.apart(&GROUP)?;
        let change = Change::Patch(rest, changes);
        self.for_people(&by.clone(), move |inner| change_group(inner, &by, id, (wanted, change), members)).await
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
pub(super) fn told(
    conn: &mut Conn,
    by: &Provisioner,
    group: &StoredGroup,
    members: Members,
) -> Result<Resource, StoreError> {
    let members = if members == Members::Told { people::members(conn, group.id)? } else { Vec::new() };
    Ok(told_with(by, group, &members))
}

/// The same with these of its members.
pub(super) fn told_with(by: &Provisioner, group: &StoredGroup, members: &[(Uuid, String)]) -> Resource {
    let mut told = kept(group);
    if !members.is_empty() {
        let members = members.iter().map(
            |(id, name)| json!({ "value": id, "display": name, "type": "User", "$ref": by.place.location(&USER, *id) }),
        );
        told.insert("members".to_owned(), members.collect());
    }
    dress(told, (&GROUP, &by.place), (group.id, group.version), (group.created_at, group.changed_at))
}

/// A group in the form in which it was sent, without its members.
fn kept(group: &StoredGroup) -> Map<String, Value> {
    let mut kept = Map::from_iter([("displayName".to_owned(), Value::from(group.name.as_str()))]);
    if !group.external_id.is_empty() {
        kept.insert("externalId".to_owned(), group.external_id.as_str().into());
    }
    kept
}

fn nobody() -> PeopleError {
    ScimError::new(ScimType::InvalidValue, "a member is the identifier of a user that is there").into()
}

/// Who comes into a group and who goes, with how many were in it before.
struct Moves {
    come: Vec<Uuid>,
    gone: Vec<Uuid>,
    were: usize,
}

/// Members as a change leaves them: everybody of before but those removed, or nobody of before; and those added.
#[derive(Default)]
struct Wanted {
    cleared: bool,
    added: BTreeSet<Uuid>,
    removed: BTreeSet<Uuid>,
}

impl Wanted {
    fn replace(&mut self, members: &[String]) -> Result<(), PeopleError> {
        *self = Self { cleared: true, ..Self::default() };
        self.add(members)
    }

    fn add(&mut self, members: &[String]) -> Result<(), PeopleError> {
        for member in members {
            let id = member.parse().map_err(|_| nobody())?;
            self.removed.remove(&id);
            self.added.insert(id);
        }
        Ok(())
    }

    fn remove(&mut self, id: Uuid) {
        self.added.remove(&id);
        self.removed.insert(id);
    }

    fn take(&mut self, conn: &mut Conn, group: Uuid, change: &MembersChange) -> Result<(), PeopleError> {
        match change {
            MembersChange::Add(members) => self.add(members)?,
            MembersChange::Replace(members) => self.replace(members)?,
            // Whoever is no identifier is in no group.
            MembersChange::Remove(members) => {
                members.iter().filter_map(|member| member.parse().ok()).for_each(|id| self.remove(id));
            }
            MembersChange::RemoveThose(those) => {
                let before = if self.cleared { Vec::new() } else { people::member_ids(conn, group)? };
                let there: BTreeSet<Uuid> = before.into_iter().chain(self.added.iter().copied()).collect();
                let fits = there.into_iter().filter(|id| those.fits(&GROUP, &id.to_string()));
                fits.for_each(|id| self.remove(id));
            }
        }
        Ok(())
    }

    fn moves(self, conn: &mut Conn, group: Uuid) -> Result<Moves, PeopleError> {
        let Self { cleared, added, removed } = self;
        let (come, gone, were) = if cleared {
            let were: BTreeSet<Uuid> = people::member_ids(conn, group)?.into_iter().collect();
            let come: Vec<Uuid> = added.difference(&were).copied().collect();
            (come, were.difference(&added).copied().collect::<Vec<_>>(), were.len())
        } else {
            let named: Vec<Uuid> = added.union(&removed).copied().collect();
            let are = people::members_among(conn, group, &named)?;
            let were = usize::try_from(people::count_members(conn, group)?).unwrap_or(usize::MAX);
            (added.difference(&are).copied().collect(), removed.intersection(&are).copied().collect(), were)
        };
        if people::load_all(conn, &come)?.len() < come.len() {
            return Err(nobody());
        }
        if were + come.len() - gone.len() > MAX_MEMBERS {
            let detail = format!("a group has at most {MAX_MEMBERS} members");
            return Err(ScimError::new(ScimType::InvalidValue, detail).into());
        }
        Ok(Moves { come, gone, were })
    }
}

/// Who is in a group that was sent as a whole.
fn all_of(content: &mut Map<String, Value>) -> Result<Wanted, PeopleError> {
    let named = content.remove("members");
    let named = named.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let named: Option<Vec<String>> =
        named.iter().map(|member| member.get("value")?.as_str().map(str::to_owned)).collect();
    let mut wanted = Wanted::default();
    wanted.replace(&named.ok_or_else(nobody)?)?;
    Ok(wanted)
}

fn change_group(
    inner: &Arc<Inner>,
    by: &Provisioner,
    id: Uuid,
    (wanted, change): (Option<String>, Change),
    members: Members,
) -> Result<Resource, PeopleError> {
    let (by, now) = (by.clone(), inner.clock.now());
    let written = inner.store.write(LANE, move |tx: &mut Tx<'_>| {
        let revision = people::hold(tx)?;
        let before = people::group(tx, id)?;
        if let Some(before) = &before {
            check_tag(wanted.as_deref(), &tag(before.version))?;
        }
        let (content, wanted) = match (&change, &before) {
            (Change::Replace(_) | Change::Patch(..), None) => return Err(GatewayError::NotFound.into()),
            (Change::Create(content) | Change::Replace(content), _) => {
                let mut content = content.clone();
                let wanted = all_of(&mut content)?;
                (content, wanted)
            }
            (Change::Patch(rest, changes), Some(before)) => {
                let mut wanted = Wanted::default();
                changes.iter().try_for_each(|change| wanted.take(tx, id, change))?;
                (rest.apply(&GROUP, kept(before))?, wanted)
            }
        };
        let Moves { come, gone, were } = wanted.moves(tx, id)?;
        let name = text(&content, "displayName");
        let folded = name.to_lowercase();
        if people::group_named(tx, &folded)?.is_some_and(|found| found.id != id) {
            return Err(taken("displayName"));
        }
        let external_id = text(&content, "externalId");
        let renamed = before.as_ref().is_some_and(|before| before.name != name);
        let same = before.as_ref().filter(|before| !renamed && before.external_id == external_id);
        if let Some(same) = same.filter(|_| come.is_empty() && gone.is_empty()) {
            return Ok(told(tx, &by, same, members)?);
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
        let mut concerned: Vec<Uuid> = gone.clone();
        concerned.extend(if renamed { people::member_ids(tx, id)? } else { come.clone() });
        facts::follow_groups(tx, &concerned, revision, now)?;
        let are = were + come.len() - gone.len();
        let detail = json!({
            "id": id,
            "before": before.as_ref().map(|before| shown(before, were)), "after": shown(&group, are),
            "added": first(&come), "removed": first(&gone),
        });
        let reason = if before.is_some() { "changed" } else { "created" };
        tx.stage(&record(&by, KIND, reason, detail, now))?;
        Ok::<_, PeopleError>(told(tx, &by, &group, members)?)
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
        let were = people::member_ids(tx, id)?;
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

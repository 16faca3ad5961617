//! Users and groups that fit a filter, page by page.

use std::sync::Arc;

use portcullis_core::scim::{Filter, GROUP, ResourceType, ScimError, ScimType, USER};
use portcullis_store::people::{self, StoredGroup, StoredPerson};
use portcullis_store::{Conn, StoreError};
use uuid::Uuid;

use super::{PeopleError, Provisioner, Resource, groups, users};
use crate::gateway::{Gateway, Inner};

/// Most resources that are looked at for a filter that no index helps with.
const MOST_LOOKED_AT: usize = 20_000;
/// How many are read at once.
const PAGE: u32 = 500;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What they must fit.
    pub filter: Option<Filter>,
    /// Which is the first of the page, from 1.
    pub start: usize,
    /// How many the page has at most.
    pub count: usize,
}

/// A page of them.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Those of the page.
    pub page: Vec<Resource>,
    /// How many fit altogether.
    pub total: usize,
}

/// What is collected of those that fit.
struct Page<'a> {
    of: &'a ResourceType,
    wanted: &'a Wanted,
    looked_at: usize,
    listed: Listed,
}

impl Page<'_> {
    fn see(&mut self, resource: Resource) -> Result<(), PeopleError> {
        self.looked_at += 1;
        if self.looked_at > MOST_LOOKED_AT {
            let detail = "look for `id`, `userName`, `displayName` or `externalId`: there are too many to look at each";
            return Err(ScimError::new(ScimType::TooMany, detail).into());
        }
        if self.wanted.filter.as_ref().is_none_or(|filter| filter.fits(self.of, &resource.told)) {
            self.listed.total += 1;
            let Wanted { start, count, .. } = self.wanted;
            if self.listed.total >= *start && self.listed.page.len() < *count {
                self.listed.page.push(resource);
            }
        }
        Ok(())
    }
}

impl Gateway {
    /// Users that fit.
    ///
    /// # Errors
    ///
    /// [`PeopleError`]; [`ScimType::TooMany`] for a filter that would take too much work.
    pub async fn people(&self, by: Provisioner, wanted: Wanted) -> Result<Listed, PeopleError> {
        self.for_people(&by.clone(), move |inner| list_people(inner, &by, &wanted)).await
    }

    /// Groups that fit.
    ///
    /// # Errors
    ///
    /// As [`Self::people`].
    pub async fn groups_of_people(&self, by: Provisioner, wanted: Wanted) -> Result<Listed, PeopleError> {
        self.for_people(&by.clone(), move |inner| list_groups(inner, &by, &wanted)).await
    }
}

/// Those among which everything is that an index finds for the filter; `None` where none helps.
fn found_people(conn: &mut Conn, filter: &Filter) -> Result<Option<Vec<StoredPerson>>, StoreError> {
    if let Some(id) = filter.wants("id") {
        let found = id.parse::<Uuid>().ok().map(|id| people::load(conn, id)).transpose()?.flatten();
        return Ok(Some(found.into_iter().collect()));
    }
    if let Some(name) = filter.wants("userName") {
        return Ok(Some(people::named(conn, &name.to_lowercase())?.into_iter().collect()));
    }
    match filter.wants("externalId") {
        Some(external_id) => people::with_external_id(conn, external_id, PAGE).map(Some),
        None => Ok(None),
    }
}

fn list_people(inner: &Arc<Inner>, by: &Provisioner, wanted: &Wanted) -> Result<Listed, PeopleError> {
    inner.store.read(|conn| {
        let mut page = Page { of: &USER, wanted, looked_at: 0, listed: Listed { page: Vec::new(), total: 0 } };
        let see = |page: &mut Page<'_>, conn: &mut Conn, some: &[StoredPerson]| {
            let ids: Vec<Uuid> = some.iter().map(|person| person.id).collect();
            let mut groups = people::groups_of(conn, &ids)?;
            some.iter().try_for_each(|person| {
                page.see(users::told(by, person, &groups.remove(&person.id).unwrap_or_default())?)
            })
        };
        let Some(filter) = &wanted.filter else {
            // Without a filter everybody is counted, and only the page is read.
            let total = usize::try_from(people::count(conn)?).unwrap_or(usize::MAX);
            let (skip, limit) = (wanted.start.saturating_sub(1) as u64, u32::try_from(wanted.count).unwrap_or(PAGE));
            let some = people::all(conn, None, skip, limit)?;
            let all = &Wanted { start: 1, ..wanted.clone() };
            let mut page = Page { wanted: all, ..page };
            see(&mut page, conn, &some)?;
            return Ok(Listed { total, ..page.listed });
        };
        if let Some(found) = found_people(conn, filter)? {
            see(&mut page, conn, &found)?;
            return Ok(page.listed);
        }
        let mut after = None;
        loop {
            let some = people::all(conn, after, 0, PAGE)?;
            see(&mut page, conn, &some)?;
            match some.last() {
                Some(last) => after = Some(last.id),
                None => return Ok::<_, PeopleError>(page.listed),
            }
        }
    })
}

fn found_groups(conn: &mut Conn, filter: &Filter) -> Result<Option<Vec<StoredGroup>>, StoreError> {
    if let Some(id) = filter.wants("id") {
        let found = id.parse::<Uuid>().ok().map(|id| people::group(conn, id)).transpose()?.flatten();
        return Ok(Some(found.into_iter().collect()));
    }
    if let Some(name) = filter.wants("displayName") {
        return Ok(Some(people::group_named(conn, &name.to_lowercase())?.into_iter().collect()));
    }
    match filter.wants("externalId") {
        Some(external_id) => people::groups_with_external_id(conn, external_id, PAGE).map(Some),
        None => Ok(None),
    }
}

fn list_groups(inner: &Arc<Inner>, by: &Provisioner, wanted: &Wanted) -> Result<Listed, PeopleError> {
    inner.store.read(|conn| {
        let mut page = Page { of: &GROUP, wanted, looked_at: 0, listed: Listed { page: Vec::new(), total: 0 } };
        let found = wanted.filter.as_ref().map(|filter| found_groups(conn, filter)).transpose()?.flatten();
        if let Some(found) = found {
            for group in &found {
                page.see(groups::told(conn, by, group)?)?;
            }
            return Ok(page.listed);
        }
        let mut after = None;
        loop {
            let some = people::groups(conn, after, PAGE)?;
            for group in &some {
                page.see(groups::told(conn, by, group)?)?;
            }
            match some.last() {
                Some(last) => after = Some(last.id),
                None => return Ok::<_, PeopleError>(page.listed),
            }
        }
    })
}

//! Users and groups that fit a filter, page by page.

use std::sync::Arc;

use portcullis_core::scim::{Filter, GROUP, ResourceType, ScimError, ScimType, USER};
use portcullis_store::people::{self, StoredGroup, StoredPerson};
use portcullis_store::{Conn, StoreError};
use uuid::Uuid;

use super::{Members, PeopleError, Provisioner, Resource, groups, users};
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
    /// Whether groups are told with their members.
    pub members: Members,
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
    /// Counts what is looked at.
    fn look(&mut self, more: usize) -> Result<(), ScimError> {
        self.looked_at = self.looked_at.saturating_add(more);
        if self.looked_at <= MOST_LOOKED_AT {
            return Ok(());
        }
        let detail = "look for `id`, `userName`, `displayName` or `externalId`: there are too many to look at each";
        Err(ScimError::new(ScimType::TooMany, detail))
    }

    /// Counts one that fits, and tells whether it stands on the page.
    fn counts(&mut self, resource: &Resource) -> bool {
        if self.wanted.filter.as_ref().is_some_and(|filter| !filter.fits(self.of, &resource.told)) {
            return false;
        }
        self.listed.total += 1;
        let Wanted { start, count, .. } = self.wanted;
        self.listed.total >= *start && self.listed.page.len() < *count
    }

    fn see(&mut self, resource: Resource) -> Result<(), PeopleError> {
        self.look(1)?;
        if self.counts(&resource) {
            self.listed.page.push(resource);
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
    if let Some(member) = filter.wants("members").or_else(|| filter.wants("members.value")) {
        let found = member.parse::<Uuid>().ok().map(|id| people::groups_with_member(conn, id)).transpose()?;
        return Ok(Some(found.unwrap_or_default()));
    }
    match filter.wants("externalId") {
        Some(external_id) => people::groups_with_external_id(conn, external_id, PAGE).map(Some),
        None => Ok(None),
    }
}

/// Looks at one group: at those of its members that the filter names, at all of them where it asks more of them, and for the page
/// at all of them only where they are to be told.
fn see_group(page: &mut Page<'_>, conn: &mut Conn, by: &Provisioner, group: &StoredGroup) -> Result<(), PeopleError> {
    page.look(1)?;
    let named = page.wanted.filter.as_ref().map_or(Some(Vec::new()), |filter| filter.compares("members"));
    let looked_at = match named {
        Some(named) => {
            let named: Vec<Uuid> = named.into_iter().filter_map(|member| member.parse().ok()).collect();
            let there = people::members_among(conn, group.id, &named)?;
            groups::told_with(by, group, &there.into_iter().map(|id| (id, String::new())).collect::<Vec<_>>())
        }
        None => {
            page.look(usize::try_from(people::count_members(conn, group.id)?).unwrap_or(usize::MAX))?;
            groups::told(conn, by, group, Members::Told)?
        }
    };
    if page.counts(&looked_at) {
        if page.wanted.members == Members::Told {
            page.look(usize::try_from(people::count_members(conn, group.id)?).unwrap_or(usize::MAX))?;
        }
        page.listed.page.push(groups::told(conn, by, group, page.wanted.members)?);
    }
    Ok(())
}

fn list_groups(inner: &Arc<Inner>, by: &Provisioner, wanted: &Wanted) -> Result<Listed, PeopleError> {
    inner.store.read(|conn| {
        let mut page = Page { of: &GROUP, wanted, looked_at: 0, listed: Listed { page: Vec::new(), total: 0 } };
        let Some(filter) = &wanted.filter else {
            let total = usize::try_from(people::count_groups(conn)?).unwrap_or(usize::MAX);
            let (skip, limit) = (wanted.start.saturating_sub(1) as u64, u32::try_from(wanted.count).unwrap_or(PAGE));
            let all = &Wanted { start: 1, ..wanted.clone() };
            let mut page = Page { wanted: all, ..page };
            for group in &people::groups(conn, None, skip, limit)? {
                see_group(&mut page, conn, by, group)?;
            }
            return Ok(Listed { total, ..page.listed });
        };
        if let Some(found) = found_groups(conn, filter)? {
            found.iter().try_for_each(|group| see_group(&mut page, conn, by, group))?;
            return Ok(page.listed);
        }
        let mut after = None;
        loop {
            let some = people::groups(conn, after, 0, PAGE)?;
            some.iter().try_for_each(|group| see_group(&mut page, conn, by, group))?;
            match some.last() {
                Some(last) => after = Some(last.id),
                None => return Ok::<_, PeopleError>(page.listed),
            }
        }
    })
}

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use portcullis_core::time::Millis;
use uuid::Uuid;

use super::MOST_NAMES;
use crate::convert::{millis, number, time, to_db, uuid};
use crate::effects::Effects;
use crate::schema::people_groups::{self as table, dsl};
use crate::schema::{people, people_members};
use crate::{Conn, StoreError, Tx};

/// A group as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredGroup {
    /// Its identifier.
    pub id: Uuid,
    /// `displayName`.
    pub name: String,
    /// The same in small letters.
    pub folded: String,
    /// `externalId`; empty for none.
    pub external_id: String,
    /// How often it was changed.
    pub version: u64,
    /// When it was created.
    pub created_at: Millis,
    /// When it was changed last.
    pub changed_at: Millis,
}

struct MemberRow {
    in_group: Vec<u8>,
    person: Vec<u8>,
}

row!(MemberRow => people_members (in_group, person) " ON CONFLICT DO NOTHING");

type Row = (Vec<u8>, String, String, String, i64, i64, i64);

type Columns = (dsl::id, dsl::name, dsl::folded, dsl::external_id, dsl::version, dsl::created_at, dsl::changed_at);

const COLUMNS: Columns =
    (dsl::id, dsl::name, dsl::folded, dsl::external_id, dsl::version, dsl::created_at, dsl::changed_at);

fn of_row(row: Row) -> Result<StoredGroup, StoreError> {
    let (id, name, folded, external_id, version, created_at, changed_at) = row;
    Ok(StoredGroup {
        id: uuid(&id)?,
        name,
        folded,
        external_id,
        version: number(version)?,
        created_at: millis(created_at)?,
        changed_at: millis(changed_at)?,
    })
}

fn bytes(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

/// Keeps a group as it is from now on.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn put_group(tx: &mut Tx<'_>, group: &StoredGroup) -> Result<(), StoreError> {
    let values = (
        dsl::name.eq(group.name.as_str()),
        dsl::folded.eq(group.folded.as_str()),
        dsl::external_id.eq(group.external_id.as_str()),
        dsl::version.eq(to_db(group.version)?),
        dsl::created_at.eq(time(group.created_at)?),
        dsl::changed_at.eq(time(group.changed_at)?),
    );
    let row = (dsl::id.eq(bytes(group.id)), values);
    db!(tx, |c| {
        diesel::insert_into(table::table).values(row).on_conflict(dsl::id).do_update().set(values).execute(c)
    })?;
    Ok(())
}

/// Forgets a group, and who is in it.
///
/// # Errors
///
/// [`StoreError::Missing`] when there is none.
pub fn delete_group(tx: &mut Tx<'_>, id: Uuid) -> Result<(), StoreError> {
    let members = people_members::table.filter(people_members::in_group.eq(bytes(id)));
    db!(tx, |c| diesel::delete(members).execute(c))?;
    let row = table::table.filter(dsl::id.eq(bytes(id)));
    match db!(tx, |c| diesel::delete(row).execute(c))? {
        0 => Err(StoreError::Missing),
        _ => Ok(()),
    }
}

/// The group with this identifier.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn group(conn: &mut Conn, id: Uuid) -> Result<Option<StoredGroup>, StoreError> {
    let query = table::table.filter(dsl::id.eq(bytes(id))).select(COLUMNS);
    db!(conn, |c| query.first::<Row>(c).optional())?.map(of_row).transpose()
}

/// The group with this name in small letters.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn group_named(conn: &mut Conn, folded: &str) -> Result<Option<StoredGroup>, StoreError> {
    let query = table::table.filter(dsl::folded.eq(folded)).select(COLUMNS);
    db!(conn, |c| query.first::<Row>(c).optional())?.map(of_row).transpose()
}

/// The groups with this `externalId`, at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn groups_with_external_id(conn: &mut Conn, external_id: &str, limit: u32) -> Result<Vec<StoredGroup>, StoreError> {
    let query =
        table::table.filter(dsl::external_id.eq(external_id)).order(dsl::id).limit(limit.into()).select(COLUMNS);
    db!(conn, |c| query.load::<Row>(c))?.into_iter().map(of_row).collect()
}

/// How many groups there are.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn count_groups(conn: &mut Conn) -> Result<u64, StoreError> {
    number(db!(conn, |c| table::table.count().get_result::<i64>(c))?)
}

/// All groups in the order of identifiers, behind `after` and `skip` more; at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn groups(conn: &mut Conn, after: Option<Uuid>, skip: u64, limit: u32) -> Result<Vec<StoredGroup>, StoreError> {
    let after = after.map(bytes).unwrap_or_default();
    let all = table::table.filter(dsl::id.gt(after)).order(dsl::id);
    let query = all.offset(to_db(skip)?).limit(limit.into()).select(COLUMNS);
    db!(conn, |c| query.load::<Row>(c))?.into_iter().map(of_row).collect()
}

/// The groups that a person is in.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn groups_with_member(conn: &mut Conn, person: Uuid) -> Result<Vec<StoredGroup>, StoreError> {
    let query = people_members::table
        .inner_join(table::table.on(dsl::id.eq(people_members::in_group)))
        .filter(people_members::person.eq(bytes(person)))
        .order(dsl::id)
        .select(COLUMNS);
    db!(conn, |c| query.load::<Row>(c))?.into_iter().map(of_row).collect()
}

/// How many are in a group.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn count_members(conn: &mut Conn, group: Uuid) -> Result<u64, StoreError> {
    let query = people_members::table.filter(people_members::in_group.eq(bytes(group))).count();
    number(db!(conn, |c| query.get_result::<i64>(c))?)
}

/// Who is in a group.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn member_ids(conn: &mut Conn, group: Uuid) -> Result<Vec<Uuid>, StoreError> {
    let query = people_members::table.filter(people_members::in_group.eq(bytes(group))).select(people_members::person);
    db!(conn, |c| query.load::<Vec<u8>>(c))?.iter().map(|id| uuid(id)).collect()
}

/// Those of `people` who are in a group.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn members_among(conn: &mut Conn, group: Uuid, people: &[Uuid]) -> Result<BTreeSet<Uuid>, StoreError> {
    let mut found = BTreeSet::new();
    for some in people.chunks(MOST_NAMES) {
        let some: Vec<Vec<u8>> = some.iter().copied().map(bytes).collect();
        let query = people_members::table
            .filter(people_members::in_group.eq(bytes(group)))
            .filter(people_members::person.eq_any(some))
            .select(people_members::person);
        for id in db!(conn, |c| query.load::<Vec<u8>>(c))? {
            found.insert(uuid(&id)?);
        }
    }
    Ok(found)
}

/// Who is in a group, each with the `userName`, in the order of identifiers.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn members(conn: &mut Conn, group: Uuid) -> Result<Vec<(Uuid, String)>, StoreError> {
    let query = people_members::table
        .inner_join(people::table.on(people::id.eq(people_members::person)))
        .filter(people_members::in_group.eq(bytes(group)))
        .order(people_members::person)
        .select((people_members::person, people::user_name));
    let rows = db!(conn, |c| query.load::<(Vec<u8>, String)>(c))?;
    rows.into_iter().map(|(id, name)| Ok((uuid(&id)?, name))).collect()
}

/// Puts people into a group; nothing changes for those who are in it.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn add_members(tx: &mut Tx<'_>, group: Uuid, people: &[Uuid]) -> Result<(), StoreError> {
    let rows: Vec<MemberRow> =
        people.iter().map(|person| MemberRow { in_group: bytes(group), person: bytes(*person) }).collect();
    let mut effects = Effects::default();
    effects.insert(rows);
    Ok(tx.write(effects)?)
}

/// Takes people out of a group, or out of every group.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn remove_members(tx: &mut Tx<'_>, group: Option<Uuid>, people: &[Uuid]) -> Result<(), StoreError> {
    for some in people.chunks(MOST_NAMES) {
        let some: Vec<Vec<u8>> = some.iter().copied().map(bytes).collect();
        let rows = people_members::table.filter(people_members::person.eq_any(some));
        match group {
            Some(group) => {
                let rows = rows.filter(people_members::in_group.eq(bytes(group)));
                db!(tx, |c| diesel::delete(rows).execute(c))?
            }
            None => db!(tx, |c| diesel::delete(rows).execute(c))?,
        };
    }
    Ok(())
}

/// The groups that each of these people is in, with their names.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn groups_of(conn: &mut Conn, people: &[Uuid]) -> Result<BTreeMap<Uuid, Vec<(Uuid, String)>>, StoreError> {
    let mut found: BTreeMap<Uuid, Vec<(Uuid, String)>> = BTreeMap::new();
    for some in people.chunks(MOST_NAMES) {
        let some: Vec<Vec<u8>> = some.iter().copied().map(bytes).collect();
        let query = people_members::table
            .inner_join(table::table.on(dsl::id.eq(people_members::in_group)))
            .filter(people_members::person.eq_any(some))
            .order((people_members::person, dsl::id))
            .select((people_members::person, dsl::id, dsl::name));
        for (person, group, name) in db!(conn, |c| query.load::<(Vec<u8>, Vec<u8>, String)>(c))? {
            found.entry(uuid(&person)?).or_default().push((uuid(&group)?, name));
        }
    }
    Ok(found)
}

//! What the company's identity provider says of people and groups, and the tokens by which it comes. Whoever writes holds the
//! head first: names are looked up and taken without anybody in between, and revisions become visible in their order.

mod groups;
mod tokens;

pub use groups::{
    StoredGroup, add_members, count_groups, count_members, delete_group, group, group_named, groups, groups_of,
    groups_with_external_id, groups_with_member, member_ids, members, members_among, put_group, remove_members,
};
pub use tokens::{Token, create as create_token, find as find_token, revoke as revoke_token, tokens};

use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::UserUri;
use uuid::Uuid;

use crate::conn::Kind;
use crate::convert::{millis, number, time, to_db, user, uuid};
use crate::schema::people::{self as table, dsl};
use crate::schema::{people_head, person_facts};
use crate::{Conn, StoreError, Topic, Tx};

/// Whether a person has any rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonState {
    /// As far as policy says.
    Active,
    /// None, until it is active again.
    Inactive,
    /// None, until it is created again: what is left is the name.
    Gone,
    /// As far as policy says: the identity provider has never named it, and only its token has said something.
    Unlisted,
}

impl PersonState {
    fn code(self) -> i64 {
        match self {
            Self::Active => 0,
            Self::Inactive => 1,
            Self::Gone => 2,
            Self::Unlisted => 3,
        }
    }

    fn from_code(code: i64) -> Result<Self, StoreError> {
        let all = [Self::Active, Self::Inactive, Self::Gone, Self::Unlisted];
        all.into_iter().find(|state| state.code() == code).ok_or(StoreError::Corrupt("state of a person"))
    }
}

/// A person as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPerson {
    /// The user of ours.
    pub uri: UserUri,
    /// Its identifier for the identity provider.
    pub id: Uuid,
    /// `userName` in small letters.
    pub user_name: String,
    /// `externalId`; empty for none.
    pub external_id: String,
    /// Whether it has rights.
    pub state: PersonState,
    /// The resource as JSON; empty for one that is gone.
    pub content: String,
    /// What policies know of it, as JSON.
    pub facts: String,
    /// How often it was changed.
    pub version: u64,
    /// When it was created.
    pub created_at: Millis,
    /// When it was changed last.
    pub changed_at: Millis,
    /// The identifier of its manager, who may be nobody that is there.
    pub manager: Option<Uuid>,
    /// What its own token has said, as JSON; empty for nothing.
    pub claims: String,
}

/// First key of the advisory locks on names of users; the second is the hash of the name.
const NAMES: i32 = 0x7065_6f70;

/// Lets nobody else register or end the user of this name in small letters before the transaction has ended, on any replica: where
/// there is no row yet, there is nothing else that both could hold. SQLite has one writer at a time.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn hold_name(tx: &mut Tx<'_>, folded: &UserUri) -> Result<(), StoreError> {
    if matches!(tx.kind, Kind::Postgres(_)) {
        let lock = diesel::sql_query("SELECT pg_advisory_xact_lock($1, hashtext($2))");
        let lock = lock.bind::<Integer, _>(NAMES).bind::<Text, _>(folded.as_str());
        db!(tx, |c| lock.execute(c))?;
    }
    Ok(())
}

/// Lets nobody else change anything here before the transaction has ended, and gives the number of this change.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn hold(tx: &mut Tx<'_>) -> Result<u64, StoreError> {
    let next = people_head::revision.eq(people_head::revision + 1);
    db!(tx, |c| diesel::update(people_head::table).set(next).execute(c))?;
    tx.touch(Topic::People);
    head(tx)
}

/// The number of the last change.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn head(conn: &mut Conn) -> Result<u64, StoreError> {
    number(db!(conn, |c| people_head::table.select(people_head::revision).first::<i64>(c))?)
}

/// Keeps a person as it is from this change on, whatever stood under its URI.
///
/// # Errors
///
/// [`StoreError::Exists`] when another one has the identifier.
pub fn put(tx: &mut Tx<'_>, person: &StoredPerson, revision: u64) -> Result<(), StoreError> {
    let values = (
        dsl::id.eq(person.id.as_bytes().to_vec()),
        dsl::user_name.eq(person.user_name.as_str()),
        dsl::external_id.eq(person.external_id.as_str()),
        dsl::state.eq(person.state.code()),
        dsl::content.eq(person.content.as_str()),
        dsl::facts.eq(person.facts.as_str()),
        dsl::revision.eq(to_db(revision)?),
        dsl::version.eq(to_db(person.version)?),
        dsl::created_at.eq(time(person.created_at)?),
        dsl::changed_at.eq(time(person.changed_at)?),
        dsl::manager.eq(person.manager.map(|id| id.to_string()).unwrap_or_default()),
        dsl::claims.eq(person.claims.as_str()),
    );
    let row = (dsl::uri.eq(person.uri.as_str()), values.clone());
    db!(tx, |c| {
        diesel::insert_into(table::table).values(row).on_conflict(dsl::uri).do_update().set(values).execute(c)
    })
    .map_err(|error| StoreError::unique(error, StoreError::Exists))?;
    Ok(())
}

/// Keeps what is said of a person under its name, which records of decisions tell.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn keep_facts(tx: &mut Tx<'_>, id: &str, content: &[u8]) -> Result<(), StoreError> {
    let row = (person_facts::id.eq(id), person_facts::content.eq(content));
    db!(tx, |c| diesel::insert_into(person_facts::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(())
}

/// What was said under that name.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn facts(conn: &mut Conn, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let query = person_facts::table.filter(person_facts::id.eq(id)).select(person_facts::content);
    Ok(db!(conn, |c| query.first::<Vec<u8>>(c).optional())?)
}

type Row = (String, Vec<u8>, String, String, i64, String, String, i64, i64, i64, String, String);

type Columns = (
    dsl::uri,
    dsl::id,
    dsl::user_name,
    dsl::external_id,
    dsl::state,
    dsl::content,
    dsl::facts,
    dsl::version,
    dsl::created_at,
    dsl::changed_at,
    dsl::manager,
    dsl::claims,
);

const COLUMNS: Columns = (
    dsl::uri,
    dsl::id,
    dsl::user_name,
    dsl::external_id,
    dsl::state,
    dsl::content,
    dsl::facts,
    dsl::version,
    dsl::created_at,
    dsl::changed_at,
    dsl::manager,
    dsl::claims,
);

fn person(row: Row) -> Result<StoredPerson, StoreError> {
    let (uri, id, user_name, external_id, state, content, facts, version, created_at, changed_at, manager, claims) =
        row;
    Ok(StoredPerson {
        uri: user(&uri)?,
        id: uuid(&id)?,
        user_name,
        external_id,
        state: PersonState::from_code(state)?,
        content,
        facts,
        version: number(version)?,
        created_at: millis(created_at)?,
        changed_at: millis(changed_at)?,
        manager: manager.parse().ok(),
        claims,
    })
}

/// Everybody whom the identity provider has named and who is not gone.
#[diesel::dsl::auto_type(no_type_alias)]
fn present() -> _ {
    let gone: i64 = PersonState::Gone.code();
    let unlisted: i64 = PersonState::Unlisted.code();
    table::table.filter(dsl::state.ne(gone)).filter(dsl::state.ne(unlisted))
}

/// What is kept under a URI, gone or not.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn of_user(conn: &mut Conn, uri: &UserUri) -> Result<Option<StoredPerson>, StoreError> {
    let query = table::table.filter(dsl::uri.eq(uri.as_str())).select(COLUMNS);
    db!(conn, |c| query.first::<Row>(c).optional())?.map(person).transpose()
}

/// The state of the user of this name in small letters; `None` for one that the identity provider has never known.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn state(conn: &mut Conn, folded: &UserUri) -> Result<Option<PersonState>, StoreError> {
    let query = table::table.filter(dsl::uri.eq(folded.as_str())).select(dsl::state);
    db!(conn, |c| query.first::<i64>(c).optional())?.map(PersonState::from_code).transpose()
}

/// Those whose manager has this identifier.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn managed_by(conn: &mut Conn, manager: Uuid) -> Result<Vec<Uuid>, StoreError> {
    let query = present().filter(dsl::manager.eq(manager.to_string())).order(dsl::id).select(dsl::id);
    db!(conn, |c| query.load::<Vec<u8>>(c))?.iter().map(|id| uuid(id)).collect()
}

/// The person with this identifier who is not gone.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn load(conn: &mut Conn, id: Uuid) -> Result<Option<StoredPerson>, StoreError> {
    let query = present().filter(dsl::id.eq(id.as_bytes().to_vec())).select(COLUMNS);
    db!(conn, |c| query.first::<Row>(c).optional())?.map(person).transpose()
}

/// Those of these identifiers who are not gone.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn load_all(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<StoredPerson>, StoreError> {
    let mut found = Vec::with_capacity(ids.len());
    for some in ids.chunks(MOST_NAMES) {
        let some: Vec<Vec<u8>> = some.iter().map(|id| id.as_bytes().to_vec()).collect();
        let query = present().filter(dsl::id.eq_any(some)).select(COLUMNS);
        for row in db!(conn, |c| query.load::<Row>(c))? {
            found.push(person(row)?);
        }
    }
    Ok(found)
}

/// Most names of one statement.
const MOST_NAMES: usize = 500;

/// The person with this `userName` in small letters who is not gone.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn named(conn: &mut Conn, user_name: &str) -> Result<Option<StoredPerson>, StoreError> {
    let query = present().filter(dsl::user_name.eq(user_name)).select(COLUMNS);
    db!(conn, |c| query.first::<Row>(c).optional())?.map(person).transpose()
}

/// Those with this `externalId` who are not gone, at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn with_external_id(conn: &mut Conn, external_id: &str, limit: u32) -> Result<Vec<StoredPerson>, StoreError> {
    let query = present().filter(dsl::external_id.eq(external_id)).order(dsl::id).limit(limit.into()).select(COLUMNS);
    db!(conn, |c| query.load::<Row>(c))?.into_iter().map(person).collect()
}

/// How many there are who are not gone.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn count(conn: &mut Conn) -> Result<u64, StoreError> {
    number(db!(conn, |c| present().count().get_result::<i64>(c))?)
}

/// Everybody who is not gone, in the order of identifiers, behind `after` and `skip` more; at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn all(conn: &mut Conn, after: Option<Uuid>, skip: u64, limit: u32) -> Result<Vec<StoredPerson>, StoreError> {
    let after = after.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
    let query =
        present().filter(dsl::id.gt(after)).order(dsl::id).offset(to_db(skip)?).limit(limit.into()).select(COLUMNS);
    db!(conn, |c| query.load::<Row>(c))?.into_iter().map(person).collect()
}

/// What a change has made of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The number of the change.
    pub revision: u64,
    /// The name in small letters, as it stands there.
    pub uri: String,
    /// How often the person was changed.
    pub version: u64,
    /// What policies know of the person, as JSON.
    pub facts: String,
}

/// Everybody whom a later change than `revision` was about, those who are gone included, behind `after` in the order of changes
/// and URIs. At most `limit`. Nothing of a row is read but what it takes to go on behind it.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn changed(
    conn: &mut Conn,
    revision: u64,
    after: Option<(u64, &str)>,
    limit: u32,
) -> Result<Vec<Changed>, StoreError> {
    let (at, behind) = after.map_or((to_db(revision)?, ""), |(at, uri)| (to_db(at).unwrap_or(i64::MAX), uri));
    // Behind nobody the whole change counts as seen.
    let same = dsl::revision.eq(at).and(dsl::uri.gt(behind));
    let later = dsl::revision.gt(at);
    let columns = (dsl::revision, dsl::uri, dsl::version, dsl::facts);
    let order = (dsl::revision, dsl::uri);
    let rows = match after {
        Some(_) => {
            let query = table::table.filter(later.or(same)).order(order).limit(limit.into()).select(columns);
            db!(conn, |c| query.load::<(i64, String, i64, String)>(c))?
        }
        None => {
            let query = table::table.filter(later).order(order).limit(limit.into()).select(columns);
            db!(conn, |c| query.load::<(i64, String, i64, String)>(c))?
        }
    };
    let read = |(revision, uri, version, facts)| {
        Ok(Changed { revision: number(revision)?, uri, version: number(version)?, facts })
    };
    rows.into_iter().map(read).collect()
}

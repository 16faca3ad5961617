//! Profiles of our users, and who is found by what stands in them.

use diesel::prelude::*;
use portcullis_core::search::{Field, Term, Wanted, folded};
use portcullis_core::time::Millis;
use portcullis_core::wire::identifier_query::FieldSource;
use portcullis_core::wire::uri::UserUri;

use crate::conn::Kind;
use crate::convert::{time, to_db, user};
use crate::effects::Effects;
use crate::schema::{profile_fields, profiles};
use crate::{Conn, StoreError, Tx, devices};

/// One value of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileField {
    /// The field.
    pub field: Field,
    /// Its value.
    pub value: String,
    /// Whether the user wants to be found by it.
    pub searchable: bool,
}

/// What a user has said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Whether the user wants to be found by nobody.
    pub hidden: bool,
    /// In the order in which they were given.
    pub fields: Vec<ProfileField>,
}

struct FieldRow<'a> {
    user_uri: &'a str,
    ordinal: i64,
    source: i64,
    name: &'a str,
    value: &'a str,
    folded: String,
    searchable: i64,
}

row!(FieldRow<'_> => profile_fields (user_uri, ordinal, source, name, value, folded, searchable));

/// Puts a profile in the place of the one before.
///
/// # Errors
///
/// [`StoreError::Missing`] when the user is not registered.
pub fn put(tx: &mut Tx<'_>, of: &UserUri, profile: &Profile, now: Millis) -> Result<(), StoreError> {
    if !devices::user_exists(tx, of)? {
        return Err(StoreError::Missing);
    }
    let values = (profiles::hidden.eq(i32::from(profile.hidden)), profiles::updated_at.eq(time(now)?));
    let row = (profiles::user_uri.eq(of.as_str()), values);
    db!(tx, |c| {
        diesel::insert_into(profiles::table)
            .values(row)
            .on_conflict(profiles::user_uri)
            .do_update()
            .set(values)
            .execute(c)
    })?;
    let old = profile_fields::table.filter(profile_fields::user_uri.eq(of.as_str()));
    db!(tx, |c| diesel::delete(old).execute(c))?;
    let rows = profile.fields.iter().zip(0_u64..).map(|(field, ordinal)| {
        Ok(FieldRow {
            user_uri: of.as_str(),
            ordinal: to_db(ordinal)?,
            source: number(field.field.source).into(),
            name: &field.field.name,
            value: &field.value,
            folded: folded(&field.value),
            searchable: field.searchable.into(),
        })
    });
    let mut fields = Effects::default();
    fields.insert(rows.collect::<Result<Vec<_>, StoreError>>()?);
    Ok(tx.write(fields)?)
}

/// The profile of a user; an empty one when there is none.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn find(conn: &mut Conn, of: &UserUri) -> Result<Profile, StoreError> {
    let hidden = profiles::table.filter(profiles::user_uri.eq(of.as_str())).select(profiles::hidden);
    let Some(hidden) = db!(conn, |c| hidden.first::<i32>(c).optional())? else { return Ok(Profile::default()) };
    read(conn, of.as_str(), hidden)
}

fn read(conn: &mut Conn, of: &str, hidden: i32) -> Result<Profile, StoreError> {
    type Row = (i32, String, String, i32);
    let query = profile_fields::table.filter(profile_fields::user_uri.eq(of)).order(profile_fields::ordinal).select((
        profile_fields::source,
        profile_fields::name,
        profile_fields::value,
        profile_fields::searchable,
    ));
    let rows = db!(conn, |c| query.load::<Row>(c))?;
    let fields = rows.into_iter().map(|(source, name, value, searchable)| {
        Ok(ProfileField { field: Field { source: source_of(source)?, name }, value, searchable: searchable != 0 })
    });
    Ok(Profile { hidden: hidden != 0, fields: fields.collect::<Result<_, StoreError>>()? })
}

/// Users who want to be found by all of `terms`, those who are hidden too, in the order of their names from behind
/// `after` on, at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn search(
    conn: &mut Conn,
    terms: &[Term],
    after: Option<&UserUri>,
    limit: u32,
) -> Result<Vec<(UserUri, Profile)>, StoreError> {
    let after = after.map_or("", UserUri::as_str);
    macro_rules! found {
        ($conn:expr) => {{
            let mut query = profiles::table
                .filter(profiles::user_uri.gt(after))
                .order(profiles::user_uri)
                .limit(limit.into())
                .select((profiles::user_uri, profiles::hidden))
                .into_boxed();
            for Term { fields, wanted } in terms {
                let names = |source| -> Vec<&str> {
                    let of_source = fields.iter().filter(move |field| field.source == source);
                    of_source.map(|field| field.name.as_str()).collect()
                };
                let named = |source: FieldSource| {
                    profile_fields::source.eq(number(source)).and(profile_fields::name.eq_any(names(source)))
                };
                let mut fits = profile_fields::table
                    .filter(profile_fields::searchable.ne(0))
                    .filter(named(FieldSource::OidcStdClaim).or(named(FieldSource::VcardField)))
                    .select(profile_fields::user_uri)
                    .into_boxed();
                fits = match wanted {
                    Wanted::Exactly(values) => fits.filter(profile_fields::value.eq_any(values)),
                    Wanted::Part(part) => fits.filter(profile_fields::folded.like(pattern(part)).escape('!')),
                };
                query = query.filter(profiles::user_uri.eq_any(fits));
            }
            query.load::<(String, i32)>($conn)
        }};
    }
    let found = match &mut conn.kind {
        Kind::Sqlite(conn) => found!(conn),
        Kind::Postgres(conn) => found!(&mut **conn),
    };
    let found = conn.note(found)?;
    found.into_iter().map(|(uri, hidden)| Ok((user(&uri)?, read(conn, &uri, hidden)?))).collect()
}

/// A pattern that is looked for as it stands.
fn pattern(part: &str) -> String {
    let mut pattern = String::from("%");
    for character in part.chars() {
        if ['%', '_', '!'].contains(&character) {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

fn number(source: FieldSource) -> i32 {
    i32::from(source as u8)
}

fn source_of(number: i32) -> Result<FieldSource, StoreError> {
    match number {
        7 => Ok(FieldSource::OidcStdClaim),
        8 => Ok(FieldSource::VcardField),
        _ => Err(StoreError::Corrupt("profile field")),
    }
}

//! What users have asked of and granted to each other (reading D-47): one row for each requester, target and scope, whether
//! both are ours or one of them is.

mod letters;

pub use letters::{
    Letter, Waiting, delivered, drop_parked, expire, lease, next_due, owe, park, postpone, retry, waiting,
};
pub(crate) use letters::{count_letters, resume};

use diesel::dsl::count_star;
use diesel::prelude::*;
use portcullis_core::consent::{Decided, Verdict};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{RoomUri, UserUri};

use crate::convert::{millis, number, room as to_room, time, to_db, user};
use crate::schema::consents;
use crate::{Conn, StoreError, Tx};

const UNDECIDED: i32 = 0;
const GRANTED: i32 = 1;
const REVOKED: i32 = 2;

/// Whose consent it is, to whom, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Who wants to reach the target.
    pub requester: UserUri,
    /// Whose consent it is.
    pub target: UserUri,
    /// The room it is for; `None` for every room.
    pub room: Option<RoomUri>,
}

impl Scope {
    fn room(&self) -> &str {
        self.room.as_ref().map_or("", RoomUri::as_str)
    }
}

/// Whether the other side gets to see a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// It does.
    Shown,
    /// It does not: there is no such user, or policy keeps the step from it.
    Hidden,
}

/// What stands in one scope, as one of the two sides knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Its number; larger ones came later.
    pub id: u64,
    /// The scope.
    pub scope: Scope,
    /// Since when a request stands.
    pub requested_at: Option<Millis>,
    /// What the target has decided last, or what the requester was told last, and when.
    pub decided: Option<(Verdict, Millis)>,
}

#[diesel::dsl::auto_type(no_type_alias)]
fn row<'a>(scope: &'a Scope) -> _ {
    let (requester, target, room): (&'a str, &'a str, &'a str) =
        (scope.requester.as_str(), scope.target.as_str(), scope.room());
    consents::table
        .filter(consents::requester.eq(requester))
        .filter(consents::target.eq(target))
        .filter(consents::room.eq(room))
}

/// Makes sure that there is a row for the scope.
fn ensure(tx: &mut Tx<'_>, scope: &Scope) -> Result<(), StoreError> {
    let new = (
        consents::requester.eq(scope.requester.as_str()),
        consents::target.eq(scope.target.as_str()),
        consents::room.eq(scope.room()),
        consents::told.eq(UNDECIDED),
        consents::told_at.eq(0_i64),
        consents::verdict.eq(UNDECIDED),
        consents::decided_at.eq(0_i64),
    );
    db!(tx, |c| diesel::insert_into(consents::table).values(new).on_conflict_do_nothing().execute(c))?;
    Ok(())
}

/// Lets a request stand. Tells whether it did not before and the target is to see it.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn request(tx: &mut Tx<'_>, scope: &Scope, visibility: Visibility, now: Millis) -> Result<bool, StoreError> {
    ensure(tx, scope)?;
    let new = row(scope).filter(consents::requested_at.is_null());
    let shown = visibility == Visibility::Shown;
    let asked_at = if shown { Some(time(now)?) } else { None };
    let changes = (consents::requested_at.eq(time(now)?), consents::asked_at.eq(asked_at));
    Ok(db!(tx, |c| diesel::update(new).set(changes).execute(c))? == 1 && shown)
}

/// Takes back the request of exactly this scope. Tells whether the target saw one.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn cancel(tx: &mut Tx<'_>, scope: &Scope) -> Result<bool, StoreError> {
    let seen = row(scope).filter(consents::asked_at.is_not_null()).select(consents::id);
    let seen = db!(tx, |c| seen.first::<i64>(c).optional())?.is_some();
    let gone = (consents::requested_at.eq(None::<i64>), consents::asked_at.eq(None::<i64>));
    db!(tx, |c| diesel::update(row(scope)).set(gone).execute(c))?;
    let nothing = row(scope).filter(consents::verdict.eq(UNDECIDED)).filter(consents::told.eq(UNDECIDED));
    db!(tx, |c| diesel::delete(nothing).execute(c))?;
    Ok(seen)
}

/// Writes down what the target has decided: it stands above what was decided in the same scope before, and answers the
/// requests in it. A revocation for every room takes older grants for single rooms with it (reading D-47). The requester
/// is told, where it may be, of a grant, and of its end: to one who was never granted anything the request stands as
/// before. Tells whether a grant stood in the scope.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn decide(
    tx: &mut Tx<'_>,
    scope: &Scope,
    verdict: Verdict,
    visibility: Visibility,
    now: Millis,
) -> Result<bool, StoreError> {
    ensure(tx, scope)?;
    let number = match verdict {
        Verdict::Granted => GRANTED,
        Verdict::Revoked => REVOKED,
    };
    let before = row(scope).select(consents::verdict);
    let mut stood = db!(tx, |c| before.first::<i32>(c))? == GRANTED;
    if scope.room.is_none() && verdict == Verdict::Revoked {
        let granted = of_rooms(scope).filter(consents::verdict.eq(GRANTED));
        stood |= db!(tx, |c| diesel::delete(granted).execute(c))? > 0;
    }
    let told = visibility == Visibility::Shown && (verdict == Verdict::Granted || stood);
    let decided =
        (consents::asked_at.eq(None::<i64>), consents::verdict.eq(number), consents::decided_at.eq(time(now)?));
    db!(tx, |c| diesel::update(row(scope)).set(decided).execute(c))?;
    let answered = consents::asked_at.eq(None::<i64>);
    if scope.room.is_none() {
        db!(tx, |c| diesel::update(of_rooms(scope)).set(answered).execute(c))?;
    }
    if told {
        let heard = consents::requested_at.eq(None::<i64>);
        let of_scope = (heard, consents::told.eq(number), consents::told_at.eq(time(now)?));
        db!(tx, |c| diesel::update(row(scope)).set(of_scope).execute(c))?;
        if scope.room.is_none() {
            db!(tx, |c| diesel::update(of_rooms(scope)).set(heard).execute(c))?;
            let nothing = of_rooms(scope).filter(consents::verdict.eq(UNDECIDED)).filter(consents::told.eq(UNDECIDED));
            db!(tx, |c| diesel::delete(nothing).execute(c))?;
        }
    }
    Ok(stood)
}

/// What stands between the two of a scope for single rooms.
#[diesel::dsl::auto_type(no_type_alias)]
fn of_rooms<'a>(scope: &'a Scope) -> _ {
    let (requester, target): (&'a str, &'a str) = (scope.requester.as_str(), scope.target.as_str());
    consents::table
        .filter(consents::requester.eq(requester))
        .filter(consents::target.eq(target))
        .filter(consents::room.ne(""))
}

/// All that a target has decided about a requester, in the order of rooms.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn decided(conn: &mut Conn, requester: &UserUri, target: &UserUri) -> Result<Vec<Decided>, StoreError> {
    let query = consents::table
        .filter(consents::requester.eq(requester.as_str()))
        .filter(consents::target.eq(target.as_str()))
        .filter(consents::verdict.ne(UNDECIDED))
        .order(consents::room)
        .select((consents::room, consents::verdict));
    let rows = db!(conn, |c| query.load::<(String, i32)>(c))?;
    rows.into_iter()
        .map(|(room, number)| {
            let verdict = verdict(number)?.ok_or(StoreError::Corrupt("consent"))?;
            Ok(Decided { room: scope_room(&room)?, verdict })
        })
        .collect()
}

/// How many requests stand that a target gets to see.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn requests(conn: &mut Conn, target: &UserUri) -> Result<u64, StoreError> {
    let query = consents::table
        .filter(consents::target.eq(target.as_str()))
        .filter(consents::asked_at.is_not_null())
        .select(count_star());
    number(db!(conn, |c| query.first::<i64>(c))?)
}

/// What a user knows to stand between itself and others, either way, after number `after`, at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn page(conn: &mut Conn, of: &UserUri, after: u64, limit: u32) -> Result<Vec<Consent>, StoreError> {
    type Row = (i64, String, String, String, (Option<i64>, i32, i64), (Option<i64>, i32, i64));
    let asks = consents::requested_at.is_not_null().or(consents::told.ne(UNDECIDED));
    let is_asked = consents::asked_at.is_not_null().or(consents::verdict.ne(UNDECIDED));
    let as_requester = consents::requester.eq(of.as_str()).and(asks);
    let as_target = consents::target.eq(of.as_str()).and(is_asked);
    let query = consents::table
        .filter(as_requester.or(as_target))
        .filter(consents::id.gt(to_db(after)?))
        .order(consents::id)
        .limit(limit.into())
        .select((
            consents::id,
            consents::requester,
            consents::target,
            consents::room,
            (consents::requested_at, consents::told, consents::told_at),
            (consents::asked_at, consents::verdict, consents::decided_at),
        ));
    let rows = db!(conn, |c| query.load::<Row>(c))?;
    rows.into_iter()
        .map(|(id, requester, target, room, to_requester, to_target)| {
            let scope = Scope { requester: user(&requester)?, target: user(&target)?, room: scope_room(&room)? };
            let known = if scope.requester == *of { to_requester } else { to_target };
            let (requested_at, number_of, at) = known;
            let decided = match verdict(number_of)? {
                Some(verdict) => Some((verdict, millis(at)?)),
                None => None,
            };
            Ok(Consent { id: number(id)?, requested_at: requested_at.map(millis).transpose()?, decided, scope })
        })
        .collect()
}

fn scope_room(stored: &str) -> Result<Option<RoomUri>, StoreError> {
    if stored.is_empty() { Ok(None) } else { to_room(stored).map(Some) }
}

fn verdict(number: i32) -> Result<Option<Verdict>, StoreError> {
    match number {
        UNDECIDED => Ok(None),
        GRANTED => Ok(Some(Verdict::Granted)),
        REVOKED => Ok(Some(Verdict::Revoked)),
        _ => Err(StoreError::Corrupt("consent")),
    }
}

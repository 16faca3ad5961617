//! What other providers are to be told: one lane for each, its letters in their order, one under way at a time. A letter
//! that is refused for good is parked and stays for people to see; those behind it are about others, and go on.

use std::time::Duration;

use diesel::dsl::min;
use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::consent::ConsentEntry;
use portcullis_core::wire::uri::Domain;

use crate::convert::{domain, millis, number, time, to_db};
use crate::schema::{consent_lanes, consent_letters};
use crate::standings::blocked;
use crate::{Conn, StoreError, Topic, Tx};

/// Lanes that are looked at before a lease gives up for now: others may be taking the same ones.
const CANDIDATES: i64 = 16;

/// The next letter of a lane, held by one sender. However often it is tried, it stays the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Who is to be told.
    pub peer: Domain,
    /// Its place in the lane.
    pub position: u64,
    /// Names the request, the same on every attempt.
    pub idempotency_key: String,
    /// What is told.
    pub entry: ConsentEntry,
    /// How often it was tried before.
    pub attempts: u64,
    /// When it was tried first; this time when not before.
    pub first_tried: Millis,
    lease: u64,
}

/// A letter as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Who is to be told.
    pub peer: Domain,
    /// Its place in the lane.
    pub position: u64,
    /// What is told.
    pub entry: ConsentEntry,
    /// Since when.
    pub owed_at: Millis,
    /// When it was refused for good; `None` for one that is still tried.
    pub parked_at: Option<Millis>,
    /// HTTP status of that refusal; 0 for none.
    pub http_status: u16,
    /// What went wrong last; empty for nothing.
    pub error: String,
}

/// Owes a provider a letter, after all that it is owed already.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn owe(
    tx: &mut Tx<'_>,
    peer: &Domain,
    idempotency_key: &str,
    entry: &ConsentEntry,
    now: Millis,
) -> Result<(), StoreError> {
    overtake(tx, peer, entry)?;
    let lane = (
        consent_lanes::peer.eq(peer.as_str()),
        consent_lanes::tail.eq(0_i64),
        consent_lanes::owed.eq(0_i64),
        consent_lanes::attempts.eq(0_i64),
        consent_lanes::first_tried.eq(0_i64),
        consent_lanes::next_at.eq(0_i64),
        consent_lanes::lease.eq(0_i64),
        consent_lanes::lease_owner.eq(""),
        consent_lanes::lease_until.eq(0_i64),
    );
    db!(tx, |c| diesel::insert_into(consent_lanes::table).values(lane).on_conflict_do_nothing().execute(c))?;
    let own = consent_lanes::table.filter(consent_lanes::peer.eq(peer.as_str()));
    let longer = (consent_lanes::tail.eq(consent_lanes::tail + 1), consent_lanes::owed.eq(consent_lanes::owed + 1));
    db!(tx, |c| diesel::update(own).set(longer).execute(c))?;
    let position = db!(tx, |c| own.select(consent_lanes::tail).first::<i64>(c))?;
    let letter = (
        consent_letters::peer.eq(peer.as_str()),
        consent_letters::position.eq(position),
        consent_letters::idempotency_key.eq(idempotency_key),
        consent_letters::requester.eq(entry.requester.as_str()),
        consent_letters::target.eq(entry.target.as_str()),
        consent_letters::entry.eq(entry.encode()),
        consent_letters::owed_at.eq(time(now)?),
        consent_letters::http_status.eq(0_i32),
        consent_letters::error.eq(""),
    );
    db!(tx, |c| diesel::insert_into(consent_letters::table).values(letter).execute(c))?;
    tx.touch(Topic::Letters);
    Ok(())
}

/// Gives up parked letters that `entry` makes worthless, so that none of them is ever told after it.
fn overtake(tx: &mut Tx<'_>, peer: &Domain, entry: &ConsentEntry) -> Result<(), StoreError> {
    let parked = consent_letters::table
        .filter(consent_letters::peer.eq(peer.as_str()))
        .filter(consent_letters::requester.eq(entry.requester.as_str()))
        .filter(consent_letters::target.eq(entry.target.as_str()))
        .filter(consent_letters::parked_at.is_not_null())
        .select((consent_letters::position, consent_letters::entry));
    for (position, older) in db!(tx, |c| parked.load::<(i64, Vec<u8>)>(c))? {
        let Ok(older) = read_entry(&older) else { continue };
        let same_side = older.operation.is_requester_s() == entry.operation.is_requester_s();
        if same_side && (entry.room.is_none() || entry.room == older.room) {
            let old = consent_letters::table
                .filter(consent_letters::peer.eq(peer.as_str()))
                .filter(consent_letters::position.eq(position));
            db!(tx, |c| diesel::delete(old).execute(c))?;
        }
    }
    Ok(())
}

/// Takes a lane that is due, for `ttl`, and gives its first letter; `None` when none is due. While it is held, nobody
/// else gets this lane. Lanes to blocked providers are never due. A letter that cannot be read is parked.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn lease(tx: &mut Tx<'_>, now: Millis, owner: &str, ttl: Duration) -> Result<Option<Letter>, StoreError> {
    let due = consent_lanes::table
        .filter(consent_lanes::owed.gt(0))
        .filter(consent_lanes::next_at.le(time(now)?))
        .filter(consent_lanes::lease_until.le(time(now)?))
        .filter(consent_lanes::peer.ne_all(blocked()))
        .order(consent_lanes::next_at)
        .limit(CANDIDATES)
        .select((consent_lanes::peer, consent_lanes::lease));
    for (peer, last) in db!(tx, |c| due.load::<(String, i64)>(c))? {
        let free = consent_lanes::table
            .filter(consent_lanes::peer.eq(&peer))
            .filter(consent_lanes::lease.eq(last))
            .filter(consent_lanes::owed.gt(0));
        let held = (
            consent_lanes::lease.eq(last + 1),
            consent_lanes::lease_owner.eq(owner),
            consent_lanes::lease_until.eq(time(now.plus(ttl))?),
        );
        if db!(tx, |c| diesel::update(free).set(held).execute(c))? == 1 {
            match first(tx, &peer, number(last + 1)?, now) {
                Err(StoreError::Corrupt(what)) => set_aside(tx, &peer, what, now)?,
                taken => return taken.map(Some),
            }
        }
    }
    Ok(None)
}

/// The letters of a lane that are not parked, in their order.
#[diesel::dsl::auto_type(no_type_alias)]
fn open<'a>(peer: &'a str) -> _ {
    consent_letters::table
        .filter(consent_letters::peer.eq(peer))
        .filter(consent_letters::parked_at.is_null())
        .order(consent_letters::position)
}

fn first(tx: &mut Tx<'_>, peer: &str, lease: u64, now: Millis) -> Result<Letter, StoreError> {
    type Row = (i64, String, Vec<u8>);
    let query =
        open(peer).select((consent_letters::position, consent_letters::idempotency_key, consent_letters::entry));
    let (position, idempotency_key, entry) = db!(tx, |c| query.first::<Row>(c))?;
    let lane = consent_lanes::table.filter(consent_lanes::peer.eq(peer));
    let tried = lane.select((consent_lanes::attempts, consent_lanes::first_tried));
    let (attempts, first_tried) = db!(tx, |c| tried.first::<(i64, i64)>(c))?;
    if attempts == 0 {
        db!(tx, |c| diesel::update(lane).set(consent_lanes::first_tried.eq(time(now)?)).execute(c))?;
    }
    Ok(Letter {
        peer: domain(peer)?,
        position: number(position)?,
        idempotency_key,
        entry: read_entry(&entry)?,
        attempts: number(attempts)?,
        first_tried: if attempts == 0 { now } else { millis(first_tried)? },
        lease,
    })
}

/// When a lane is due next, as far as is known; `None` when nothing is owed to anybody. For sleeping until then.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn next_due(conn: &mut Conn) -> Result<Option<Millis>, StoreError> {
    let owing = || consent_lanes::table.filter(consent_lanes::owed.gt(0)).filter(consent_lanes::peer.ne_all(blocked()));
    let tried = owing().filter(consent_lanes::next_at.ge(consent_lanes::lease_until));
    let held = owing().filter(consent_lanes::next_at.lt(consent_lanes::lease_until));
    let tried = db!(conn, |c| tried.select(min(consent_lanes::next_at)).first::<Option<i64>>(c))?;
    let held = db!(conn, |c| held.select(min(consent_lanes::lease_until)).first::<Option<i64>>(c))?;
    tried.into_iter().chain(held).min().map(millis).transpose()
}

/// The provider has taken the letter: it goes, and the lane is free for the next one.
///
/// # Errors
///
/// [`StoreError::LeaseLost`] when the lease ran out and somebody else took the lane; the letter is sent again then, under
/// the same key.
pub fn delivered(tx: &mut Tx<'_>, letter: &Letter) -> Result<(), StoreError> {
    pass(tx, letter)?;
    let own = consent_letters::table
        .filter(consent_letters::peer.eq(letter.peer.as_str()))
        .filter(consent_letters::position.eq(to_db(letter.position)?));
    db!(tx, |c| diesel::delete(own).execute(c))?;
    Ok(())
}

/// The provider refuses the letter for good, or was away too long.
///
/// # Errors
///
/// [`StoreError::LeaseLost`].
pub fn park(tx: &mut Tx<'_>, letter: &Letter, http_status: u16, error: &str, now: Millis) -> Result<(), StoreError> {
    pass(tx, letter)?;
    let own = consent_letters::table
        .filter(consent_letters::peer.eq(letter.peer.as_str()))
        .filter(consent_letters::position.eq(to_db(letter.position)?));
    let changes = (
        consent_letters::parked_at.eq(time(now)?),
        consent_letters::http_status.eq(i32::from(http_status)),
        consent_letters::error.eq(error),
    );
    db!(tx, |c| diesel::update(own).set(changes).execute(c))?;
    Ok(())
}

/// The lane goes on with the letter behind this one.
fn pass(tx: &mut Tx<'_>, letter: &Letter) -> Result<(), StoreError> {
    let changes = (
        consent_lanes::owed.eq(consent_lanes::owed - 1),
        consent_lanes::attempts.eq(0_i64),
        consent_lanes::first_tried.eq(0_i64),
        consent_lanes::next_at.eq(0_i64),
        consent_lanes::lease_until.eq(0_i64),
    );
    let held = consent_lanes::table
        .filter(consent_lanes::peer.eq(letter.peer.as_str()))
        .filter(consent_lanes::lease.eq(to_db(letter.lease)?));
    if db!(tx, |c| diesel::update(held).set(changes).execute(c))? == 0 {
        return Err(StoreError::LeaseLost);
    }
    tx.touch(Topic::Letters);
    Ok(())
}

/// The letter did not get through for now: it is due again at `next_at`.
///
/// # Errors
///
/// [`StoreError::LeaseLost`].
pub fn postpone(tx: &mut Tx<'_>, letter: &Letter, next_at: Millis, error: &str) -> Result<(), StoreError> {
    let changes = (
        consent_lanes::attempts.eq(consent_lanes::attempts + 1),
        consent_lanes::next_at.eq(time(next_at)?),
        consent_lanes::lease_until.eq(0_i64),
    );
    let held = consent_lanes::table
        .filter(consent_lanes::peer.eq(letter.peer.as_str()))
        .filter(consent_lanes::lease.eq(to_db(letter.lease)?));
    if db!(tx, |c| diesel::update(held).set(changes).execute(c))? == 0 {
        return Err(StoreError::LeaseLost);
    }
    let own = consent_letters::table
        .filter(consent_letters::peer.eq(letter.peer.as_str()))
        .filter(consent_letters::position.eq(to_db(letter.position)?));
    db!(tx, |c| diesel::update(own).set(consent_letters::error.eq(error)).execute(c))?;
    tx.touch(Topic::Letters);
    Ok(())
}

/// Parks the first letter of a lane that cannot be read, so that it holds up no other.
fn set_aside(tx: &mut Tx<'_>, peer: &str, what: &'static str, now: Millis) -> Result<(), StoreError> {
    tracing::error!(peer, what, "a consent owed to `{peer}` cannot be read and is parked");
    let position = db!(tx, |c| open(peer).select(consent_letters::position).first::<i64>(c))?;
    let own =
        consent_letters::table.filter(consent_letters::peer.eq(peer)).filter(consent_letters::position.eq(position));
    let changes =
        (consent_letters::parked_at.eq(time(now)?), consent_letters::error.eq(StoreError::Corrupt(what).to_string()));
    db!(tx, |c| diesel::update(own).set(changes).execute(c))?;
    let lane = consent_lanes::table.filter(consent_lanes::peer.eq(peer));
    let next = (consent_lanes::owed.eq(consent_lanes::owed - 1), consent_lanes::lease_until.eq(0_i64));
    db!(tx, |c| diesel::update(lane).set(next).execute(c))?;
    tx.touch(Topic::Letters);
    Ok(())
}

/// Lets what a provider is owed be due at once, as if it was never tried. What is parked stays so.
pub(crate) fn resume(tx: &mut Tx<'_>, peer: &Domain, now: Millis) -> Result<(), StoreError> {
    let own = consent_lanes::table.filter(consent_lanes::peer.eq(peer.as_str()));
    let changes = (consent_lanes::attempts.eq(0_i64), consent_lanes::next_at.eq(time(now)?));
    db!(tx, |c| diesel::update(own).set(changes).execute(c))?;
    tx.touch(Topic::Letters);
    Ok(())
}

/// Owes a provider its parked letters once more, and lets all be due at once. Gives the number of those.
///
/// # Errors
///
/// [`StoreError::Missing`] when it was never owed a letter.
pub fn retry(tx: &mut Tx<'_>, peer: &Domain, now: Millis) -> Result<u64, StoreError> {
    let parked = consent_letters::table
        .filter(consent_letters::peer.eq(peer.as_str()))
        .filter(consent_letters::parked_at.is_not_null());
    let changes = (consent_letters::parked_at.eq(None::<i64>), consent_letters::http_status.eq(0_i32));
    let again = db!(tx, |c| diesel::update(parked).set(changes).execute(c))? as u64;
    let lane = consent_lanes::table.filter(consent_lanes::peer.eq(peer.as_str()));
    let changes = (
        consent_lanes::owed.eq(consent_lanes::owed + to_db(again)?),
        consent_lanes::attempts.eq(0_i64),
        consent_lanes::next_at.eq(time(now)?),
    );
    if db!(tx, |c| diesel::update(lane).set(changes).execute(c))? == 0 {
        return Err(StoreError::Missing);
    }
    tx.touch(Topic::Letters);
    Ok(again)
}

/// Gives up the parked letters to a provider. Gives their number.
///
/// # Errors
///
/// [`StoreError::Missing`] when there are none.
pub fn drop_parked(tx: &mut Tx<'_>, peer: &Domain) -> Result<u64, StoreError> {
    let parked = consent_letters::table
        .filter(consent_letters::peer.eq(peer.as_str()))
        .filter(consent_letters::parked_at.is_not_null());
    match db!(tx, |c| diesel::delete(parked).execute(c))? {
        0 => Err(StoreError::Missing),
        count => Ok(count as u64),
    }
}

/// Letters that are not delivered, in the order of providers and lanes, from behind `after` on, at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn waiting(conn: &mut Conn, after: Option<(&Domain, u64)>, limit: u32) -> Result<Vec<Waiting>, StoreError> {
    type Row = (String, i64, Vec<u8>, i64, Option<i64>, i32, String);
    let (peer, position) = match after {
        Some((peer, position)) => (peer.as_str(), to_db(position)?),
        None => ("", 0),
    };
    let behind =
        consent_letters::peer.gt(peer).or(consent_letters::peer.eq(peer).and(consent_letters::position.gt(position)));
    let query = consent_letters::table
        .filter(behind)
        .order((consent_letters::peer, consent_letters::position))
        .limit(limit.into())
        .select((
            consent_letters::peer,
            consent_letters::position,
            consent_letters::entry,
            consent_letters::owed_at,
            consent_letters::parked_at,
            consent_letters::http_status,
            consent_letters::error,
        ));
    let rows = db!(conn, |c| query.load::<Row>(c))?;
    rows.into_iter()
        .map(|(peer, position, entry, owed_at, parked_at, http_status, error)| {
            Ok(Waiting {
                peer: domain(&peer)?,
                position: number(position)?,
                entry: read_entry(&entry)?,
                owed_at: millis(owed_at)?,
                parked_at: parked_at.map(millis).transpose()?,
                http_status: u16::try_from(http_status).map_err(|_| StoreError::Corrupt("status"))?,
                error,
            })
        })
        .collect()
}

/// How many letters are not delivered, and how many of them are parked.
pub(crate) fn count_letters(conn: &mut Conn) -> Result<(u64, u64), StoreError> {
    let all = consent_letters::table.count();
    let parked = consent_letters::table.filter(consent_letters::parked_at.is_not_null()).count();
    Ok((number(db!(conn, |c| all.get_result::<i64>(c))?)?, number(db!(conn, |c| parked.get_result::<i64>(c))?)?))
}

/// Forgets letters that were parked before `before`, at most `limit`. Gives their number.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn expire(tx: &mut Tx<'_>, before: Millis, limit: u32) -> Result<usize, StoreError> {
    type Key = (String, i64);
    let over = consent_letters::table
        .filter(consent_letters::parked_at.le(time(before)?))
        .limit(limit.into())
        .select((consent_letters::peer, consent_letters::position));
    let over = db!(tx, |c| over.load::<Key>(c))?;
    for (peer, position) in &over {
        let old = consent_letters::table
            .filter(consent_letters::peer.eq(peer))
            .filter(consent_letters::position.eq(position));
        db!(tx, |c| diesel::delete(old).execute(c))?;
    }
    Ok(over.len())
}

fn read_entry(stored: &[u8]) -> Result<ConsentEntry, StoreError> {
    ConsentEntry::decode(stored).map_err(|_| StoreError::Corrupt("consent"))
}

//! What users complain about, and what moderators make of it.

use std::collections::{BTreeMap, BTreeSet};

use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use portcullis_core::franking::{Flaw, Proof};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{RoomUri, UserUri};
use uuid::Uuid;

use crate::convert::{digest, millis, number, room, time, to_db, user, uuid};
use crate::schema::{report_messages, reports};
use crate::{Conn, StoreError, Tx};

/// How far moderators have come with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportState {
    /// Nobody has looked at it.
    New,
    /// Somebody is looking at it.
    InReview,
    /// It is right.
    Upheld,
    /// It is not, or shows nothing.
    Dismissed,
}

impl ReportState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::New, Self::InReview, Self::Upheld, Self::Dismissed];

    pub(crate) fn code(self) -> i32 {
        match self {
            Self::New => 0,
            Self::InReview => 1,
            Self::Upheld => 2,
            Self::Dismissed => 3,
        }
    }

    fn from_code(code: i32) -> Result<Self, StoreError> {
        Self::ALL.into_iter().find(|state| state.code() == code).ok_or(StoreError::Corrupt("state of a report"))
    }

    /// Whether a report in this state may come into `next`: it is reviewed before it is decided, and what is decided may
    /// be reviewed again.
    pub fn may_become(self, next: Self) -> bool {
        match next {
            Self::New => false,
            Self::InReview => self != Self::InReview,
            Self::Upheld | Self::Dismissed => self == Self::InReview,
        }
    }
}

/// What was found out about a reported message: what it proves, or which check it fails.
pub type Verdict = Result<Proof, Flaw>;

/// A report that comes in.
#[derive(Clone, Debug)]
pub struct NewReport {
    /// A name of our own.
    pub id: Uuid,
    /// The room it is about.
    pub room: RoomUri,
    /// Who complains; a provider for one of its users who does not want to be named.
    pub reporter: UserUri,
    /// Whom it is about.
    pub alleged: UserUri,
    /// Why, as a number that nobody has given a meaning yet.
    pub reason: u8,
    /// When it came.
    pub received_at: Millis,
    /// The reporter's own words, sealed.
    pub note: Vec<u8>,
    /// The decision that let it in.
    pub decision: Uuid,
    /// The messages.
    pub messages: Vec<NewMessage>,
}

/// A message of a report that comes in.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its position in the report, from 0 on.
    pub position: u64,
    /// SHA-256 of the message with its frank and time.
    pub digest: [u8; 32],
    /// When the hub is said to have accepted it.
    pub accepted_at: Millis,
    /// What was found out about it.
    pub verdict: Verdict,
    /// The message with its frank and time, sealed.
    pub content: Vec<u8>,
}

/// What became of a report that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filed {
    /// Whether it waits for a moderator: it has something that the same reporter has not reported before.
    pub queued: bool,
    /// How many of its messages the same reporter has reported before.
    pub repeated: usize,
}

/// A report as moderators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its name.
    pub id: Uuid,
    /// The room it is about.
    pub room: RoomUri,
    /// Who complains; a provider for one of its users who does not want to be named.
    pub reporter: UserUri,
    /// Whom it is about.
    pub alleged: UserUri,
    /// Why, as a number.
    pub reason: u8,
    /// When it came.
    pub received_at: Millis,
    /// How many messages it has.
    pub messages: u64,
    /// How many of them are proven.
    pub proven: u64,
    /// How often something of it was reported once more by the same reporter.
    pub repeats: u64,
    /// The reporter's own words, sealed.
    pub note: Vec<u8>,
    /// The decision that let it in.
    pub decision: Uuid,
    /// How far moderators have come.
    pub state: ReportState,
    /// Grows with every change of the state; 1 at first.
    pub version: u64,
    /// The last word of a moderator; `None` before the first.
    pub handled: Option<Handled>,
}

/// What a moderator has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    /// Number of the case; empty for none.
    pub case: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: Millis,
    /// Why, in the person's own words.
    pub why: String,
}

/// A reported message as moderators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedMessage {
    /// Its position in the report, from 0 on.
    pub position: u64,
    /// SHA-256 of the message with its frank and time.
    pub digest: [u8; 32],
    /// When the hub is said to have accepted it; `None` for a time that cannot be.
    pub accepted_at: Option<Millis>,
    /// What was found out about it.
    pub verdict: Verdict,
    /// The message with its frank and time, sealed.
    pub content: Vec<u8>,
}

/// Which reports, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Those behind this place.
    pub after: Option<(Millis, Uuid)>,
    /// Those in this state.
    pub state: Option<ReportState>,
    /// Those about this room.
    pub room: Option<RoomUri>,
    /// Those about this user.
    pub alleged: Option<UserUri>,
}

/// Takes a report in. What the same reporter has reported before is counted, and not queued once more.
///
/// # Errors
///
/// [`StoreError::Exists`] when the same reporter reports one of the messages at the same time: the report must be taken
/// in once more.
pub fn file(tx: &mut Tx<'_>, report: &NewReport) -> Result<Filed, StoreError> {
    let mut wanted = BTreeMap::new();
    for message in &report.messages {
        wanted.entry(message.digest).or_insert(message);
    }
    let digests: Vec<&[u8]> = wanted.keys().map(<[u8; 32]>::as_slice).collect();
    let before = report_messages::table
        .filter(report_messages::reporter.eq(report.reporter.as_str()))
        .filter(report_messages::digest.eq_any(digests))
        .select((report_messages::report, report_messages::digest));
    let before = db!(tx, |c| before.load::<(Vec<u8>, Vec<u8>)>(c))?;
    for (_, known) in &before {
        wanted.remove(&digest(known)?);
    }
    let again: BTreeSet<Vec<u8>> = before.into_iter().map(|(report, _)| report).collect();
    let repeated = report.messages.len() - wanted.len();
    let known = reports::table.filter(reports::id.eq_any(again));
    db!(tx, |c| diesel::update(known).set(reports::repeats.eq(reports::repeats + 1_i64)).execute(c))?;
    if wanted.is_empty() && repeated > 0 {
        return Ok(Filed { queued: false, repeated });
    }
    let fresh: Vec<&NewMessage> = wanted.into_values().collect();
    insert(tx, report, &fresh)?;
    for message in fresh {
        insert_message(tx, report, message)?;
    }
    Ok(Filed { queued: true, repeated })
}

fn insert(tx: &mut Tx<'_>, report: &NewReport, messages: &[&NewMessage]) -> Result<(), StoreError> {
    let proven = messages.iter().filter(|message| message.verdict.is_ok()).count();
    let row = (
        (
            reports::id.eq(report.id.as_bytes().to_vec()),
            reports::room.eq(report.room.as_str()),
            reports::reporter.eq(report.reporter.as_str()),
            reports::alleged.eq(report.alleged.as_str()),
            reports::reason.eq(i32::from(report.reason)),
            reports::received_at.eq(time(report.received_at)?),
            reports::messages.eq(to_db(messages.len() as u64)?),
            reports::proven.eq(to_db(proven as u64)?),
            reports::repeats.eq(0_i64),
        ),
        (
            reports::note.eq(report.note.as_slice()),
            reports::decision.eq(report.decision.as_bytes().to_vec()),
            reports::state.eq(ReportState::New.code()),
            reports::version.eq(1_i64),
            reports::case_number.eq(""),
            reports::decided_by.eq(""),
            reports::decided_at.eq(0_i64),
            reports::decided_why.eq(""),
        ),
    );
    db!(tx, |c| diesel::insert_into(reports::table).values(row).execute(c))?;
    Ok(())
}

fn insert_message(tx: &mut Tx<'_>, report: &NewReport, message: &NewMessage) -> Result<(), StoreError> {
    let proof = message.verdict.ok().map(|proof| proof.message.to_vec());
    let row = (
        report_messages::report.eq(report.id.as_bytes().to_vec()),
        report_messages::position.eq(to_db(message.position)?),
        report_messages::reporter.eq(report.reporter.as_str()),
        report_messages::digest.eq(message.digest.as_slice()),
        // Whoever reports may name any time.
        report_messages::accepted_at.eq(time(message.accepted_at).ok()),
        report_messages::message_id.eq(proof),
        report_messages::flaw.eq(message.verdict.err().map(Flaw::code)),
        report_messages::content.eq(message.content.as_slice()),
    );
    db!(tx, |c| diesel::insert_into(report_messages::table).values(row).execute(c))
        .map_err(|error| StoreError::unique(error, StoreError::Exists))?;
    Ok(())
}

/// How many messages of this reporter, since a time, were not proven.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn unproven_since(conn: &mut Conn, reporter: &UserUri, since: Millis) -> Result<u64, StoreError> {
    let query = reports::table
        .filter(reports::reporter.eq(reporter.as_str()))
        .filter(reports::received_at.ge(time(since)?))
        .select(diesel::dsl::sql::<BigInt>("CAST(coalesce(sum(messages - proven), 0) AS BIGINT)"));
    number(db!(conn, |c| query.first::<i64>(c))?)
}

type Filing = (Vec<u8>, String, String, String, i32, i64, i64, i64, i64);
type Handling = (Vec<u8>, Vec<u8>, i32, i64, String, String, i64, String);

const FILING: (
    reports::id,
    reports::room,
    reports::reporter,
    reports::alleged,
    reports::reason,
    reports::received_at,
    reports::messages,
    reports::proven,
    reports::repeats,
) = (
    reports::id,
    reports::room,
    reports::reporter,
    reports::alleged,
    reports::reason,
    reports::received_at,
    reports::messages,
    reports::proven,
    reports::repeats,
);

const HANDLING: (
    reports::note,
    reports::decision,
    reports::state,
    reports::version,
    reports::case_number,
    reports::decided_by,
    reports::decided_at,
    reports::decided_why,
) = (
    reports::note,
    reports::decision,
    reports::state,
    reports::version,
    reports::case_number,
    reports::decided_by,
    reports::decided_at,
    reports::decided_why,
);

/// Reports in the order in which they came.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn page(conn: &mut Conn, wanted: &Wanted, limit: u32) -> Result<Vec<Report>, StoreError> {
    let after = wanted.after.map(|(at, id)| Ok::<_, StoreError>((time(at)?, id.as_bytes().to_vec()))).transpose()?;
    let rows = db!(conn, |c| {
        let mut query = reports::table
            .order((reports::received_at, reports::id))
            .limit(limit.into())
            .select((FILING, HANDLING))
            .into_boxed();
        if let Some((at, id)) = after {
            let later = reports::received_at.eq(at).and(reports::id.gt(id));
            query = query.filter(reports::received_at.gt(at).or(later));
        }
        if let Some(state) = wanted.state {
            query = query.filter(reports::state.eq(state.code()));
        }
        if let Some(room) = &wanted.room {
            query = query.filter(reports::room.eq(room.as_str()));
        }
        if let Some(alleged) = &wanted.alleged {
            query = query.filter(reports::alleged.eq(alleged.as_str()));
        }
        query.load::<(Filing, Handling)>(c)
    })?;
    rows.into_iter().map(read).collect()
}

/// One report.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn find(conn: &mut Conn, id: Uuid) -> Result<Option<Report>, StoreError> {
    let query = reports::table.filter(reports::id.eq(id.as_bytes().to_vec())).select((FILING, HANDLING));
    db!(conn, |c| query.first::<(Filing, Handling)>(c).optional())?.map(read).transpose()
}

/// The messages of a report.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn messages(conn: &mut Conn, id: Uuid) -> Result<Vec<ReportedMessage>, StoreError> {
    type Row = (i64, Vec<u8>, Option<i64>, Option<Vec<u8>>, Option<String>, Vec<u8>);
    let query = report_messages::table
        .filter(report_messages::report.eq(id.as_bytes().to_vec()))
        .order(report_messages::position)
        .select((
            report_messages::position,
            report_messages::digest,
            report_messages::accepted_at,
            report_messages::message_id,
            report_messages::flaw,
            report_messages::content,
        ));
    let rows = db!(conn, |c| query.load::<Row>(c))?;
    let messages = rows.into_iter().map(|(position, of, accepted_at, proof, flaw, content)| {
        let verdict = match (proof, flaw) {
            (Some(message), None) => Ok(Proof { message: digest(&message)? }),
            (None, Some(code)) => Err(Flaw::from_code(&code).ok_or(StoreError::Corrupt("verdict"))?),
            (Some(_), Some(_)) | (None, None) => return Err(StoreError::Corrupt("verdict")),
        };
        Ok(ReportedMessage {
            position: number(position)?,
            digest: digest(&of)?,
            accepted_at: accepted_at.map(millis).transpose()?,
            verdict,
            content,
        })
    });
    messages.collect()
}

/// Brings a report into another state, and gives its version then.
///
/// # Errors
///
/// [`StoreError::Missing`] when there is no such report in this version, or its state does not lead to the wanted one.
pub fn handle(
    tx: &mut Tx<'_>,
    id: Uuid,
    version: u64,
    state: ReportState,
    handled: &Handled,
) -> Result<u64, StoreError> {
    let report = find(tx, id)?.filter(|report| report.version == version && report.state.may_become(state));
    let report = report.ok_or(StoreError::Missing)?;
    let next = version + 1;
    let row = reports::table
        .filter(reports::id.eq(report.id.as_bytes().to_vec()))
        .filter(reports::version.eq(to_db(version)?));
    let changes = (
        reports::state.eq(state.code()),
        reports::version.eq(to_db(next)?),
        reports::case_number.eq(handled.case.as_str()),
        reports::decided_by.eq(handled.by.as_str()),
        reports::decided_at.eq(time(handled.at)?),
        reports::decided_why.eq(handled.why.as_str()),
    );
    if db!(tx, |c| diesel::update(row).set(changes).execute(c))? == 1 { Ok(next) } else { Err(StoreError::Missing) }
}

fn read((filing, handling): (Filing, Handling)) -> Result<Report, StoreError> {
    let (id, of, reporter, alleged, reason, received_at, messages, proven, repeats) = filing;
    let (note, decision, state, version, case, by, at, why) = handling;
    let state = ReportState::from_code(state)?;
    let handled = Handled { case, by, at: millis(at)?, why };
    Ok(Report {
        id: uuid(&id)?,
        room: room(&of)?,
        reporter: user(&reporter)?,
        alleged: user(&alleged)?,
        reason: u8::try_from(reason).map_err(|_| StoreError::Corrupt("reason"))?,
        received_at: millis(received_at)?,
        messages: number(messages)?,
        proven: number(proven)?,
        repeats: number(repeats)?,
        note,
        decision: uuid(&decision)?,
        state,
        version: number(version)?,
        handled: (state != ReportState::New).then_some(handled),
    })
}

/// How many reported messages are sealed so that they begin like this.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn sealed_so(conn: &mut Conn, prefix: &[u8]) -> Result<u64, StoreError> {
    // What comes after everything that begins so.
    let mut next = prefix.to_vec();
    while next.last() == Some(&u8::MAX) {
        next.pop();
    }
    if let Some(last) = next.last_mut() {
        *last += 1;
    }
    let within = report_messages::table
        .filter(report_messages::content.ge(prefix.to_vec()))
        .filter(report_messages::content.lt(next))
        .select(count_star());
    number(db!(conn, |c| within.first::<i64>(c))?)
}

//! What moderators do with reports of abuse, at the admin door and on the command line. Each change is on the record with
//! who made it and why, and so is each look at what was reported.

use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::report_abuse::AbusiveMessage;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::reports::{self, Handled, Report, ReportState, ReportedMessage};
use portcullis_store::{Conn, StoreError, Tx};
use serde_json::json;
use uuid::Uuid;

use super::report::place;
use super::seal::{Purpose, Sealer};

/// What a moderator makes of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handling {
    /// The report.
    pub report: Uuid,
    /// The state it comes into.
    pub state: ReportState,
    /// The version that the moderator has seen.
    pub version: u64,
    /// Number of the case; `None` leaves it as it is.
    pub case: Option<String>,
    /// Why, in the person's own words.
    pub why: String,
}

/// What was reported, in plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The reporter's own words. What they are encoded in is nowhere said.
    pub note: Vec<u8>,
    /// The messages, by their positions.
    pub messages: Vec<(u64, AbusiveMessage)>,
}

/// Brings a report into another state, and gives it as it is then.
///
/// # Errors
///
/// [`StoreError::Missing`] when there is no such report in this version, or its state does not lead to the wanted one.
pub fn handle(tx: &mut Tx<'_>, handling: &Handling, by: &str, now: Millis) -> Result<Report, StoreError> {
    let Handling { report: id, state, version, case, why } = handling;
    let before = reports::find(tx, *id)?.ok_or(StoreError::Missing)?;
    let kept = || before.handled.as_ref().map(|handled| handled.case.clone()).unwrap_or_default();
    let case = case.clone().unwrap_or_else(kept);
    let handled = Handled { case: case.clone(), by: by.to_owned(), at: now, why: why.clone() };
    reports::handle(tx, *id, *version, *state, &handled)?;
    tx.stage(&AuditRecord {
        room: Some(before.room.clone()),
        actor: Some(by.to_owned()),
        reason: why.clone(),
        detail: json!({ "report": id, "from": name(before.state), "to": name(*state), "case": case }),
        ..AuditRecord::new(Uuid::now_v7(), now, "report.handled", Outcome::Info)
    })?;
    reports::find(tx, *id)?.ok_or(StoreError::Missing)
}

/// Puts on the record that somebody reads what was reported, and gives it, still sealed. `why` is in the person's own
/// words, where it gives any.
///
/// # Errors
///
/// [`StoreError::Missing`] when there is no such report.
pub fn read(
    tx: &mut Tx<'_>,
    id: Uuid,
    by: &str,
    why: &str,
    now: Millis,
) -> Result<(Report, Vec<ReportedMessage>), StoreError> {
    let found = whole(tx, id)?.ok_or(StoreError::Missing)?;
    tx.stage(&AuditRecord {
        room: Some(found.0.room.clone()),
        actor: Some(by.to_owned()),
        reason: why.to_owned(),
        detail: json!({ "report": id }),
        ..AuditRecord::new(Uuid::now_v7(), now, "report.read", Outcome::Info)
    })?;
    Ok(found)
}

/// A report with its messages.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn whole(conn: &mut Conn, id: Uuid) -> Result<Option<(Report, Vec<ReportedMessage>)>, StoreError> {
    let Some(report) = reports::find(conn, id)? else { return Ok(None) };
    Ok(Some((report, reports::messages(conn, id)?)))
}

/// Opens what was reported.
///
/// # Errors
///
/// [`StoreError::Corrupt`] for what does not open with any of our keys.
pub fn unseal(sealer: &Sealer, report: &Report, messages: &[ReportedMessage]) -> Result<Reported, StoreError> {
    let open = |position: Option<u64>, sealed: &[u8]| {
        let opened = sealer.open(Purpose::Report, &place(report.id, position), sealed);
        opened.map_err(|_| StoreError::Corrupt("reported content"))
    };
    let message = |message: &ReportedMessage| {
        let bytes = open(Some(message.position), &message.content)?;
        let decoded = AbusiveMessage::decode(&bytes).map_err(|_| StoreError::Corrupt("reported content"))?;
        Ok::<_, StoreError>((message.position, decoded))
    };
    Ok(Reported { note: open(None, &report.note)?, messages: messages.iter().map(message).collect::<Result<_, _>>()? })
}

/// What a state is called.
pub fn name(state: ReportState) -> &'static str {
    match state {
        ReportState::New => "new",
        ReportState::InReview => "in_review",
        ReportState::Upheld => "upheld",
        ReportState::Dismissed => "dismissed",
    }
}

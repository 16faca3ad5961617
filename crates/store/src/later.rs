//! What is kept back until somebody reads it or the transaction ends: of many jobs in one transaction it then goes to the
//! database together.

use std::collections::BTreeMap;

use diesel::prelude::*;

use crate::answers::{self, AnswerRow};
use crate::audit::place::{self, Written};
use crate::audit::writer::Writer;
use crate::changes::Touched;
use crate::outbox::{self, OwedRow};
use crate::rooms::{self, Cursor};
use crate::schema::{audit_writers, events, stream_payloads, stream_stage};
use crate::streams;
use crate::{Conn, StoreError};

/// Most records that are signed by the lane itself: a thread takes as long to start as a few signatures.
const FEW: usize = 3;

/// Most rows of one statement; PostgreSQL takes 65,535 parameters.
pub(crate) const ROWS: usize = 1000;

#[derive(Insertable)]
#[diesel(table_name = events)]
pub(crate) struct EventRow {
    pub(crate) room: String,
    pub(crate) seq: i64,
    pub(crate) kind: i32,
    pub(crate) epoch: i64,
    pub(crate) accepted_at: i64,
    pub(crate) message_hash: Vec<u8>,
    pub(crate) fanout: Vec<u8>,
}

#[derive(Insertable)]
#[diesel(table_name = stream_payloads)]
pub(crate) struct PayloadRow {
    pub(crate) id: Vec<u8>,
    pub(crate) room: String,
    pub(crate) kind: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) at: i64,
}

#[derive(Insertable)]
#[diesel(table_name = stream_stage)]
pub(crate) struct StagedRow {
    pub(crate) device: String,
    pub(crate) payload: Vec<u8>,
}

#[derive(Insertable)]
#[diesel(table_name = audit_writers)]
pub(crate) struct WriterRow {
    pub(crate) writer: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
    pub(crate) next_seq: i64,
    pub(crate) last_hash: Vec<u8>,
}

/// Puts rows into a table: PostgreSQL gets many with one statement, for each costs it a turn; SQLite one by one with a
/// statement that it has prepared before, so that what a row does not have must be written as NULL.
macro_rules! insert_rows {
    ($conn:expr, $table:expr, $rows:expr) => {{
        let answer = match &mut $conn.kind {
            $crate::conn::Kind::Sqlite(conn) => {
                struct Here;
                $rows.iter().try_for_each(|row| {
                    let statement = diesel::insert_into($table).values(row);
                    $crate::fixed::Named::<_, Here>::new(statement).execute(conn).map(drop)
                })
            }
            $crate::conn::Kind::Postgres(conn) => $rows
                .chunks($crate::later::ROWS)
                .try_for_each(|rows| diesel::insert_into($table).values(rows).execute(&mut **conn).map(drop)),
        };
        $conn.note(answer)
    }};
}

/// What is kept back, in the order of the jobs.
#[derive(Default)]
pub(crate) struct Later {
    /// Rooms that are locked, and where their numbers stand.
    pub(crate) rooms: BTreeMap<String, Cursor>,
    pub(crate) answers: Vec<AnswerRow>,
    pub(crate) events: Vec<EventRow>,
    pub(crate) owed: Vec<OwedRow>,
    pub(crate) payloads: Vec<PayloadRow>,
    pub(crate) staged: Vec<StagedRow>,
    pub(crate) writers: Vec<WriterRow>,
    pub(crate) records: Vec<Written>,
}

/// How much was kept back at a time.
pub(crate) struct LaterMark(BTreeMap<String, Cursor>, [usize; 7]);

impl Later {
    pub(crate) fn mark(&self) -> LaterMark {
        let Self { rooms, answers, events, owed, payloads, staged, writers, records } = self;
        let rows =
            [answers.len(), events.len(), owed.len(), payloads.len(), staged.len(), writers.len(), records.len()];
        LaterMark(rooms.clone(), rows)
    }

    /// Forgets what was kept back since `mark`.
    pub(crate) fn reset(&mut self, mark: LaterMark) {
        let LaterMark(rooms, [answers, events, owed, payloads, staged, writers, records]) = mark;
        self.rooms = rooms;
        self.answers.truncate(answers);
        self.events.truncate(events);
        self.owed.truncate(owed);
        self.payloads.truncate(payloads);
        self.staged.truncate(staged);
        self.writers.truncate(writers);
        self.records.truncate(records);
    }

    /// Writes all of it, and tells what that has touched. `last` if nothing but the commit follows.
    pub(crate) fn flush(&mut self, conn: &mut Conn, writer: &Writer, last: bool) -> Result<Touched, StoreError> {
        let Self { rooms, answers, events, owed, payloads, staged, writers, records } = std::mem::take(self);
        let (touched, signatures) = beside(
            || writer.sign(&records),
            records.len() > FEW,
            || {
                rooms::write(conn, &rooms)?;
                answers::write(conn, &answers)?;
                insert_rows!(conn, events::table, events)?;
                let owing = outbox::write(conn, &owed)?;
                insert_rows!(conn, stream_payloads::table, payloads)?;
                let streams = streams::write(conn, staged, last)?;
                Ok::<_, StoreError>(owing.into_iter().chain(streams))
            },
        )?;
        let unavailable = |error: StoreError| StoreError::AuditUnavailable(error.into());
        insert_rows!(conn, audit_writers::table, writers).map_err(|error| unavailable(error.into()))?;
        let records = records.into_iter().zip(signatures).collect();
        let audit = place::write(conn, writer.known(), records, last).map_err(unavailable)?;
        let mut all = Touched::default();
        touched.chain(audit).for_each(|topic| all.add(topic));
        Ok(all)
    }
}

/// Does both, `first` on a thread of its own if that pays and there is one to be had.
fn beside<A: Send, B>(
    first: impl Fn() -> A + Sync,
    pays: bool,
    second: impl FnOnce() -> Result<B, StoreError>,
) -> Result<(B, A), StoreError> {
    std::thread::scope(|scope| {
        let thread =
            pays.then(|| std::thread::Builder::new().name("store-signer".to_owned()).spawn_scoped(scope, &first));
        let second = second()?;
        match thread {
            Some(Ok(thread)) => Ok((second, thread.join().map_err(|_| StoreError::Panicked)?)),
            Some(Err(_)) | None => Ok((second, first())),
        }
    })
}

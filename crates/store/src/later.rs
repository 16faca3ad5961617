//! Rows that are only ever appended, kept back until somebody reads them or the transaction ends: of many jobs in one
//! transaction they then go to the database together.

use diesel::prelude::*;

use crate::schema::{audit_stage, events, outbox_items, stream_payloads, stream_stage};
use crate::{Conn, StoreError};

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
#[diesel(table_name = outbox_items)]
pub(crate) struct ItemRow {
    pub(crate) room: String,
    pub(crate) peer: String,
    pub(crate) position: i64,
    pub(crate) seq: i64,
    pub(crate) bytes: i64,
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
#[diesel(table_name = audit_stage)]
pub(crate) struct RecordRow {
    pub(crate) core: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) openings: String,
}

/// Puts rows into a table: PostgreSQL gets many with one statement, for each costs it a turn; SQLite one by one with a
/// statement that it has prepared before.
macro_rules! insert_rows {
    ($conn:expr, $table:expr, $rows:expr) => {{
        let answer = match &mut $conn.kind {
            $crate::conn::Kind::Sqlite(conn) => {
                $rows.iter().try_for_each(|row| diesel::insert_into($table).values(row).execute(conn).map(drop))
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
    pub(crate) events: Vec<EventRow>,
    pub(crate) items: Vec<ItemRow>,
    pub(crate) payloads: Vec<PayloadRow>,
    pub(crate) staged: Vec<StagedRow>,
    pub(crate) records: Vec<RecordRow>,
}

/// How much was kept back at a time.
#[derive(Clone, Copy)]
pub(crate) struct LaterMark([usize; 5]);

impl Later {
    pub(crate) fn mark(&self) -> LaterMark {
        let Self { events, items, payloads, staged, records } = self;
        LaterMark([events.len(), items.len(), payloads.len(), staged.len(), records.len()])
    }

    /// Forgets what was kept back since `mark`.
    pub(crate) fn reset(&mut self, LaterMark([events, items, payloads, staged, records]): LaterMark) {
        self.events.truncate(events);
        self.items.truncate(items);
        self.payloads.truncate(payloads);
        self.staged.truncate(staged);
        self.records.truncate(records);
    }

    /// Writes all of it.
    pub(crate) fn flush(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        let Self { events, items, payloads, staged, records } = std::mem::take(self);
        insert_rows!(conn, events::table, events)?;
        insert_rows!(conn, outbox_items::table, items)?;
        insert_rows!(conn, stream_payloads::table, payloads)?;
        insert_rows!(conn, stream_stage::table, staged)?;
        insert_rows!(conn, audit_stage::table, records).map_err(|error| StoreError::AuditUnavailable(error.into()))
    }
}

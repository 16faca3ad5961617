//! What is kept back until somebody reads it or the transaction ends: of many jobs in one transaction it then goes to the
//! database together.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::answers::{self, AnswerRow};
use crate::audit::place::{self, Written};
use crate::audit::writer::Writer;
use crate::changes::{Changes, Touched};
use crate::cursor::{self, Cursor};
use crate::effects::Effects;
use crate::failpoint::failpoint;
use crate::heads::{self, Head, Held, Seized, Seizing};
use crate::outbox::{self, Lengthening, OwedRow};
use crate::streams;
use crate::turn::Turn;
use crate::{Conn, StoreError};

pub(crate) struct EventRow {
    pub(crate) room: String,
    pub(crate) seq: i64,
    pub(crate) kind: i64,
    pub(crate) epoch: i64,
    pub(crate) accepted_at: i64,
    pub(crate) message_hash: Vec<u8>,
    pub(crate) fanout: Vec<u8>,
}

row!(EventRow => events (room, seq, kind, epoch, accepted_at, message_hash, fanout));

pub(crate) struct PayloadRow {
    pub(crate) id: Vec<u8>,
    pub(crate) room: String,
    pub(crate) kind: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) at: i64,
}

row!(PayloadRow => stream_payloads (id, room, kind, payload, at));

/// A device with what it is sent: a payload, or an event of a room.
pub(crate) struct StagedRow {
    pub(crate) device: String,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) room: Option<String>,
    pub(crate) seq: Option<i64>,
}

row!(StagedRow => stream_stage (device, payload, room, seq));

pub(crate) struct WriterRow {
    pub(crate) writer: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
    pub(crate) next_seq: i64,
    pub(crate) last_hash: Vec<u8>,
}

row!(WriterRow => audit_writers (writer, public_key, next_seq, last_hash));

/// What follows in the transaction when what was kept back is written.
#[derive(Clone, Copy)]
pub(crate) enum Then<'c> {
    /// More of it.
    More,
    /// Nothing but its end.
    Last,
    /// Its end, and what was touched before. Other processes are told of both by the commit where there is somebody to tell
    /// them.
    End(Option<&'c Changes>, Touched),
}

/// Where a transaction stopped.
pub(crate) enum Stop {
    /// Before it was to be committed.
    Before(StoreError),
    /// Where it was: nobody may know whether it is.
    Commit(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Before(error)
    }
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
    /// Devices that are to be sent nothing: forgotten last of all, for that holds the head of all streams.
    pub(crate) forgotten: Vec<String>,
}

/// How much was kept back at a time.
pub(crate) struct LaterMark(BTreeMap<String, Cursor>, [usize; 8]);

impl Later {
    pub(crate) fn mark(&self) -> LaterMark {
        let Self { rooms, answers, events, owed, payloads, staged, writers, records, forgotten } = self;
        let rows = [
            answers.len(),
            events.len(),
            owed.len(),
            payloads.len(),
            staged.len(),
            writers.len(),
            records.len(),
            forgotten.len(),
        ];
        LaterMark(rooms.clone(), rows)
    }

    /// Forgets what was kept back since `mark`.
    pub(crate) fn reset(&mut self, mark: LaterMark) {
        let LaterMark(rooms, [answers, events, owed, payloads, staged, writers, records, forgotten]) = mark;
        self.rooms = rooms;
        self.answers.truncate(answers);
        self.events.truncate(events);
        self.owed.truncate(owed);
        self.payloads.truncate(payloads);
        self.staged.truncate(staged);
        self.writers.truncate(writers);
        self.records.truncate(records);
        self.forgotten.truncate(forgotten);
    }

    /// Whether writing it waits for a head and holds it: then nothing may follow in the transaction that waits for a room.
    pub(crate) fn takes_head(&self) -> bool {
        !self.forgotten.is_empty()
    }

    /// Writes all of it, and tells what that has touched. It takes two turns: one for what must be known, while the records
    /// are signed, and one for all that is written, with the commit where the transaction ends.
    pub(crate) fn flush(&mut self, conn: &mut Conn, writer: &Writer, then: Then<'_>) -> Result<Touched, Stop> {
        let last = !matches!(then, Then::More);
        let Self { rooms, answers, events, owed, payloads, staged, writers, records, forgotten } = std::mem::take(self);
        let lanes = outbox::owing(&owed)?;
        let records = Arc::new(records);
        let signing = writer.sign(&records);
        let log = place::Asking::new(&records);
        let mut wanted = Vec::new();
        wanted.extend(log.as_ref().map(|_| Head::Audit));
        wanted.extend((!staged.is_empty()).then_some(Head::Streams));
        let heads = heads::seize(conn, &wanted, last);
        let answers = answers::Writing::new(&answers);
        // Replacing an answer may wait for somebody, and nobody may wait who holds a head: so a job's own come first, and
        // where one of many is to be replaced each job is tried alone.
        let answers = match then {
            Then::End(..) => Some(answers),
            Then::More | Then::Last => answers.finish(conn).map(|()| None)?,
        };
        streams::forget(conn, &forgotten)?;
        let ends = Ends::ask(conn, answers, &lanes, heads, log)?;
        let signatures = signing.done()?;
        let mut effects = Effects::default();
        cursor::write(&mut effects, rooms);
        effects.insert(events);
        let owing = outbox::write(&mut effects, lanes)?;
        effects.insert(payloads);
        let streams = streams::write(&mut effects, staged, ends.streams)?;
        let mut log = Effects::default();
        let signed = (&records[..], &signatures[..]);
        let audit = place::write(conn, &mut log, writer.known(), writers, signed, ends.log).map_err(unavailable)?;
        let mut all = Touched::default();
        owing.into_iter().chain(streams).chain(audit).for_each(|topic| all.add(topic));
        let message = match then {
            Then::End(changes, before) => changes.and_then(|changes| changes.announce(before.with(all))),
            Then::More | Then::Last => None,
        };
        let mut turn = Turn::default();
        match then {
            // What fails is undone, and each job is told its own failure when it is tried again, alone.
            Then::End(_, before) => {
                turn.add_some(effects.and(log).and(conn.announcement(message.as_deref())));
                conn.begin_now().map_err(StoreError::from)?;
                // Workers that found nothing to do are passed over, so that a test knows which transaction it ends in.
                let label = (!before.with(all).is_empty()).then_some("lane.before_commit");
                let ended = conn.finish(&turn, || label.into_iter().for_each(failpoint));
                ended.map_err(|error| Stop::Commit(error.into()))?;
            }
            Then::More | Then::Last => {
                let records_at = (!log.is_empty()).then(|| usize::from(!effects.is_empty()));
                turn.add_some(effects);
                turn.add_some(log);
                conn.send(&turn).map_err(|(number, error)| told_apart(Some(number) == records_at, error))?;
            }
        }
        Ok(all)
    }
}

/// Where the rows of streams and the records go: with `None` onto the stage.
struct Ends {
    streams: Option<Held>,
    log: Option<place::End>,
}

impl Ends {
    /// Asks for them and for the ends of the lanes; writes the answers with that, which must be new.
    fn ask(
        conn: &mut Conn,
        answers: Option<answers::Writing<'_>>,
        lanes: &[Lengthening<'_>],
        heads: Option<Seizing>,
        log: Option<place::Asking<'_>>,
    ) -> Result<Self, StoreError> {
        let mut turn = Turn::default();
        answers.iter().for_each(|answers| answers.ask(&mut turn));
        outbox::lengthen(&mut turn, lanes);
        let records_at = if log.is_some() { turn.len() } else { usize::MAX };
        if let Some(heads) = &heads {
            turn.add(heads);
            log.iter().for_each(|log| turn.add(log));
        }
        conn.send(&turn).map_err(|(number, error)| told_apart(number >= records_at, error))?;
        drop(turn);
        if !answers.is_none_or(|answers| answers.are_new()) {
            return Err(StoreError::Undone);
        }
        let mut heads = Seized::of(heads);
        let log = match (log, heads.take(Head::Audit)?) {
            (Some(log), Some(held)) => log.answer(held)?,
            _ => None,
        };
        Ok(Self { streams: heads.take(Head::Streams)?, log })
    }
}

/// A failure, also of records.
fn told_apart(of_records: bool, error: diesel::result::Error) -> StoreError {
    if of_records { unavailable(error.into()) } else { error.into() }
}

fn unavailable(error: StoreError) -> StoreError {
    StoreError::AuditUnavailable(error.into())
}

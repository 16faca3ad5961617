use std::ops::{Deref, DerefMut};

use crate::audit::writer::Writer;
use crate::audit::{AuditRecord, Sealed};
use crate::changes::{Topic, Touched};
use crate::later::Later;
use crate::{Conn, StoreError};

/// A job's part of a write transaction: everything in it happens, or nothing.
///
/// It is a [`Conn`] as well, so that functions that only read take it.
pub struct Tx<'a> {
    conn: &'a mut Conn,
    writer: &'a mut Writer,
    pub(crate) later: &'a mut Later,
    touched: Touched,
    unaudited: bool,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(conn: &'a mut Conn, writer: &'a mut Writer, later: &'a mut Later) -> Self {
        Self { conn, writer, later, touched: Touched::default(), unaudited: false }
    }

    /// Writes `record` with this job's effects, into the log or for the sequencer to put it there.
    ///
    /// # Errors
    ///
    /// [`StoreError::AuditUnavailable`]; the whole job fails with it then, whatever its own answer is: no record, no
    /// effect.
    pub fn stage(&mut self, record: &AuditRecord) -> Result<(), StoreError> {
        let staged = record.seal().and_then(|sealed| self.writer.stage(self.later, &sealed));
        self.staged(staged)
    }

    /// As [`Self::stage`], for a record that was sealed before: the lane then has less to do.
    ///
    /// # Errors
    ///
    /// As [`Self::stage`].
    pub fn stage_sealed(&mut self, record: &Sealed) -> Result<(), StoreError> {
        let staged = self.writer.stage(self.later, record);
        self.staged(staged)
    }

    fn staged(&mut self, staged: Result<(), StoreError>) -> Result<(), StoreError> {
        self.unaudited |= staged.is_err();
        staged.map_err(|error| StoreError::AuditUnavailable(error.into()))
    }

    /// Whether this process itself has staged exactly this.
    pub(crate) fn wrote(&self, core: &[u8], signature: &[u8], openings: &[u8]) -> bool {
        self.writer.known().take(core, signature, openings)
    }

    /// Lets the records that follow begin another chain.
    pub(crate) fn renew_chain(&mut self) {
        self.writer.renew();
    }

    pub(crate) fn touch(&mut self, topic: Topic) {
        self.touched.add(topic);
    }

    pub(crate) fn touched(&self) -> Touched {
        self.touched
    }

    /// Whether a record could not be staged.
    pub(crate) fn unaudited(&self) -> bool {
        self.unaudited
    }
}

impl Deref for Tx<'_> {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        self.conn
    }
}

impl DerefMut for Tx<'_> {
    fn deref_mut(&mut self) -> &mut Conn {
        self.conn
    }
}

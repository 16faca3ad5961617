use std::ops::{Deref, DerefMut};

use crate::audit::AuditRecord;
use crate::audit::writer::Writer;
use crate::changes::{Topic, Touched};
use crate::{Conn, StoreError};

/// A job's part of a write transaction: everything in it happens, or nothing.
///
/// It is a [`Conn`] as well, so that functions that only read take it.
pub struct Tx<'a> {
    conn: &'a mut Conn,
    writer: &'a mut Writer,
    touched: Touched,
    unaudited: bool,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(conn: &'a mut Conn, writer: &'a mut Writer) -> Self {
        Self { conn, writer, touched: Touched::default(), unaudited: false }
    }

    /// Writes `record` with this job's effects; the sequencer puts it into the log afterwards.
    ///
    /// # Errors
    ///
    /// [`StoreError::AuditUnavailable`]; the whole job fails with it then, whatever its own answer is: no record, no
    /// effect.
    pub fn stage(&mut self, record: &AuditRecord) -> Result<(), StoreError> {
        self.writer.stage(self.conn, record).map_err(|error| {
            self.unaudited = true;
            StoreError::AuditUnavailable(error.into())
        })?;
        self.touch(Topic::Staged);
        Ok(())
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

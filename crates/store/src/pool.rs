use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::conn::Trouble;
use crate::{Conn, StoreError};

/// Connections that read. A thread waits while all of them are in use.
pub(crate) struct Pool {
    state: Mutex<State>,
    returned: Condvar,
    limit: usize,
}

struct State {
    idle: Vec<Conn>,
    open: usize,
}

impl Pool {
    pub(crate) fn new(limit: usize) -> Self {
        Self { state: Mutex::new(State { idle: Vec::new(), open: 0 }), returned: Condvar::new(), limit }
    }

    /// Runs `job` on one snapshot of the database.
    pub(crate) fn read<T, E: From<StoreError>>(
        &self,
        connect: impl Fn() -> Result<Conn, StoreError>,
        job: impl FnOnce(&mut Conn) -> Result<T, E>,
    ) -> Result<T, E> {
        self.lend(connect, |conn| {
            if let Err(error) = conn.begin_read() {
                conn.give_up();
                return Err(StoreError::from(error).into());
            }
            let answer = job(conn);
            if conn.rollback().is_err() {
                conn.give_up();
            }
            answer
        })
    }

    /// Runs `job`, each of whose statements sees what is there then.
    pub(crate) fn lend<T, E: From<StoreError>>(
        &self,
        connect: impl Fn() -> Result<Conn, StoreError>,
        job: impl FnOnce(&mut Conn) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut lent = Lent { pool: self, conn: self.take()? };
        if lent.conn.is_none() {
            lent.conn = Some(connect()?);
        }
        let Some(conn) = lent.conn.as_mut() else { return Err(StoreError::Closed.into()) };
        let answer = job(conn);
        if conn.take_trouble() == Trouble::Broken || !conn.abandon() {
            lent.conn = None;
        }
        answer
    }

    /// An idle connection, or `None` with the right to open one.
    fn take(&self) -> Result<Option<Conn>, StoreError> {
        let mut state = self.lock();
        loop {
            if let Some(conn) = state.idle.pop() {
                return Ok(Some(conn));
            }
            if state.open < self.limit {
                state.open += 1;
                return Ok(None);
            }
            state = self.returned.wait(state).map_err(|_| StoreError::Closed)?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection on loan; goes back on drop, or is forgotten when it broke or the job panicked.
struct Lent<'a> {
    pool: &'a Pool,
    conn: Option<Conn>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        match self.conn.take() {
            Some(conn) if !std::thread::panicking() => state.idle.push(conn),
            _ => state.open -= 1,
        }
        drop(state);
        self.pool.returned.notify_one();
    }
}

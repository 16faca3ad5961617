//! Who lives, so that what dead processes had taken is free at once, not only when its lease has run out.
//!
//! A process cannot be asked whether it is dead, but whoever would know is the kernel or the database. On SQLite every
//! process that takes leases holds a shared lock on a file beside the database, which the kernel takes from a process
//! that ends: whoever gets the lock exclusively is alone, and all leases are of the dead. On PostgreSQL every process
//! holds an advisory lock on its name in the session that listens, which ends with it: a name without a lock is dead.
//!
//! A process that lives can be taken for dead while its session to PostgreSQL is made again. That harms nothing: a
//! lease is numbered, so it writes nothing any more once another has its lane, and what it still sends are the frozen
//! bytes that its successor sends too.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use diesel::RunQueryDsl;

use crate::conn::Kind;
use crate::{StoreError, Topic, Tx};

/// First key of the advisory locks; the second is the hash of the name.
const CLASS: i32 = 0x706f_7274;

/// Leases that may be of dead processes.
const LEASES: [&str; 3] = ["outbox_lanes", "consent_lanes", "sink_leases"];

/// What the session that listens says of the process `name`, which is a UUID.
pub(crate) fn announcement(name: &str) -> String {
    format!("SELECT pg_advisory_lock_shared({CLASS}, hashtext('{name}'))")
}

/// The file that processes on a SQLite database lock.
pub(crate) struct Register {
    file: File,
}

impl Register {
    pub(crate) fn open(database: &Path) -> Result<Self, StoreError> {
        let mut path = PathBuf::from(database).into_os_string();
        path.push("-serving");
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { file: file.map_err(open)? })
    }

    /// Takes the lock for itself alone. Tells whether it could.
    pub(crate) fn alone(&self) -> Result<bool, StoreError> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(open(error)),
        }
    }

    /// Shares the lock with others that live. Waits for one that just starts.
    pub(crate) fn join(&self) -> Result<(), StoreError> {
        self.file.lock_shared().map_err(open)
    }
}

/// Ends the leases of dead processes and gives their number. On SQLite only for one that is alone.
pub(crate) fn free(tx: &mut Tx<'_>) -> Result<usize, StoreError> {
    let dead = match &tx.kind {
        Kind::Sqlite(_) => String::new(),
        Kind::Postgres(_) => format!(
            " AND NOT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = {CLASS} AND objsubid = 2 \
             AND objid = (hashtext(lease_owner)::bigint & 4294967295)::oid \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
        ),
    };
    let mut freed = 0;
    for table in LEASES {
        let query = format!("UPDATE {table} SET lease_until = 0 WHERE lease_until > 0{dead}");
        freed += db!(tx, |c| diesel::sql_query(query).execute(c))?;
    }
    if freed > 0 {
        [Topic::Outbox, Topic::Letters, Topic::Audit].into_iter().for_each(|topic| tx.touch(topic));
    }
    Ok(freed)
}

fn open(error: std::io::Error) -> StoreError {
    StoreError::Open(error.into())
}

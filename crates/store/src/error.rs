use diesel::result::{DatabaseErrorKind, Error};

/// Why the store did not do what it was asked. Nothing was written, except where a variant says so.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue of the write lane is full: the caller should ask to come again.
    #[error("write queue is full")]
    Busy,
    /// The store is shutting down.
    #[error("store is closed")]
    Closed,
    /// Another writer changed the room first: load it again.
    #[error("room moved on to epoch {epoch}, version {version}")]
    EpochMoved {
        /// Its epoch now.
        epoch: u64,
        /// Its version now.
        version: u64,
    },
    /// No such room here.
    #[error("room does not exist")]
    NoRoom,
    /// A row with this key exists already.
    #[error("exists already")]
    Exists,
    /// The row to change does not exist, or is not in the state that the change needs.
    #[error("does not exist in the state that this needs")]
    Missing,
    /// The same request was answered meanwhile: look the answer up.
    #[error("request was answered already")]
    AlreadyAnswered,
    /// Another request with the same key was answered meanwhile: look that answer up.
    #[error("key of the request was taken meanwhile")]
    KeyTaken,
    /// The lease ran out and somebody else may hold the lane now.
    #[error("lease is no longer held")]
    LeaseLost,
    /// The audit record could not be staged, so its effect is not allowed to happen.
    #[error("audit record cannot be written")]
    AuditUnavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection broke during COMMIT: the job may or may not have happened.
    #[error("outcome of the commit is unknown")]
    CommitUnknown,
    /// The database undid the transaction, again and again.
    #[error("transaction was undone")]
    Undone,
    /// A job panicked; its effects are rolled back.
    #[error("job panicked")]
    Panicked,
    /// A number does not fit into 63 bits.
    #[error("number is out of range")]
    OutOfRange,
    /// A stored value cannot be read back.
    #[error("stored `{0}` is corrupt")]
    Corrupt(&'static str),
    /// The key that it is sealed under is not at hand.
    #[error("sealed under a key that is not at hand")]
    Sealed,
    /// The database cannot be opened.
    #[error("database cannot be opened")]
    Open(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The schema cannot be brought up to date.
    #[error("migrations cannot be applied")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database refused or failed.
    #[error("database failed")]
    Database(#[source] Error),
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl StoreError {
    /// `meaning` for a violated unique key, the database's error for all else.
    pub(crate) fn unique(error: Error, meaning: Self) -> Self {
        match error {
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => meaning,
            other => Self::Database(other),
        }
    }
}

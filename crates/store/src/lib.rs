//! Storage.
/// The database.
#[derive(Clone)]
pub struct Store {}

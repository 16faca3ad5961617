use portcullis_store::audit::{Filter, entries};
use portcullis_store::{Store, StoreError};

use super::Shown;

/// The entries that match, in the order of their positions. Blocks on the database.
///
/// # Errors
///
/// [`StoreError`].
pub fn list(store: &Store, filter: Filter) -> Result<Vec<Shown>, StoreError> {
    let found = store.read(move |conn| entries(conn, &filter))?;
    Ok(found.into_iter().map(Shown::from).collect())
}
